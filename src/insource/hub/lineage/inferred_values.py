"""What lineage inference reads and answers. Nothing of a model's own declared parents is among the facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from insource.core.ecosystem import Edge

_FACTS_QUERY = """
SELECT id, created, coalesce(downloads_all, downloads), likes, library, license, languages, tags, model_type,
       coalesce(parameters_stated, gguf_parameters), gguf_parameters IS NOT NULL
FROM models WHERE $ids IS NULL OR id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY id
"""
_STORED = """
CREATE OR REPLACE {temporary} TABLE {table} AS SELECT unnest(?::VARCHAR[]) AS child, unnest(?::VARCHAR[]) AS parent,
    unnest(?::VARCHAR[]) AS kind, unnest(?::VARCHAR[]) AS evidence, unnest(?::DOUBLE[]) AS confidence
"""
WANTED_PRECISION = 0.90
"""Of inferred edges: held on declared children that the scorer never saw, or whose configuration names a parent too."""
DECLARATIONS: tuple[str, ...] = ("base_model",)
"""Beginnings of tags that state the parent: never among the facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model without its declared parents. None: not stated."""

    id: str
    created: datetime | None = None
    downloads: int | None = None
    likes: int | None = None
    library: str | None = None
    license: str | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    model_type: str | None = None
    parameters: int | None = None
    gguf: bool = False

    @property
    def author(self) -> str:
        return self.id.rpartition("/")[0].lower()


_EDGE = tuple(field.name for field in fields(Edge))


def store_edges(connection: Any, edges: Sequence[Edge], *, table: str, temporary: bool = True) -> None:
    """Makes the table, with the columns of `Edge`."""
    columns = [[getattr(edge, name) for edge in edges] for name in _EDGE]
    connection.execute(_STORED.format(table=table, temporary="TEMP" if temporary else ""), columns)


def stored_edges(connection: Any, *, table: str) -> Sequence[Edge]:
    """Those of such a table, by child."""
    rows = connection.execute(f"SELECT {', '.join(_EDGE)} FROM {table} ORDER BY ALL").fetchall()
    return [Edge(**dict(zip(_EDGE, row, strict=True))) for row in rows]


def facts_of(connection: Any, *, ids: Sequence[str] | None = None) -> Sequence[ModelFacts]:
    """From a DuckDB connection that holds the view `models` (hub/schema.py), of these ids or all."""
    found = connection.execute(_FACTS_QUERY, {"ids": ids}).fetchall()
    return tuple(model_facts(dict(zip(_NAMES, row, strict=True))) for row in found)


_NAMES = ("id", "created", "downloads", "likes", "library", "license", "languages", "tags", "model_type",
          "parameters", "gguf")  # fmt: skip


def model_facts(row: Mapping[str, Any]) -> ModelFacts:
    """One row of a source; whatever declares a parent is dropped here."""
    tags = [str(tag) for tag in row.get("tags") or () if not str(tag).lower().startswith(DECLARATIONS)]
    return ModelFacts(
        id=row["id"],
        created=row.get("created"),
        downloads=row.get("downloads"),
        likes=row.get("likes"),
        library=row.get("library"),
        license=row.get("license"),
        languages=tuple(row.get("languages") or ()),
        tags=tuple(tags),
        model_type=row.get("model_type") or _tagged_type(tags),
        parameters=row.get("parameters"),
        gguf=bool(row.get("gguf")),
    )


def _tagged_type(tags: Sequence[str]) -> str | None:
    """config.model_type is among the tags, where a source drops the config."""
    return min((tag for tag in tags if _TYPE.fullmatch(tag)), default=None)


_TYPE = re.compile(
    r"""(?:llama|qwen|gemma|phi|mpt|opt|t5|mt5|gpt|gptj|gpt_\w+|gpt2|falcon|mamba|bloom|bert|roberta|cohere|granite|olmo|mistral
    |mixtral|stablelm|deepseek_v|exaone|internlm|starcoder|smollm|glm|chatglm|baichuan|minicpm|nemotron|jamba|rwkv|hymba
    |solar|dbrx|whisper|clip|vit|wav2vec|distilbert|modernbert|deberta|xlm-roberta|idefics|llava|pixtral|mllama|florence
    )[\d._]*(?:_?(?:moe|vl|text|next|hybrid|v\d|h1|h|dense|small|audio|omni)\w*)?""",
    re.VERBOSE,
)
"""Names of architectures, as transformers spells them; a tag that looks like one is taken for it."""
