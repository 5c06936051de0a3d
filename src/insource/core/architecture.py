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
class Layer:
    """One repeating block."""

    kind: LayerKind
    key_width: int = 0
    """Values of a token's row in the K cache: head width x KV heads; MLA: latent rank + rope width."""
    value_width: int = 0
    """The same for V. 0 with MLA, whose one row serves both."""
    state_values: int = 0
    """F32 values of the recurrent state of one sequence (convolution and SSM or linear attention)."""
    query_heads: int = 0
    feed_forward_width: int = 0
    """Of the dense part (0: none); experts are counted in `Experts`."""


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
    unknown: tuple[str, ...] = ()
    """Sentences: what could not be determined, and what was assumed in its place. Empty: all is known."""


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
    expert_bytes: int = 0
    """Of `layer_bytes`, those of routed experts, of which only some are read for a token."""
    quantization: str = ""
    """What the file calls itself, or the type assumed: `Q4_K_M`, `F16`, `NVFP4`, ..."""
    exact: bool = True
    """True: summed over real tensors; False: estimated from parameters and a quantisation."""


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
    """A multimodal projector and LoRA adapters, loaded beside it."""
