"""A model from its row of the catalogue: the row's figures in the layout of its family. Pure.

Thousands of rows are some hundred shapes, so each shape is understood once. The shipped table's row of the same type
and size is taken where there is one (a fine-tune has its parent's shape); else the row's own figures, with the tied
output head and the feed-forward width that its parameters imply. A row without figures has a size but no cache that
could be told, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from insource.core.architecture import Architecture, ModelSpec, Weights
from insource.core.catalogue import CatalogueModel
from insource.fit.config_facts import Facts
from insource.fit.config_layers import MissingFact
from insource.fit.config_spec import ENCODERS_APART, Understood, understand
from insource.fit.families import config_of, known_name, model_ids
from insource.fit.model_types import MODEL_TYPES, TEXT_TYPES, WRAPPERS
from insource.fit.quantization import canonical_quantization, estimate_weights
from insource.fit.table import defaults

_SHAPES = 8192
"""Kept at once; the catalogue of October 2026 has 2,205."""
_TOLERANCE = 0.05
_SAME_SIZE = 0.0005
"""Share of the parameters by which copies of one model differ: buffers and scales."""
_PACKED = 9
"""4-bit weights are stored eight to a 32-bit value, which some count as one."""
_WITH_ENCODERS = frozenset(TEXT_TYPES) | {
    name for name in MODEL_TYPES if "_vl" in name or name.startswith(("gemma3", "gemma4", "qwen3_5", "llama4", "glm4v"))
}
_MULTIMODAL = ("image-text-to-text", "any-to-any", "audio-text-to-text", "video-text-to-text")
_STEP = 32
"""Feed-forward widths are multiples of it."""


_NO_WINDOW = "The catalogue does not state its sliding window: the whole context was counted in every layer."


class _Key(NamedTuple):
    """What a row says about the shape."""

    table_id: str
    model_type: str
    layers: int
    width: int
    heads: int
    kv_heads: int | None
    head_width: int | None
    vocabulary: int | None
    experts: int | None
    experts_used: int | None
    inner_width: int | None
    """Of an expert, or of the dense feed-forward where there are none."""
    parameters: int
    """To two digits, and only where something has to be derived from it; else 0."""


def spec_of_row(row: CatalogueModel, *, quantization: str) -> ModelSpec:
    """Raises UsageError for an unknown quantisation."""
    key = _key(row)
    sized = _sized(key, quantization)
    if sized is None:
        return _size_only(row, canonical_quantization(quantization))
    read, weights = sized
    architecture, doubt = read.architecture, _doubt(row, read, in_table=bool(key.table_id))
    if doubt or row.context_tokens not in (None, architecture.context_tokens):
        architecture = replace(
            architecture,
            context_tokens=row.context_tokens or architecture.context_tokens,
            unknown=(*architecture.unknown, doubt) if doubt else architecture.unknown,
        )
    return ModelSpec(
        name=row.id,
        architecture=architecture,
        weights=weights,
        source="catalogue",
        parameters=read.parameters,
        active_parameters=read.active,
        license=row.license,
        not_counted=(ENCODERS_APART,) if row.pipeline_tag in _MULTIMODAL else (),
    )


def _key(row: CatalogueModel) -> _Key:
    kind = TEXT_TYPES.get(row.model_type, row.model_type)
    layers, width, heads = row.layers or 0, row.embedding_width or 0, row.attention_heads or 0
    table_id = known_name(row.id) or _of_this_size(row, _architecture(kind))
    if layers:
        table_id = _wrapped(row) if kind in WRAPPERS else _in_table(row, _architecture(kind))
    derived = table_id is None
    return _Key(
        table_id=table_id or "",
        model_type=kind,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=row.kv_heads,
        head_width=row.head_width,
        vocabulary=row.vocabulary,
        experts=row.experts if (row.experts or 0) > 1 else None,
        experts_used=row.experts_used,
        inner_width=row.expert_width,
        parameters=int(float(f"{row.parameters:.2e}")) if derived else 0,
    )


class _Sized(NamedTuple):
    architecture: Architecture
    embedding: int
    """Parameters of the token embedding."""
    parameters: int
    active: int


@lru_cache(maxsize=_SHAPES)
def _sized(key: _Key, quantization: str) -> tuple[_Sized, Weights] | None:
    read = _understood(key)
    if read is None:
        return None
    sized = _Sized(
        architecture=read.architecture,
        embedding=read.shape.inputs[0].elements,
        parameters=read.shape.parameters,
        active=read.active_parameters,
    )
    return sized, estimate_weights(read.shape, quantization)


def _understood(key: _Key) -> Understood | None:
    """None: the row does not say enough."""
    if key.table_id:
        config = config_of(key.table_id)
        return _read({**config, "vocab_size": key.vocabulary or config["vocab_size"]})
    if not (key.layers and key.width and (key.heads or _is_recurrent(key.model_type))):
        return None
    config = _config(key)
    read = _with_inner(key, config)
    if read is None:
        return None
    surplus = read.shape.parameters - key.parameters
    tied_is_nearer = abs(surplus - read.shape.inputs[0].elements) < abs(surplus)
    too_narrow = not key.inner_width and max(layer.feed_forward_width for layer in read.architecture.layers) < key.width
    if tied_is_nearer or (too_narrow and not key.experts):
        read = _with_inner(key, {**config, "tie_word_embeddings": True})
    if read is None or not _lacks_window(config):
        return read
    architecture = replace(read.architecture, unknown=(*read.architecture.unknown, _NO_WINDOW))
    return replace(read, architecture=architecture)


def _lacks_window(config: Mapping[str, Any]) -> bool:
    kind = MODEL_TYPES.get(config["model_type"])
    window = kind.window if kind else None
    stated = config["sliding_window"] or (window and (window.tokens or window.only_with_layers))
    return window is not None and not stated


def _config(key: _Key) -> dict[str, Any]:
    """The row in the words of a config.json; facts that it lacks are those that its family's sizes have in common."""
    stated = {
        "num_hidden_layers": key.layers,
        "hidden_size": key.width,
        "num_attention_heads": key.heads,
        "num_key_value_heads": key.kv_heads,
        "head_dim": key.head_width,
        "vocab_size": key.vocabulary,
        "num_experts": key.experts,
        "num_experts_per_tok": key.experts_used,
        "moe_intermediate_size": key.inner_width if key.experts else None,
        "intermediate_size": key.inner_width,
    }
    common = _common().get(key.model_type, {})
    own = {name: value for name, value in stated.items() if value is not None}
    return {"sliding_window": None, **common, "model_type": key.model_type, "tie_word_embeddings": False, **own}


