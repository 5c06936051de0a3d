"""The open models that exist, as rows of a catalogue: made by `hub/`, read by `fit/` and the scout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueModel:
    """One model repository as its metadata describes it. None: not stated; nothing is filled in."""

    id: str
    """`org/name`."""
    parameters: int
    """As the metadata counts them; 0: not stated. Packed 4-bit formats are often counted too low."""
    active_parameters: int | None
    """For a mixture of experts, where stated."""
    model_type: str
    """As transformers names it (`qwen3_moe`); llama.cpp's names differ."""
    pipeline_tag: str
    capabilities: tuple[str, ...]
    languages: tuple[str, ...]
    context_tokens: int | None
    license: str | None
    downloads: int | None
    """Of the last 30 days, as the Hub counts."""
    likes: int | None
    released: date | None
    format: str
    """Of the repository's own files: `safetensors`, `gguf`, `mlx`, `awq`, `gptq`, ..."""
    gguf_repositories: tuple[str, ...]
    """Where others offer it as GGUF."""
    layers: int | None = None
    attention_heads: int | None = None
    kv_heads: int | None = None
    head_width: int | None = None
    embedding_width: int | None = None
    vocabulary: int | None = None
    experts: int | None = None
    experts_used: int | None = None
    expert_width: int | None = None
    derivatives: int | None = None
    """All its descendants by declared lineage; None: this source holds no lineage."""
    recent_derivatives: int | None = None
    """Direct ones of the last 90 days of which parents are known; None also of a model that is younger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a catalogue is of use to whoever asks, so that a large one need not make objects of the rest."""

    pipelines: frozenset[str]
    """Of models that state one; those that state none may be of use too."""
    convertible: bool = True
    """False: only what somebody is known to offer as GGUF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """What the selected models descend from, all the way up."""

    parents: Mapping[str, Sequence[str]]
    licences: Mapping[str, str | None]
    """Of the selected and of every ancestor that is known here."""
    told_by_files: frozenset[str] = frozenset()
    """Those whose parent no card declares: their files tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The models that were wanted, and perhaps others: a small catalogue gives all it has."""

    models: Sequence[CatalogueModel]
    listed: int
    """Repositories in the whole catalogue."""
    left_out: Mapping[str, int]
    """Repositories that are not among `models`, by the reason."""
    ancestry: Ancestry | None
    """None: this source holds no lineage."""
    lineage_as_of: date | None = None
    """The last day on which parents are stated: recent derivatives are those of the days before it."""
    stating_parents: int = 0
    """Repositories that state their parents, or that they have none."""
