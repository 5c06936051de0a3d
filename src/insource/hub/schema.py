"""The columns of a snapshot: what is kept of a repository, whichever source told it.

The Hub has three types of repositories: models, datasets and Spaces (apps that anybody hosts there). A snapshot is one
Parquet file of one type's columns for one day. Every source (`sources/`) gives just these rows, so that everything
above (facts, lineage, licences, report) asks one view a type, and never where a row came from. NULL: not stated by that
source; nothing is filled in. Lists are sorted where their order means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type: str
    """DuckDB's."""
    meaning: str


MODEL_COLUMNS: tuple[Column, ...] = (
    Column(name="id", type="VARCHAR", meaning="`org/name`, as the source spells it; old ones have no org"),
    Column(name="author", type="VARCHAR", meaning="the part of the id before the slash, else NULL"),
    Column(name="created", type="TIMESTAMP", meaning="UTC; the Hub's own floor is 2022-03-02"),
    Column(name="modified", type="TIMESTAMP", meaning="UTC, of the last commit"),
    Column(name="downloads", type="BIGINT", meaning="of the last 30 days, as the Hub counts"),
    Column(name="downloads_all", type="BIGINT", meaning="since the beginning"),
    Column(name="likes", type="BIGINT", meaning="since the beginning"),
    Column(name="trending", type="DOUBLE", meaning="the Hub's own trending score"),
    Column(name="pipeline_tag", type="VARCHAR", meaning="task, as the Hub names it"),
    Column(name="library", type="VARCHAR", meaning="library_name"),
    Column(name="license", type="VARCHAR", meaning="the card's licence id; of several, 'a,b', all hold; '': "
           "it states none"),
    Column(name="license_name", type="VARCHAR", meaning="where the licence is `other`"),
    Column(name="languages", type="VARCHAR[]", meaning="of the card"),
    Column(name="tags", type="VARCHAR[]", meaning="all of the repository's tags, capped in number and length"),
    Column(name="base_models", type="STRUCT(relation VARCHAR, id VARCHAR)[]", meaning="declared parents; relation is "
           "finetune, adapter, quantized, merge or NULL"),
    Column(name="card_base_models", type="VARCHAR[]", meaning="parents as the card names them, which the Hub may have "
           "resolved to other ids or not at all"),
    Column(name="config_base_model", type="VARCHAR", meaning="parent as an adapter's configuration names it, which may "
           "be a folder of its maker's"),
    Column(name="model_type", type="VARCHAR", meaning="config.model_type, or the GGUF's architecture"),
    Column(name="parameters_stated", type="BIGINT", meaning="safetensors.total: parameters, sometimes wrong by 1000x"),
    Column(name="parameters_by_type", type="MAP(VARCHAR, BIGINT)", meaning="safetensors.parameters; names may be junk"),
    Column(name="gguf_parameters", type="BIGINT", meaning="gguf.total, as the Hub's reader counted"),
    Column(name="gguf_context", type="BIGINT", meaning="gguf.context_length, tokens"),
    Column(name="context", type="BIGINT", meaning="of the model's config, tokens"),
    Column(name="active_parameters", type="BIGINT", meaning="of a mixture of experts, a token; as its config counts"),
    Column(name="gated", type="VARCHAR", meaning="`auto`, `manual`, `no`; NULL: not stated"),
    Column(name="sha", type="VARCHAR", meaning="of the last commit"),
    Column(name="files", type="VARCHAR[]", meaning="file names, where the source lists them"),
    Column(name="source", type="VARCHAR", meaning="`api`, `hub-stats`, `records`: which reader gave the row"),
)  # fmt: skip

_SHARED = ("id", "author", "created", "modified", "likes", "trending", "license", "tags", "sha", "source")
_DATASET = (*_SHARED, "downloads", "downloads_all", "languages", "gated")


def _of_models(names: tuple[str, ...]) -> tuple[Column, ...]:
    return tuple(column for column in MODEL_COLUMNS if column.name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoType:
    """A type of repositories, as the Hub has them."""

    name: str
    """Plural: also the view's name, and the part of the API's address."""
    columns: tuple[Column, ...]


MODELS = RepoType(name="models", columns=MODEL_COLUMNS)
DATASETS = RepoType(name="datasets", columns=_of_models(_DATASET))
SPACES = RepoType(
    name="spaces",
    columns=(
        *_of_models(_SHARED),
        Column(name="sdk", type="VARCHAR", meaning="gradio, docker, static, streamlit"),
        Column(name="models", type="VARCHAR[]", meaning="that it names or loads, as the Hub found them"),
        Column(name="datasets", type="VARCHAR[]", meaning="likewise"),
        Column(name="stage", type="VARCHAR", meaning="runtime.stage: RUNNING, SLEEPING, BUILD_ERROR, …"),
        Column(name="hardware", type="VARCHAR", meaning="runtime.hardware.current, as cpu-basic"),
    ),
)
REPO_TYPES: Mapping[str, RepoType] = {one.name: one for one in (MODELS, DATASETS, SPACES)}

SOURCES: tuple[str, ...] = ("api", "hub-stats", "records")
"""In order of precedence, where two give a row for one day."""
