"""A model repository as it can be known without downloading it: headers and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from insource.core.gguf import GgufHeader, TensorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """Either `header` (GGUF) or `config` (safetensors) is there."""

    id: str
    """`org/name`, or `org/name:file.gguf`."""
    commit: str
    """That was read; empty where the Hub states none."""
    license: str | None
    files: tuple[RemoteFile, ...]
    """That a download would fetch for its weights."""
    header: GgufHeader | None = None
    """Of all shards together: the first one's metadata, every one's tensors."""
    config: Mapping[str, Any] | None = None
    """Its config.json."""
    tensors: tuple[TensorInfo, ...] = ()
    """Of its safetensors; the shape as stored (the contiguous dimension last), types by safetensors' names."""
    parameters: int | None = None
    """As the Hub's metadata counts them, which may be wrong."""
