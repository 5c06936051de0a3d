"""What a model is made of, as far as memory and speed depend on it. Made from a GGUF header, a `config.json`, a row of
the shipped table or of the catalogue; read by the formulas of `fit/`, which never ask where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LayerKind = Literal["full", "sliding", "recurrent", "shared", "none"]
"""full, sliding: has a KV cache; recurrent: a state of fixed size instead; shared: uses another layer's cache;
none: no attention at all (a feed-forward or expert layer of a hybrid)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixer:
    """What a recurrent layer works with for a token, in values; compute buffers depend on it."""

    projection_width: int
    """Of the one projection that feeds it (`ssm_in`, q + k + v, ...); RWKV: all that its time mix holds at once."""
    channels: int = 0
    """That its convolution runs over."""
    inner_width: int = 0
    scan_values: int = 0
    """Of one sequence's state that a scan returns together with its outputs."""
    is_delta: bool = False
    """A gated delta net; else a Mamba, a short convolution or an RWKV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One repeating block. Equal layers should be one object: the formulas then compute each kind once."""

    kind: LayerKind
    key_width: int = 0
    """Values of a token's row in the K cache: head width x KV heads; MLA: latent rank + rope width."""
    value_width: int = 0
    """The same for V. 0 with MLA, whose one row serves both."""
    state_values: int = 0
    """F32 values of the recurrent state of one sequence (convolution and SSM or linear attention)."""
    query_heads: int = 0
    query_width: int = 0
    """Values of all query heads of a token; MLA: before compression."""
    latent_width: int = 0
    """MLA: the part of `key_width` that is the latent; the rest is the shared rope key. 0: no MLA."""
    indexer_width: int = 0
    """Sparse attention (DeepSeek 3.2, GLM 5): values of a token's row in the indexer's own cache of keys."""
    feed_forward_width: int = 0
    """Of the dense part, shared experts included (0: none)."""
    expert_width: int = 0
    """Of one routed expert (0: none in this layer)."""
    gated: bool = True
    """The feed-forward part multiplies by a gate: three buffers of its width at once instead of one."""
    mixer: Mixer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The routed experts of a mixture; shared experts count as dense."""

    count: int
    used: int
    width: int
    """Feed-forward width of one."""
    layers: int
    """How many layers have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    name: str
    """As llama.cpp names it: `llama`, `qwen3`, `gemma3`, `deepseek2`, ..."""
    layers: tuple[Layer, ...]
    embedding_width: int
    vocabulary: int
    sliding_window_tokens: int | None = None
    experts: Experts | None = None
    context_tokens: int | None = None
    """That it was trained for."""
    head_width: int | None = None
    """Of keys, where all heads are alike."""
    tied_embeddings: bool = False
    """The output head is the token embedding."""
    per_layer_width: int = 0
    """Of an extra embedding that every layer gets a slice of (Gemma 3n and 4), all layers together."""
    streams: int = 1
    """Copies of the hidden state that run side by side (Gemma 3n's AltUp: 4)."""
    unknown: tuple[str, ...] = ()
    """Sentences: what could not be determined, and what was assumed in its place. Empty: all is known."""

    notes: tuple[str, ...] = ()
    """Sentences: what to know of the figures; none of them is a doubt."""

    @property
    def generates(self) -> bool:
        """Token by token, from a cache or a state. Not so an encoder, which is run in one pass."""
        return any(layer.kind != "none" for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Bytes of a model's tensors by where llama.cpp puts them."""

    layer_bytes: tuple[int, ...]
    """Each repeating layer, its experts included."""
    input_bytes: int
    """Token (and position) embedding: always in the CPU's memory."""
    output_bytes: int
    """Output head and final norm, which follow the last layer to its device. With tied embeddings only the norm: where
    layers are offloaded a copy of the embedding joins it (`fit/memory.py`)."""
    layer_expert_bytes: tuple[int, ...] = ()
    """Of `layer_bytes`, those of routed experts, of which only some are read for a token. Empty: no layer has any."""
    largest_bytes: int = 0
    """Of the largest tensor in a layer: a GPU gets a copy of those that stayed behind to help with long prompts."""
    embedding_bytes: int = 0
    """Of the token embedding alone, where `input_bytes` holds more than it; 0: all of `input_bytes`."""
    quantization: str = ""
    """What the file calls itself, or the type assumed: `Q4_K_M`, `F16`, `NVFP4`, ..."""
    exact: bool = True
    """True: summed over real tensors; False: estimated from parameters and a quantisation."""

    @property
    def expert_bytes(self) -> int:
        return sum(self.layer_expert_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model as `fit/` needs it."""

    name: str
    architecture: Architecture
    weights: Weights
    source: Literal["header", "config", "table", "catalogue"]
    parameters: int
    active_parameters: int
    """Those that are read for one token: all but the experts that are not chosen."""
    license: str | None = None
    extra_bytes: int = 0
    """What is loaded beside it: a multimodal projector, LoRA adapters, a draft model with its cache."""
    not_counted: tuple[str, ...] = ()
    """Sentences: what belongs to it and takes memory only if it is used, and is not in these figures."""