def _with_inner(key: _Key, config: dict[str, Any]) -> Understood | None:
    """With the feed-forward width that the parameters leave room for, where the row states none."""
    if key.inner_width or key.experts:
        return _read(config)
    narrow = _read({**config, "intermediate_size": _STEP})
    if narrow is None:
        return None
    matrices = 3 if any(layer.gated for layer in narrow.architecture.layers) else 2
    widened = [layer for layer in narrow.architecture.layers if layer.feed_forward_width]
    step = matrices * key.width * _STEP * len(widened)
    if not step or key.parameters <= narrow.shape.parameters:
        return narrow
    return _read(
        {**config, "intermediate_size": _STEP * (1 + round((key.parameters - narrow.shape.parameters) / step))}
    )


def _read(config: Mapping[str, Any]) -> Understood | None:
    try:
        return understand(config, Facts(config, defaults()))
    except MissingFact:
        return None


def _doubt(row: CatalogueModel, read: _Sized, *, in_table: bool) -> str | None:
    """Where the parameters stated can't be those of the shape. What explains a difference: encoders and layers for
    multi-token prediction on top, a tied head or causal masks stored with the weights, 4-bit weights packed eight to a
    value. A shape that the table has is trusted more than a count of tensors."""
    computed, stated = read.parameters, row.parameters
    near = (
        abs(computed - stated) <= _TOLERANCE * stated or abs(computed + read.embedding - stated) <= _TOLERANCE * stated
    )
    if not stated or near:
        return None
    packed = row.format not in ("safetensors", "gguf", "")
    if stated < computed and _PACKED * stated >= computed and (in_table or packed):
        return None
    if stated > computed and (in_table or row.model_type in _WITH_ENCODERS):
        return None
    return f"Its figures make {computed:,} parameters, the catalogue states {stated:,}."


