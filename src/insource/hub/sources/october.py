"""Records that llmfit gathered (`models_*.json`), and the snapshot made of them that ships with insource.

They state little: no card, no tags, no parents, no count of all downloads. Sizes were counted from safetensors headers.
No downloads and no likes together with no date of creation are a listing that did not carry them, not zeros. A context
of 4,096 where no layers are known either is what they fall back to when a model's config could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from insource.core.catalogue import CatalogueModel

_DEFAULT_CONTEXT = 4096


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
            "context": _context(record),
            "active_parameters": record.get("active_parameters"),
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


def day_of(records: Sequence[Mapping[str, Any]]) -> date:
    """The newest day that they mention."""
    named = [record.get(name) for record in records for name in ("release_date", "_revalidated")]
    return max((day for text in named if isinstance(text, str) and (day := _day(text))), default=date.min)


def _context(record: Mapping[str, Any]) -> Any:
    context = record.get("context_length")
    return None if context == _DEFAULT_CONTEXT and record.get("num_hidden_layers") is None else context


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _stated(value: Any) -> Any:
    return None if value == "unknown" else value
