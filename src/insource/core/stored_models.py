"""Model files as the stores on this machine hold them: ours, and those of other tools. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ModelKind = Literal["model", "projector", "adapter", "safetensors", "mlx", "other"]
"""`model`: a GGUF with a language model; `other`: a GGUF that is none (an importance matrix, a control vector)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """One entry of a store: a file, the shards of one model, or a repository of safetensors."""

    ref: str
    """As every command takes it: `org/name:file.gguf`, `ollama:qwen3:8b`, `lmstudio:org/repo/file.gguf`, ..."""
    source: str
    """`hub`, `wheel`, `imported`, `file`, `llamacpp`, `ollama`, `lmstudio`."""
    paths: tuple[Path, ...]
    """In the order of the shards; () when nothing of it is there."""
    size_bytes: int
    """Of all paths."""
    sha256: str | None = None
    """None: not known yet; whoever uses the file computes it once. Shards have none."""
    license: str | None = None
    """As its source states it, mostly an SPDX id; None: not stated."""
    kind: ModelKind = "model"
    architecture: str | None = None
    problem: str | None = None
    """Why it can't be used here, as a sentence; None: nothing is known against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreListing:
    models: tuple[StoredModel, ...]
    skipped: tuple[str, ...]
    """What was found and is no entry, each with its reason: one sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServer:
    """A model server that runs on this machine already."""

    kind: Literal["ollama", "lmstudio", "llamacpp", "vllm", "openai"]
    """`openai`: it lists models as that API does, and does not say what it is."""
    url: str
    version: str | None
    models: tuple[str, ...]
