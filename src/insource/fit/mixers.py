"""What stands in for attention in recurrent layers: the state of one sequence and the matrices. Pure.

State sizes: `llama_hparams::n_embd_r` (convolution, token shift) and `n_embd_s` (SSM, linear attention); F32 values.
"""

from __future__ import annotations

from insource.core.architecture import Mixer
from insource.fit.config_facts import Facts
from insource.fit.model_types import MixerKind
from insource.fit.shape import Matrix

_RWKV_STATES = 15
"""Hidden states that its time mix holds at once: six shifted inputs, and the vectors r, w, k, v, a, g with helpers."""


def add_mixer(matrices: list[Matrix], facts: Facts, *, kind: MixerKind, width: int) -> tuple[int, Mixer]:
    """Adds one layer's matrices; returns the values of its state, and what it works with."""
    if kind == "mamba1":
        return _mamba1(facts, width, matrices)
    if kind == "mamba2":
        return _mamba2(facts, width, matrices)
    if kind == "delta":
        return _gated_delta(facts, width, matrices)
    if kind == "shortconv":
        cache = facts.number("conv_L_cache") or 3
        matrices += [Matrix("other", width, 3 * width), Matrix("kept", cache, width), Matrix("other", width, width)]
        return width * (cache - 1), Mixer(projection_width=3 * width, channels=width, inner_width=width)
    return _rwkv(facts, width, matrices)


def _mamba1(facts: Facts, width: int, matrices: list[Matrix]) -> tuple[int, Mixer]:
    pure = facts.model_type in ("mamba", "falcon_mamba")  # in a hybrid, intermediate_size is the feed-forward's
    inner = facts.number("mamba_d_inner", *(("intermediate_size",) if pure else ())) or width * (
        facts.number("mamba_expand", "expand") or 2
    )
    state = facts.number("mamba_d_state", "state_size", "d_state") or 16
    kernel = facts.number("mamba_d_conv", "conv_kernel", "d_conv") or 4
    rank = facts.number("mamba_dt_rank", "time_step_rank") or -(-width // 16)
    matrices += [
        Matrix("other", width, 2 * inner), Matrix("kept", kernel, inner), Matrix("other", inner, rank + 2 * state),
        Matrix("other", rank, inner), Matrix("kept", state, inner), Matrix("other", inner, width),
        Matrix("vector", 3 * inner),
    ]  # fmt: skip
    mixer = Mixer(projection_width=2 * inner, channels=inner, inner_width=inner, scan_values=state * inner)
    return (kernel - 1) * inner + state * inner, mixer


def _mamba2(facts: Facts, width: int, matrices: list[Matrix]) -> tuple[int, Mixer]:
    heads = facts.number("mamba_n_heads", "mamba_num_heads", "num_heads") or 0
    head = facts.number("mamba_d_head", "mamba_head_dim") or (facts.number("head_dim") or 64)
    expanded = width * (facts.number("mamba_expand", "expand") or 2)
    inner = facts.number("mamba_d_ssm") or heads * head or expanded
    state = facts.number("mamba_d_state", "ssm_state_size", "state_size") or 128
    groups = facts.number("mamba_n_groups", "n_groups") or 1
    kernel = facts.number("mamba_d_conv", "conv_kernel") or 4
    heads = heads or inner // head
    channels = inner + 2 * groups * state
    projection = inner + channels + heads
    matrices += [
        Matrix("other", width, projection), Matrix("kept", kernel, channels),
        Matrix("vector", channels + inner + 3 * heads), Matrix("other", inner, width),
    ]  # fmt: skip
    mixer = Mixer(projection_width=projection, channels=channels, inner_width=inner, scan_values=state * inner)
    return (kernel - 1) * channels + state * inner, mixer


def _gated_delta(facts: Facts, width: int, matrices: list[Matrix]) -> tuple[int, Mixer]:
    key_head = facts.number("linear_key_head_dim") or 128
    value_head = facts.number("linear_value_head_dim") or 128
    key_heads = facts.number("linear_num_key_heads") or 16
    value_heads = facts.number("linear_num_value_heads") or 32
    kernel = facts.number("linear_conv_kernel_dim") or 4
    inner = value_head * value_heads
    channels = inner + 2 * key_heads * key_head
    matrices += [
        Matrix("qkv", width, channels), Matrix("other", width, inner), Matrix("other", width, 2 * value_heads),
        Matrix("kept", kernel, channels), Matrix("vector", 2 * value_heads + value_head), Matrix("other", inner, width),
    ]  # fmt: skip
    mixer = Mixer(
        projection_width=channels + inner,
        channels=channels,
        inner_width=inner,
        scan_values=key_head * inner,
        is_delta=True,
    )
    return (kernel - 1) * channels + key_head * inner, mixer


def _rwkv(facts: Facts, width: int, matrices: list[Matrix]) -> tuple[int, Mixer]:
    """RWKV 6 and 7: two token shifts (time mix and channel mix) and one square state a head."""
    head = facts.number("head_size", "head_dim") or 64
    is_six = facts.model_type == "rwkv6"
    matrices += [Matrix("other", width, width)] * (5 if is_six else 4)
    if is_six:
        mix, decay = (64, 128) if width == 4096 else (32, 64)
        matrices += [Matrix("kept", width, 2 * 5 * mix + 2 * decay), Matrix("vector", 9 * width)]
    else:
        ranks = sum(facts.number(name) or 64 for name in ("decay_low_rank_dim", "a_low_rank_dim", "v_low_rank_dim"))
        ranks += facts.number("gate_low_rank_dim") or 128
        matrices += [Matrix("kept", width, 2 * ranks), Matrix("vector", 15 * width)]
    return 2 * width + width * head, Mixer(projection_width=_RWKV_STATES * width, scan_values=width * head)
