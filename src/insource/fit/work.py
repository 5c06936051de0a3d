"""What a model's tokens ask of a device, in amounts that only need the device's own constants to become seconds.
Pure.

A *step* makes one token for each of the sequences that are decoded together. Its cost is linear in a few amounts:
bytes read at the nominal bandwidth, arithmetic at the nominal throughput, and how many blocks of kernels are started
one after the other. So is the cost of a prompt's token. The same class holds amounts and the coefficients they are
multiplied by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from insource.core.architecture import Architecture, ModelSpec
from insource.fit.values import CacheType, RunSettings

Engine = Literal["llama.cpp", "vllm", "mlx"]
"""Whose kernels run: Ollama and LM Studio run llama.cpp's."""

_BYTES_PER_VALUE: Mapping[CacheType, float] = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32,
    "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
_USUAL_HEAD_WIDTH = 128
_TILE_TOKENS = 64
"""Tokens that a matrix kernel works on at once: ggml's mul_mat_q takes up to 128, smaller ones at less speed."""
_PER_LAYER_INPUT_WIDTH = 256
"""`hidden_size_per_layer_input` of every model published with one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy the engine is."""

    depth_tokens: int = 0
    """Of every sequence's context that is filled when the token is made."""
    concurrency: int = 1
    """Sequences decoded together, the one asked about included."""
    engine: Engine = "llama.cpp"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeWork:
    """Of one step. Amounts are seconds at best unless said otherwise; coefficients, how many times that it takes."""

    weights: float
    """Weights read, at the nominal bandwidth."""
    cache: float
    """KV cache and recurrent states read, and the latter written, at the nominal bandwidth."""
    arithmetic: float
    """2 operations for each active parameter, at the nominal throughput of a CPU. GPUs do it while they read."""
    unpacking: float
    """The same of GPUs, but only where weights have under 4 bits: codebooks and packed scales keep even them busy."""
    attention: float
    """Operations of it at the nominal throughput of a CPU. GPUs do them while they read the cache."""
    step: float
    """1; the coefficient is in seconds: sampling, and once round the engine's loop."""
    blocks: float
    """Mixers and dense feed-forward blocks, whose kernels start one after the other; the coefficient is in seconds."""
    expert_blocks: float
    recurrent_blocks: float

    @property
    def amounts(self) -> tuple[float, ...]:
        return (
            self.weights, self.cache, self.arithmetic, self.unpacking, self.attention,
            self.step, self.blocks, self.expert_blocks, self.recurrent_blocks,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillWork:
    """Of one prompt token, read together with others."""

    weights: float
    """The token's part of the weights read, which the whole batch shares."""
    attention: float
    """To the tokens before it, at the nominal throughput."""
    recurrence: float
    """Updating recurrent states token by token, at the nominal throughput."""
    arithmetic: float
    expert_arithmetic: float
    """The part of it that routed experts do, counted again, times how empty the tiles are that few tokens fill."""
    step: float
    """The token's part of a batch."""
    blocks: float
    """The token's part of all blocks of a batch."""

    @property
    def amounts(self) -> tuple[float, ...]:
        return (
            self.weights, self.attention, self.recurrence, self.arithmetic,
            self.expert_arithmetic, self.step, self.blocks,
        )  # fmt: skip


def seconds(amounts: tuple[float, ...], coefficients: tuple[float, ...]) -> float:
    return sum(amount * coefficient for amount, coefficient in zip(amounts, coefficients, strict=True))


def weight_bytes_read(spec: ModelSpec, tokens: float = 1) -> float:
    """Of layers and output head for a step of that many tokens: routed experts as far as any token chose them."""
    return dense_bytes_read(spec) + expert_bytes_read(spec, tokens)


def dense_bytes_read(spec: ModelSpec) -> float:
    """What every step reads, however many tokens it has."""
    weights = spec.weights
    return sum(weights.layer_bytes) - weights.expert_bytes + _output_bytes(spec)


def expert_bytes_read(spec: ModelSpec, tokens: float = 1) -> float:
    experts = spec.architecture.experts
    if experts is None:
        return spec.weights.expert_bytes
    return spec.weights.expert_bytes * expected_share(experts.used / experts.count, tokens)


def bits_per_weight(spec: ModelSpec) -> float:
    """Of the weights that are read."""
    return 8 * weight_bytes_read(spec) / multiplied_parameters(spec)


def expected_share(chosen: float, tokens: float) -> float:
    """Of the experts, those that at least one token chose, if tokens choose independently."""
    return 1 - (1 - chosen) ** tokens


def multiplied_parameters(spec: ModelSpec) -> float:
    """For one token: without the input embeddings, of which a single row is looked up, with a tied one as the head."""
    architecture = spec.architecture
    unread = per_layer_input_parameters(architecture)
    if not architecture.tied_embeddings:
        unread += architecture.vocabulary * architecture.embedding_width
    return max(1.0, spec.active_parameters - unread)


def cache_bytes_read(spec: ModelSpec, run: RunSettings, depth_tokens: int) -> float:
    """Of one sequence's KV cache at that depth, and its recurrent states, which are read and written."""
    architecture = spec.architecture
    key, value = _BYTES_PER_VALUE[run.cache_type_k], _BYTES_PER_VALUE[run.cache_type_v]
    window = architecture.sliding_window_tokens or depth_tokens
    total, own, shared = 0.0, 0, 0
    for layer in architecture.layers:
        if layer.kind == "recurrent":
            total += 2 * 4 * layer.state_values
        elif layer.kind == "shared":
            shared += 1
        elif layer.kind in ("full", "sliding"):
            tokens = min(depth_tokens, window) if layer.kind == "sliding" else depth_tokens
            total += tokens * (key * layer.key_width + value * layer.value_width)
            own += 1
    # A layer that shares a cache reads it all the same: as much as the layers that own one do on average.
    return total * (1 + shared / own) if own else total


def block_counts(architecture: Architecture) -> tuple[int, int, int]:
    """Mixers and dense feed-forward; routed experts; recurrent mixers (which are among the first, too)."""
    mixers = sum(layer.kind != "none" for layer in architecture.layers)
    dense = sum(layer.feed_forward_width > 0 for layer in architecture.layers)
    recurrent = sum(layer.kind == "recurrent" for layer in architecture.layers)
    return mixers + dense, architecture.experts.layers if architecture.experts else 0, recurrent


def multiplied_expert_parameters(spec: ModelSpec) -> float:
    """Of the routed experts that one token takes."""
    experts = spec.architecture.experts
    if experts is None or experts.used >= experts.count:
        return 0.0
    resting = spec.parameters - spec.active_parameters
    return resting * experts.used / (experts.count - experts.used)


def per_layer_input_parameters(architecture: Architecture) -> int:
    """Gemma 3n's and 4's (E2B, E4B) embeddings for every layer: looked up, never multiplied."""
    if architecture.name not in ("gemma3n", "gemma4") or all(layer.kind != "shared" for layer in architecture.layers):
        return 0
    return len(architecture.layers) * _PER_LAYER_INPUT_WIDTH * architecture.vocabulary


def _output_bytes(spec: ModelSpec) -> float:
    """With tied embeddings the token embedding is read again as the head."""
    weights, architecture = spec.weights, spec.architecture
    if not architecture.tied_embeddings:
        return weights.output_bytes
    embedding = architecture.vocabulary * architecture.embedding_width
    inputs = embedding + per_layer_input_parameters(architecture)
    return weights.output_bytes + (weights.input_bytes * embedding / inputs if inputs else 0)


def attention_operations(architecture: Architecture, tokens_before: float) -> float:
    """Of one token's attention to those before it: 2 per multiply-add, for scores and for values."""
    head = architecture.head_width or _USUAL_HEAD_WIDTH
    window = architecture.sliding_window_tokens or tokens_before
    return sum(
        4.0 * layer.query_heads * head * (min(tokens_before, window) if layer.kind == "sliding" else tokens_before)
        for layer in architecture.layers
        if layer.kind in ("full", "sliding", "shared")
    )


def recurrence_operations(architecture: Architecture) -> float:
    """Of one token: a state's value is scaled, added to and read out, 2 operations each, some 8 in all."""
    return sum(8.0 * layer.state_values for layer in architecture.layers)


def tile_waste(spec: ModelSpec, batch_tokens: float) -> float:
    """How many times a full tile's work an expert's tokens take: a batch spreads thin over many experts."""
    experts = spec.architecture.experts
    if experts is None:
        return 1.0
    return max(1.0, _TILE_TOKENS * experts.count / (experts.used * batch_tokens))
