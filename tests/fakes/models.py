"""Catalogue rows for tests, with everything usual filled in."""

from __future__ import annotations

from datetime import date
from typing import Any

from insource.core.catalogue import CatalogueModel

_USUAL: dict[str, Any] = {
    "parameters": 8_000_000_000,
    "active_parameters": None,
    "model_type": "qwen3",
    "pipeline_tag": "text-generation",
    "capabilities": (),
    "languages": (),
    "context_tokens": 32_768,
    "license": "apache-2.0",
    "downloads": None,
    "likes": None,
    "released": date(2026, 1, 1),
    "format": "safetensors",
    "gguf_repositories": (),
}


def model(id: str, **changes: Any) -> CatalogueModel:
    return CatalogueModel(id=id, **{**_USUAL, **changes})
