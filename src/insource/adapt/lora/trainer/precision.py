"""Which number format this processor multiplies faster. Measured, because it can be 47 times either way: bfloat16 is
emulated where the processor has no instruction for it."""

from __future__ import annotations

import time
from typing import Any

from insource.adapt.lora.job import Precision
from insource.adapt.lora.trainer.libraries import torch

_ROWS = 512
_TURNS = 5
_WORTH = 1.1
"""Times faster bfloat16 must be: it costs accuracy."""
_MEASURABLE = 2**16
"""Weights of a layer below which a turn is over in microseconds: chance would choose, and another adapter come out."""


def faster_precision(inputs: int, outputs: int, device: str) -> Precision:
    """For a layer of this shape."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if inputs * outputs < _MEASURABLE:
        return "float32"
    layer = torch.nn.Linear(inputs, outputs, bias=False)
    values = torch.randn(_ROWS, inputs, generator=torch.Generator().manual_seed(0), requires_grad=True)
    turns = [(_seconds(layer, values, narrow=False), _seconds(layer, values, narrow=True)) for _ in range(_TURNS)]
    # The least of each, in turn: a neighbour on the machine only ever makes one slower, and then both.
    wide, narrow = (min(seconds) for seconds in zip(*turns, strict=True))
    return "bfloat16" if narrow * _WORTH < wide else "float32"


def _seconds(layer: Any, values: Any, *, narrow: bool) -> float:
    began = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
        layer(values).float().sum().backward()
    return time.perf_counter() - began
