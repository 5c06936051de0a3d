"""Recurrent layers as a GGUF's metadata describes them: their state and their scratch. Pure.

State sizes: `llama_hparams::n_embd_r` (convolution, token shift) and `n_embd_s` (SSM, linear attention), F32 values.
Scratch: src/models/{mamba-base,delta-net-base,rwkv7-base,lfm2}.cpp, build b11549.
"""

from __future__ import annotations

from insource.core.architecture import Mixer
from insource.fit.gguf_keys import Keys
from insource.fit.gguf_layouts import MixerKind

_RWKV_STATES = 15
"""Hidden states that RWKV's time mix holds at once: six shifted inputs, and r, w, k, v, a, g with their helpers."""


def mixer_of(kind: MixerKind, keys: Keys, width: int) -> tuple[Mixer | None, int]:
    """Scratch, and the values of one sequence's state; 0 where the file does not state them."""
    if kind == "rwkv":
        head, shifts = keys.number("wkv.head_size"), keys.number("token_shift_count") or 2
        if not head:
            return None, 0
        return Mixer(projection_width=_RWKV_STATES * width, scan_values=width * head), (shifts + head) * width
    if kind == "shortconv":
        cached = keys.number("shortconv.l_cache") or 0
        return Mixer(projection_width=3 * width, channels=width, inner_width=width), width * max(0, cached - 1)
    inner, state = keys.number("ssm.inner_size") or 0, keys.number("ssm.state_size") or 0
    groups, kernel = keys.number("ssm.group_count") or 0, keys.number("ssm.conv_kernel") or 0
    heads = keys.number("ssm.time_step_rank") or 0
    channels = inner + 2 * groups * state
    values = max(0, kernel - 1) * channels + state * inner
    projection = {"mamba1": 2 * inner, "mamba2": inner + channels + heads, "delta": channels + inner}[kind]
    mixer = Mixer(
        projection_width=projection,
        channels=channels,
        inner_width=inner,
        scan_values=state * inner,
        is_delta=kind == "delta",
    )
    return mixer, values if inner and state else 0
