"""Which device holds which layer: llama.cpp's split by layers. Pure.

Source, build b11549: `load_tensors` in src/llama-model.cpp (the last `gpu_layers` of all layers and the output go to
accelerators, in shares of their free memory; the token embedding stays with the CPU) and `llama_prepare_model_devices`
in src/llama.cpp (graphics that share the system's memory are used only where nothing else is).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil

from insource.core.hardware import Machine

_EPSILON = 1e-9
"""Against the rounding of shares."""


def usable_bytes(machine: Machine) -> tuple[int, ...]:
    """Free memory of each accelerator as far as llama.cpp would use it."""
    dedicated = any(device.kind != "igpu" for device in machine.accelerators)
    return tuple(
        0 if dedicated and device.kind == "igpu" else max(0, device.memory_free_bytes)
        for device in machine.accelerators
    )


def ranges(layers: int, gpu_layers: int, free_bytes: Sequence[int]) -> list[range]:
    """For each accelerator, then the CPU, the layers it holds; index `layers` is the output."""
    total = sum(free_bytes)
    if gpu_layers <= 0 or total <= 0:
        return [range(0)] * len(free_bytes) + [range(layers + 1)]
    first = layers + 1 - gpu_layers
    ends = [first + ceil(gpu_layers * point / total - _EPSILON) for point in accumulate(free_bytes)]
    return [range(a, b) for a, b in zip([first, *ends], ends, strict=False)] + [range(first)]
