"""The open models that exist, as rows of a catalogue: made by `hub/`, read by `fit/` and the scout."""

from __future__ import annotations

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
