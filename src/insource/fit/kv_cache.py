"""Cells and bytes of the KV cache and of recurrent states, as llama.cpp allocates them. Pure.

Source, build b11549: `llama_context::llama_context` (padding), `llama_kv_cache` and `llama_kv_cache_iswa`
(src/llama-kv-cache*.cpp), `llama_memory_recurrent`, `llama_hparams::n_embd_k_gqa` and others. Our worker names its
number of slots, and then llama.cpp's server does not unify the cache: every slot has cells of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from insource.core.architecture import Architecture, Layer
from insource.fit.values import CacheType, RunSettings

_PAD_TOKENS = 256
_BLOCK = 32
_BYTES_OF_32: Mapping[CacheType, int] = {
    "f32": 128, "f16": 64, "bf16": 64, "q8_0": 34, "q5_1": 24, "q5_0": 22, "q4_1": 20, "q4_0": 18, "iq4_nl": 18,
}  # fmt: skip
_QUANTIZED = frozenset(("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Tokens that one slot's caches hold, and those of one micro-batch over all slots."""

    full: int
    sliding: int
    batch: int
    slots: int


def cells(architecture: Architecture, run: RunSettings) -> Cells:
    context = _padded(run.context_tokens)
    slots = max(1, run.slots)
    full = max(_PAD_TOKENS, _padded(context // slots))
    total = full * slots
    batch = min(run.batch_tokens, run.context_tokens, run.ubatch_tokens)
    window = architecture.sliding_window_tokens or 0
    return Cells(
        full=full,
        sliding=_padded(min(full, window + batch)),
        batch=-(-min(batch, total) // slots) * slots,
        slots=slots,
    )


def cache_bytes(layer: Layer, held: Cells, run: RunSettings, *, widest_value: int) -> int:
    """Of one layer, all slots together. `widest_value`: of all layers; without flash attention V is stored transposed,
    and every layer's rows are padded to it."""
    size = 4 * layer.state_values * held.slots
    if layer.kind not in ("full", "sliding") or not layer.key_width:
        return size
    tokens = (held.sliding if layer.kind == "sliding" else held.full) * held.slots
    value = layer.value_width if run.flash_attention or not layer.value_width else widest_value
    keys = _row_bytes(layer.key_width, run.cache_type_k) + _row_bytes(layer.indexer_width, run.cache_type_k)
    return size + tokens * (keys + _row_bytes(value, run.cache_type_v))


def checkpoint_bytes(layer: Layer, held: Cells, run: RunSettings) -> int:
    """What the server copies of a layer, for all slots, where a cache can't be cut back to an earlier token
    (`create_checkpoint` in tools/server/server-context.cpp)."""
    if layer.kind == "sliding":
        return run.checkpoints * cache_bytes(layer, held, run, widest_value=layer.value_width)
    return run.checkpoints * 4 * layer.state_values * held.slots


def distinct(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """One of each; by identity, because comparing dozens of layers costs more than all the formulas."""
    return tuple({id(layer): layer for layer in layers}.values())


def refusal(kinds: Iterable[Layer], run: RunSettings) -> str | None:
    """Why `llama_init_from_model` would not open such a cache; None when it would."""
    for layer in kinds:
        if layer.latent_width and run.cache_type_k != run.cache_type_v:
            return f"Its K and V are one cache, which can't be {run.cache_type_k} and {run.cache_type_v} at once."
        if run.cache_type_v in _QUANTIZED and not run.flash_attention and layer.key_width:
            return f"A V cache in {run.cache_type_v} needs flash attention, which is off."
        head = layer.key_width if layer.latent_width else layer.query_width // max(1, layer.query_heads)
        for kind, width in ((run.cache_type_k, head), (run.cache_type_v, layer.value_width and head)):
            if kind in _QUANTIZED and width % _BLOCK:
                return f"A cache in {kind} needs heads that {_BLOCK} divides; this model's have {width} values."
    return None


def _row_bytes(width: int, kind: CacheType) -> int:
    return width * _BYTES_OF_32[kind] // _BLOCK


def _padded(tokens: int) -> int:
    return -(-tokens // _PAD_TOKENS) * _PAD_TOKENS