def _size_only(row: CatalogueModel, quantization: str) -> ModelSpec:
    total = round(row.parameters * _bits(quantization) / 8)
    kind = row.model_type[:60]
    return ModelSpec(
        name=row.id,
        architecture=Architecture(
            name=kind,
            layers=(),
            embedding_width=row.embedding_width or 0,
            vocabulary=row.vocabulary or 0,
            context_tokens=row.context_tokens,
            unknown=(
                f"The catalogue states no layers and heads of it (model type {kind!r}): its cache can't be told, only "
                f"{row.parameters:,} parameters' weights.",
            ),
        ),
        weights=Weights(layer_bytes=(), input_bytes=0, output_bytes=total, quantization=quantization, exact=False),
        source="catalogue",
        parameters=row.parameters,
        active_parameters=row.active_parameters or row.parameters,
        license=row.license,
    )


@lru_cache(maxsize=64)
def _bits(quantization: str) -> float:
    """Per parameter, of a model that is mostly layers."""
    read = _read(config_of("meta-llama/Llama-3.1-8B"))
    assert read is not None
    weights = estimate_weights(read.shape, quantization)
    return 8 * (sum(weights.layer_bytes) + weights.input_bytes + weights.output_bytes) / read.shape.parameters


def _architecture(model_type: str) -> str:
    kind = MODEL_TYPES.get(model_type)
    return kind.architecture if kind else ""


def _is_recurrent(model_type: str) -> bool:
    kind = MODEL_TYPES.get(model_type)
    return kind is not None and kind.attention == "none"


def _of_this_size(row: CatalogueModel, architecture: str) -> str | None:
    """The table's id of the same type, width and parameters, for a row without layers: a copy of it, or a fine-tune."""
    if not (architecture and row.embedding_width and row.parameters):
        return None
    found = [
        known.name
        for key, rows in _table().items()
        if key[0] == architecture and key[2] == row.embedding_width
        for known in rows
        if abs(known.parameters - row.parameters) <= _SAME_SIZE * row.parameters
    ]
    return found[0] if len(found) == 1 else None


def _wrapped(row: CatalogueModel) -> str | None:
    """The table's id of the one language model of this shape; None: there is none, or several kinds have it, of which
    not just one has this vocabulary."""
    shape = (row.layers, row.embedding_width, row.attention_heads or 0)
    kinds = {key[0] for key in _table() if key[1:] == shape}
    found = [known for kind in sorted(map(str, kinds)) if (known := _in_table(row, kind)) is not None]
    if len(found) > 1:
        found = [name for name in found if config_of(name)["vocab_size"] == row.vocabulary]
    return found[0] if len(found) == 1 else None


class _TableRow(NamedTuple):
    name: str
    kv_heads: int | None
    experts: int | None
    inner_width: int | None
    parameters: int


def _in_table(row: CatalogueModel, architecture: str) -> str | None:
    """The table's id of the same type and size; of several, the one whose parameters are nearest."""
    experts = row.experts if (row.experts or 0) > 1 else None
    found = [
        known
        for known in _table().get((architecture, row.layers, row.embedding_width, row.attention_heads or 0), ())
        if known.experts == experts
        and (row.kv_heads is None or known.kv_heads == row.kv_heads)
        and (row.expert_width is None or known.inner_width in (None, row.expert_width))
    ]
    return min(found, key=lambda known: abs(known.parameters - row.parameters)).name if found else None


@lru_cache(maxsize=1)
def _table() -> Mapping[tuple[object, ...], tuple[_TableRow, ...]]:
    """By architecture, layers, width and heads."""
    found: dict[tuple[object, ...], tuple[_TableRow, ...]] = {}
    for name in model_ids():
        config = config_of(name)
        read = _read(config)
        assert read is not None
        known = read.architecture
        heads = config.get("num_attention_heads") or config.get("n_head") or 0
        row = _TableRow(
            name=name,
            kv_heads=config.get("num_key_value_heads") or heads or None,
            experts=known.experts.count if known.experts else None,
            inner_width=config.get("moe_intermediate_size") or config.get("intermediate_size"),
            parameters=read.shape.parameters,
        )
        key = (_architecture(config["model_type"]), len(known.layers), known.embedding_width, heads)
        found[key] = (*found.get(key, ()), row)
    return found


@lru_cache(maxsize=1)
def _common() -> Mapping[str, Mapping[str, Any]]:
    """By model type: the facts on which all the table's rows of that type agree."""
    found: dict[str, dict[str, Any]] = {}
    for name in model_ids():
        config = config_of(name)
        kept = found.setdefault(config["model_type"], dict(config))
        for key in [key for key, value in kept.items() if config.get(key) != value]:
            del kept[key]
    return found
