"""Which experts stay in the system's memory, in the words of llama.cpp's options. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from insource.core.architecture import ModelSpec
from insource.core.errors import UsageError

_EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
_OTHERS = ("attn_q", "attn_k", "attn_v", "attn_output", "attn_norm", "ffn_norm", "ffn_gate_inp", "ffn_up", "ffn_down")
"""What a pattern for experts must leave alone."""
_MOST_PATTERN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """As it was asked for."""

    first_layers: int | None = None
    """`--n-cpu-moe N`; None: not asked for."""
    patterns: tuple[str, ...] = ()
    """`--override-tensor PATTERN=CPU`"""


NOTHING_APART = Apart()


def expert_layers(spec: ModelSpec, asked: Apart) -> tuple[int, ...]:
    """Layers whose experts stay behind. Raises UsageError where the model has none, or a pattern means more."""
    if asked == NOTHING_APART:
        return ()
    experts = spec.weights.layer_expert_bytes
    if not experts:
        raise UsageError(
            f"{spec.name!r} has no routed experts to keep in the system's memory.",
            next_step="Leave out --n-cpu-moe and --override-tensor; --gpu-layers places whole layers.",
        )
    chosen = set(range(min(asked.first_layers or 0, len(experts))))
    for text in asked.patterns:
        chosen |= _of_pattern(text, len(experts))
    return tuple(at for at in sorted(chosen) if experts[at])


def _of_pattern(text: str, layers: int) -> set[int]:
    pattern, _, place = text.rpartition("=")
    if place.upper() != "CPU" or not pattern or len(pattern) > _MOST_PATTERN:
        raise UsageError(
            f"{text!r} is not of the form PATTERN=CPU.",
            next_step="For the experts of layers 20 and up: --override-tensor 'blk\\.[2-9][0-9]\\.ffn_.*_exps=CPU'.",
        )
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise UsageError(f"{pattern!r} is not a pattern: {error}.", next_step="Correct it.") from error
    found: set[int] = set()
    for layer in range(layers):
        matched = [bool(search(f"blk.{layer}.{name}.weight")) for name in _EXPERTS]
        if any(search(f"blk.{layer}.{name}.weight") for name in _OTHERS) or any(matched) != all(matched):
            raise UsageError(
                f"{pattern!r} moves more or less than all routed experts of layer {layer}.",
                next_step="Match all experts of a layer with `ffn_.*_exps`: insource can't size part of them.",
            )
        if all(matched):
            found.add(layer)
    return found
