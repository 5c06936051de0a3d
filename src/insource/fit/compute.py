"""Bytes of the compute buffer: what ggml-alloc keeps alive at the worst moment of a prompt's micro-batch. Pure.

Source, build b11549: the graphs of src/llama-graph.cpp (`build_inp_embd`, `build_ffn`, `build_moe_ffn`,
`build_attn_mha`, `build_attn_inp_kq_mask`), src/models/{mamba-base,delta-net-base,rwkv7-base,deepseek2}.cpp, and the
rules of ggml/src/ggml-alloc.c: inputs lie at the front and stay, everything else is reused as soon as its last reader
has run, and a hole that the next tensor does not fit in stays a hole. What is alive is

    masks + 5 hidden states + the widest phase of any layer, or the logits where those are more.

The five: the input for raw embeddings and its copy for mixed batches (never freed), the residual, and two holes that
the first layer leaves. Phases follow below; all tensors are F32, masks F16 with flash attention. `tests/oracle` holds
the sum against the allocator itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from insource.core.architecture import Architecture, Layer, Mixer
from insource.fit.kv_cache import Cells
from insource.fit.values import RunSettings

_F32 = 4
_HIDDEN_STATES = 5
_HOST_STATES = 4
"""Of those, the inputs and their look-ups, which stay with the CPU when the layers are elsewhere."""
_ID_BYTES = 36
"""A token's id (twice), position, output index and cache indices (I32 and I64)."""


def compute_bytes(architecture: Architecture, held: Cells, run: RunSettings, *, kinds: Sequence[Layer]) -> int:
    """Of a device that runs layers of these kinds (`kinds`: one layer of each)."""
    width = architecture.embedding_width
    states = _HIDDEN_STATES + (architecture.streams if architecture.streams > 1 else 0)
    fixed = (states * width + architecture.per_layer_width) * _F32 * held.batch + _ID_BYTES * held.batch
    widest = max((_layer_bytes(architecture, layer, held, run=run) for layer in kinds), default=0)
    logits = architecture.vocabulary * (run.output_tokens or held.slots) * _F32
    return mask_bytes(architecture, held, run, kinds=kinds) + fixed + max(widest, logits)


def host_bytes(architecture: Architecture, held: Cells) -> int:
    """Of the CPU when accelerators run every layer: the inputs, beside the masks."""
    width = _HOST_STATES * architecture.embedding_width + architecture.per_layer_width
    return (width * _F32 + _ID_BYTES) * held.batch


def logits_bytes(architecture: Architecture, held: Cells) -> int:
    """Where the logits of one token a slot are put for the sampler (`llama_context::output_reserve`)."""
    return architecture.vocabulary * held.slots * _F32


def mask_bytes(architecture: Architecture, held: Cells, run: RunSettings, *, kinds: Sequence[Layer]) -> int:
    """One mask for full attention, one for sliding windows: micro-batch x cells of a slot."""
    attending = [layer for layer in kinds if layer.query_heads]
    if not attending:
        return 0
    tokens = held.full + (held.sliding if architecture.sliding_window_tokens else 0)
    tokens += held.full if any(layer.indexer_width for layer in attending) else 0
    size = tokens * held.batch * (2 if run.flash_attention else _F32)
    if not run.flash_attention:  # V is stored transposed, value by value, each with an index
        widest = max(layer.value_width for layer in attending)
        size += (2 if architecture.sliding_window_tokens else 1) * widest * held.batch * 8
    return size


def _layer_bytes(architecture: Architecture, layer: Layer, held: Cells, *, run: RunSettings) -> int:
    phases = [3 * layer.feed_forward_width if layer.gated else layer.feed_forward_width]
    if layer.expert_width:
        phases.append(_expert_values(architecture, layer))
    tokens = max(phases) * held.batch
    if layer.query_heads:
        tokens = max(tokens, _attention_values(layer, held, run))
    if layer.mixer is not None:
        needs = _delta_values if layer.mixer.is_delta else _mixer_values
        tokens = max(tokens, needs(layer.mixer, held, architecture.embedding_width))
    return tokens * _F32


def _attention_values(layer: Layer, held: Cells, run: RunSettings) -> int:
    """Of all tokens. Without flash attention the scores of all heads over all cells are laid out."""
    cells = held.sliding if layer.kind == "sliding" else held.full
    joined = layer.query_heads * layer.key_width if layer.latent_width else 0  # MLA: latent and rope part of queries
    if not run.flash_attention:
        transposed = cells * held.slots * layer.latent_width // 2  # of MLA's latents, as V, in F16
        return (cells * layer.query_heads + layer.query_width + joined) * held.batch + transposed
    halved = cells * held.slots * (layer.key_width + layer.value_width) // 2 if run.cache_type_k == "f32" else 0
    if layer.indexer_width:  # a bound: 2 to 15 % above the allocator, which is 0.1 % of such a model's total
        return (9 * joined // 2 + 3 * cells // 4) * held.batch
    if joined:  # beside them the queries before, in the latent's space, and their rope part
        return (2 * joined + layer.query_width) * held.batch + halved
    return (2 * layer.query_width + layer.key_width + layer.value_width) * held.batch + halved


def _expert_values(architecture: Architecture, layer: Layer) -> int:
    """Of one token: gate, up and their product for each chosen expert; the experts' outputs where they are too wide
    for the room that gate and up leave."""
    experts = architecture.experts
    used = experts.used if experts else 1
    inner = (3 if layer.gated else 1) * layer.expert_width
    room = (2 if layer.gated else 0) * layer.expert_width
    return used * (inner + (architecture.embedding_width if architecture.embedding_width > room else 0))


def _mixer_values(mixer: Mixer, held: Cells, _: int) -> int:
    """Of all tokens: projection, convolution before and after its activation, and what a scan returns (outputs and the
    new state), which may find room where the convolution's input was."""
    convolved = mixer.channels * held.batch
    before = convolved + 3 * mixer.channels * held.slots
    scanned = mixer.inner_width * held.batch + mixer.scan_values * held.slots
    last = scanned if scanned > before else mixer.inner_width * held.batch
    return mixer.projection_width * held.batch + convolved + before + last


def _delta_values(mixer: Mixer, held: Cells, hidden_width: int) -> int:
    """Of all tokens: the convolution's output, and beside it first what it was made from, then queries, keys and what
    the net returns. A state that is wider than a hidden state finds no room at the front and lies among these."""
    convolved = mixer.channels * held.batch
    before = convolved + 3 * mixer.channels * held.slots
    state = mixer.scan_values * held.slots
    returned = mixer.inner_width * held.batch + state
    keys = (mixer.channels - mixer.inner_width) * held.batch
    if state <= hidden_width * held.batch:
        return convolved + max(before, keys + returned)
    room = max(convolved, state) + before
    return convolved + room + (returned if state + keys + returned > room else 0)
