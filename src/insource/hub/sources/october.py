"""Records that llmfit gathered (`models_*.json`), and the snapshot made of them that ships with insource.

They state little: no card, no tags, no parents, no count of all downloads. Sizes were counted from safetensors headers.
No downloads and no likes together with no date of creation are a listing that did not carry them, not zeros. A context
of 4,096 where no layers are known either is what they fall back to when a model's config could not be read; active
parameters are an estimate (5 % shared) except published ones, which are round millions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from insource.core.catalogue import CatalogueModel

_DEFAULT_CONTEXT = 4096
_ROUND = 1_000_000


def api_records(records: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """As the Hub's API would say it."""
    for record in records:
        undated = record.get("release_date") is None
        yield {
            "id": record.get("name"),
            "createdAt": record.get("release_date"),
            "downloads": record.get("hf_downloads") or (None if undated else 0),
            "likes": record.get("hf_likes") or (None if undated else 0),
            "pipeline_tag": _stated(record.get("pipeline_tag")),
            "cardData": {"license": record.get("license"), "language": record.get("languages")},
            "safetensors": {"total": record.get("parameters_raw")},
            "config": {"model_type": _stated(record.get("architecture"))},
            "context": stated_context(record),
            "active_parameters": published_active(record),
        }


def shipped_records(models: Sequence[CatalogueModel]) -> Iterator[Mapping[str, Any]]:
    """The same of the shipped snapshot's models."""
    for model in models:
        yield {
            "id": model.id,
            "createdAt": model.released.isoformat() if model.released else None,
            "downloads": model.downloads,
            "likes": model.likes,
            "pipeline_tag": model.pipeline_tag or None,
            "cardData": {"license": model.license, "language": list(model.languages) or None},
            "safetensors": {"total": model.parameters or None},
            "config": {"model_type": model.model_type or None},
            "context": model.context_tokens,
            "active_parameters": model.active_parameters,
        }


def stated_context(record: Mapping[str, Any]) -> int | None:
    context = record.get("context_length")
    return None if context == _DEFAULT_CONTEXT and record.get("num_hidden_layers") is None else context


def published_active(record: Mapping[str, Any]) -> int | None:
    active = record.get("active_parameters")
    return active if active and active % _ROUND == 0 else None


def day_of(records: Sequence[Mapping[str, Any]]) -> date:
    """The newest day that they mention."""
    named = [record.get(name) for record in records for name in ("release_date", "_revalidated")]
    return max((day for text in named if isinstance(text, str) and (day := _day(text))), default=date.min)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _stated(value: Any) -> Any:
    return None if value == "unknown" else value
