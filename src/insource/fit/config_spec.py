"""A model from its transformers `config.json`: no file of it has to be there. Pure.

Which layers keep a cache, slide or hold a state comes from the configuration's own lists where it has them, else from
llama.cpp's pattern for the architecture (`model_types.py`). What is not known is said in `Architecture.unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from insource.core.architecture import Architecture, Experts, LayerKind, ModelSpec
from insource.core.errors import BadInput
from insource.fit.config_facts import MOST_LAYERS, Facts, native_quantization
from insource.fit.config_layers import LayerBuilder, LayerRole, MissingFact, made_divisible, required
from insource.fit.model_types import MODEL_TYPES, ModelType
from insource.fit.quantization import estimate_weights
from insource.fit.shape import Block, Matrix, Shape
from insource.fit.table import defaults

_TOLERANCE = 0.05
"""Between parameters computed and stated: more means that something was misunderstood."""
_COUNTED_WELL = ("BF16", "F16", "F32")
"""Packed weights are counted by what they are packed in."""
_ENDLESS_TOKENS = 1 << 20
"""What llama.cpp's converter writes for a model whose state does not grow with the context."""
ENCODERS_APART = "its encoders for images or sound, which llama.cpp takes from a projector file (--with REF)"
_PLAIN = ModelType(architecture="")
_SLIDING = ("sliding_attention", "chunked_attention", "local_attention", "sliding")
_RECURRENT = ("linear_attention", "mamba", "mamba2", "conv", "recurrent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A configuration, read."""

    architecture: Architecture
    shape: Shape
    multimodal: bool

    @property
    def active_parameters(self) -> int:
        """All but the experts that are not chosen, and the rows of the embedding that are not looked up."""
        experts = self.architecture.experts
        resting = 0
        if experts is not None:
            resting = self.shape.expert_parameters * (experts.count - experts.used) // experts.count
        return self.shape.parameters - resting


def spec_of_config(
    config: Mapping[str, Any],
    *,
    name: str,
    quantization: str = "",
    parameters: int | None = None,
    source: Literal["config", "table"] = "config",
) -> ModelSpec:
    """`quantization` empty: as the repository itself stores it. `parameters`: as its metadata states, to check against.
    Raises BadInput where the configuration lacks the very facts that any estimate needs."""
    try:
        read = understand(config, Facts(config, defaults()))
    except MissingFact as missing:
        raise BadInput(
            f"The configuration of {name!r} does not give {str(missing)!r}, so its size can't be computed.",
            next_step="Give a GGUF file of it, or name another model.",
        ) from None
    native = native_quantization(config)
    weights = estimate_weights(read.shape, quantization or native)
    architecture = read.architecture
    doubt = _doubt(read, parameters) if native in _COUNTED_WELL else None
    return ModelSpec(
        name=name,
        architecture=replace(architecture, unknown=(*architecture.unknown, doubt)) if doubt else architecture,
        weights=weights,
        source=source,
        parameters=read.shape.parameters,
        active_parameters=read.active_parameters,
        not_counted=(ENCODERS_APART,) if read.multimodal else (),
    )


def understand(config: Mapping[str, Any], facts: Facts) -> Understood:
    """Raises MissingFact."""
    kind = MODEL_TYPES.get(facts.model_type)
    unknown: list[str] = []
    if kind is None:
        kind = _PLAIN
        unknown.append(
            f"insource does not know how llama.cpp runs the model type {facts.model_type[:60]!r}: its layers were "
            "taken as plain attention over the whole context."
        )
    if kind.architecture == "gemma3" and facts.flag("use_bidirectional_attention") is True:
        kind = replace(kind, architecture="gemma-embedding", encoder=True)
    kind = _as_stated(facts, kind)
    if kind.encoder:
        unknown.append("It is an embedding model, which is run in one pass: its compute is not known.")
    builder = LayerBuilder(facts, kind)
    if builder.count > MOST_LAYERS:
        raise MissingFact(f"a possible num_hidden_layers (it says {builder.count:,})")
    vocabulary = required(facts.number("vocab_size", "padded_vocab_size"), "vocab_size")
    kinds = layer_kinds(facts, kind, count=builder.count, unknown=unknown)
    blocks = builder.blocks(_with_sharing(kinds, facts, kind), _dense_width(facts, kind, builder))
    tied = _is_tied(facts, kind)
    sliding = "sliding" in kinds
    routed = {block for block in set(blocks) if block.has("expert_up")}
    with_experts = [block for block in blocks if block in routed]
    experts = builder.experts
    name = kind.architecture or facts.model_type
    if name == "nemotron_h" and with_experts:
        name = "nemotron_h_moe"
    architecture = Architecture(
        name=name,
        layers=tuple(block.layer for block in blocks),
        embedding_width=builder.width,
        vocabulary=vocabulary,
        sliding_window_tokens=_window_tokens(facts, kind) if sliding else None,
        experts=Experts(count=experts.count, used=experts.used, width=experts.width, layers=len(with_experts))
        if with_experts
        else None,
        context_tokens=facts.number("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
        or (_ENDLESS_TOKENS if kind.attention == "none" else None),
        head_width=blocks[0].layer.key_width if kind.attention == "mla" else builder.head_width or None,
        tied_embeddings=tied,
        per_layer_width=(facts.number("hidden_size_per_layer_input") or 0) * builder.count if kind.norms == 4 else 0,
        streams=(facts.number("altup_num_inputs") or 4) if kind.architecture == "gemma3n" else 1,
        unknown=tuple(unknown),
        notes=(kind.note,) if kind.note else (),
    )
    shape = _shape(facts, builder, blocks, architecture=architecture)
    return Understood(architecture=architecture, shape=shape, multimodal=facts.multimodal)


def _as_stated(facts: Facts, kind: ModelType) -> ModelType:
    """Latent attention (MLA) as the configuration states it: types are wrapped in others, and some sizes go without."""
    latent = bool(facts.number("kv_lora_rank")) and facts.flag("use_mla") is not False
    if kind.attention == "split" and latent and facts.number("qk_rope_head_dim"):
        return replace(kind, attention="mla")
    if kind.attention == "mla" and not latent and (facts.flag("use_mla") is False or facts.number("head_dim")):
        return replace(kind, attention="split")
    return kind


def layer_kinds(facts: Facts, kind: ModelType, *, count: int, unknown: list[str]) -> tuple[LayerKind, ...]:
    """One a layer; appends to `unknown` what had to be assumed."""
    if kind.encoder:
        return ("none",) * count
    if kind.attention == "none":
        return ("recurrent",) * count
    pattern = facts.pattern
    if pattern:
        letters: Mapping[str, LayerKind] = {"M": "recurrent", "*": "full", "-": "none", "E": "none"}
        if len(pattern) != count or set(pattern) - set(letters):
            unknown.append("Its hybrid_override_pattern does not describe its layers.")
        return tuple(letters.get(pattern[index : index + 1], "full") for index in range(count))
    listed = _listed(facts, count)
    if kind.mixer and kind.architecture != "falcon-h1":
        kinds = _hybrid_kinds(facts, kind, listed, unknown=unknown)
    else:
        kinds = _window_kinds(facts, kind, listed)
    if not kind.architecture and any(word in _RECURRENT for word in listed):
        unknown.append("Some of its layers hold a state instead of a cache, of a size that is not known.")
    return tuple(kinds)


def _with_sharing(kinds: tuple[LayerKind, ...], facts: Facts, kind: ModelType) -> list[LayerRole]:
    """Gemma 3n and 4: the last layers use the cache of an earlier one of their kind."""
    roles = [LayerRole(found, found == "sliding") for found in kinds]
    shared = facts.number("num_kv_shared_layers") or 0
    if kind.architecture not in ("gemma3n", "gemma4") or not shared:
        return roles
    kept = max(1, len(kinds) - shared)
    return roles[:kept] + [LayerRole("shared", role.slides) for role in roles[kept:]]


def _window_kinds(facts: Facts, kind: ModelType, listed: list[str]) -> list[LayerKind]:
    count = len(listed)
    if kind.window is None or not _window_tokens(facts, kind):
        return ["full"] * count
    if any(listed):
        return ["sliding" if word in _SLIDING else "full" for word in listed]
    letters = facts.text("sliding_window_pattern")
    if letters:
        return ["sliding" if letters[index % len(letters)] == "L" else "full" for index in range(count)]
    period = facts.number("sliding_window_pattern", "_sliding_window_pattern") or kind.window.period
    full = 0 if kind.window.dense_first else period - 1
    return ["full" if index % period == full else "sliding" for index in range(count)]


def _hybrid_kinds(facts: Facts, kind: ModelType, listed: list[str], *, unknown: list[str]) -> list[LayerKind]:
    count = len(listed)
    if any(listed):
        return ["recurrent" if word in _RECURRENT else "full" for word in listed]
    for name in ("full_attn_idxs", "attn_layer_indices"):
        chosen = facts.items(name)
        if chosen is not None:
            return ["full" if index in chosen else "recurrent" for index in range(count)]
    period = facts.number("attn_layer_period")
    if period:
        offset = facts.number("attn_layer_offset") or 0
        return ["full" if index % period == offset else "recurrent" for index in range(count)]
    interval = facts.number("full_attention_interval")
    if not interval and kind.mixer != "delta":
        unknown.append("It does not say which of its layers attend: every fourth was taken to.")
    return ["full" if (index + 1) % (interval or 4) == 0 else "recurrent" for index in range(count)]


def _listed(facts: Facts, count: int) -> list[str]:
    """The configuration's word for each layer; empty where it lists none."""
    words = facts.items("layer_types") or facts.items("layers_block_type") or []
    return [word if isinstance(word, str) else "" for word in words[:count]] + [""] * (count - len(words))


def _window_tokens(facts: Facts, kind: ModelType) -> int | None:
    window = kind.window
    if window is not None and window.only_with_layers not in (None, facts.number("num_hidden_layers")):
        return None
    if window is not None and window.tokens:
        return window.tokens
    if kind.architecture == "gemma3" and facts.number("sliding_window_pattern") == 1:
        return None
    return facts.number("sliding_window", "attention_chunk_size") or None


def _dense_width(facts: Facts, kind: ModelType, builder: LayerBuilder) -> Callable[[int], int]:
    plain = facts.number("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim") or 0
    if kind.architecture == "openelm":
        return lambda index: _openelm_width(facts, builder, index)
    if kind.architecture in ("lfm2", "lfm2moe"):
        plain = _lfm2_width(facts, plain)
    elif kind.architecture == "llama4":
        plain = facts.number("intermediate_size_mlp") or plain
    elif kind.architecture == "granitehybrid":
        plain = facts.number("shared_intermediate_size") or plain
    elif kind.architecture in ("mamba", "mamba2"):
        plain = 0
    elif kind.architecture in ("rwkv6", "rwkv7"):
        plain = plain or (builder.width * 7 // 2 // 32 * 32 if kind.architecture == "rwkv6" else builder.width * 4)
    elif kind.architecture == "nemotron_h":
        pattern = facts.pattern
        return lambda index: plain if pattern[index : index + 1] == "-" else 0
    elif not plain and not builder.experts.count:
        plain = 4 * builder.width  # the classes that leave it out: GPT-2, Falcon, BLOOM
    if facts.items("intermediate_size"):
        return lambda index: facts.of_layer("intermediate_size", index) or plain
    wide = kind.architecture == "gemma4" and facts.flag("use_double_wide_mlp") is True
    shared = facts.number("num_kv_shared_layers") or 0
    if wide and shared:  # layers without a cache of their own have twice the width
        return lambda index: plain * (2 if index >= builder.count - shared else 1)
    return lambda index: plain


def _lfm2_width(facts: Facts, plain: int) -> int:
    """Lfm2MLP: two thirds, times a factor, rounded up; not where experts are."""
    plain = facts.number("block_ff_dim", "intermediate_size") or plain
    if facts.flag("block_auto_adjust_ff_dim") is not True:
        return plain
    step = facts.number("block_multiple_of") or 256
    width = int((facts.real("block_ffn_dim_multiplier") or 1.0) * (2 * plain // 3))
    return -(-width // step) * step


def _openelm_width(facts: Facts, builder: LayerBuilder, index: int) -> int:
    """OpenELMConfig: multipliers of the width, evenly spaced over the layers and rounded, in whole divisors."""
    first, last = (facts.items("ffn_multipliers") or [0.5, 4.0])[:2]
    step = facts.number("ffn_dim_divisor") or 256
    spaced = round(first + (last - first) * index / max(1, builder.count - 1), 2)
    return made_divisible(spaced * builder.width, step)


def _is_tied(facts: Facts, kind: ModelType) -> bool:
    if kind.encoder:
        return True
    said = facts.flag("tie_word_embeddings")
    return said if said is not None else facts.flag("tie_embedding") is True


def _shape(facts: Facts, builder: LayerBuilder, blocks: tuple[Block, ...], *, architecture: Architecture) -> Shape:
    width, vocabulary, name = builder.width, architecture.vocabulary, architecture.name
    inputs = [Matrix("embedding", width, vocabulary)]
    outputs = [Matrix("vector", width)]
    if not architecture.tied_embeddings:
        outputs.append(Matrix("output", width, vocabulary))
    if name in ("gpt2", "bert", "starcoder"):
        positions = facts.number("n_positions", "max_position_embeddings") or 0
        inputs.append(Matrix("kept", width, positions + (facts.number("type_vocab_size") or 0)))
    per_layer = facts.number("hidden_size_per_layer_input") or 0
    if name in ("gemma3n", "gemma4") and per_layer:
        inputs.append(Matrix("embedding", per_layer * builder.count, vocabulary))
        first, *rest = blocks
        projection = (Matrix("half", width, per_layer * builder.count), Matrix("vector", per_layer))
        blocks = (Block(layer=first.layer, matrices=(*first.matrices, *projection)), *rest)
        if name == "gemma3n":
            outputs.append(Matrix("half", width, 2 * width * ((facts.number("altup_num_inputs") or 4) - 1)))
    return Shape(
        architecture=name,
        blocks=blocks,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        tied=architecture.tied_embeddings,
        queries_per_kv_head=1 if builder.kv_heads == 0 else builder.heads // builder.kv_heads,
        experts=architecture.experts.count if architecture.experts else 0,
        experts_stay_mxfp4=name == "gpt-oss",
    )


def _doubt(read: Understood, stated: int | None) -> str | None:
    """A sentence where the parameters that the facts make are not those that are stated. A multimodal model states more
    (its encoders), and some store a tied head twice; layers for multi-token prediction lie within the tolerance."""
    computed = read.shape.parameters
    if stated is None or (read.multimodal and stated > computed):
        return None
    expected = (computed, computed + read.shape.inputs[0].elements)
    if any(abs(figure - stated) <= _TOLERANCE * stated for figure in expected):
        return None
    return f"The configuration makes {computed:,} parameters, the repository states {stated:,}."
