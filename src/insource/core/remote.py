"""A model repository as it can be known without downloading it: headers and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insource.core.gguf import GgufHeader, TensorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFile:
    """The beginning of a GGUF file as it is, for the engine's own reader: of a file here, or of one on the Hub."""

    name: str
    size_bytes: int
    """Of the whole file."""
    path: Path | None = None
    data: bytes = b""
    """Up to where the tensors' data begins; empty where there is a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What an engine would allocate for a model on a machine with a CPU alone, as its own allocator says."""

    context_bytes: int
    """KV cache and recurrent states, all slots together."""
    compute_bytes: int


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
    projector: RemoteFile | None = None
    """The smallest multimodal projector (`mmproj*.gguf`) that the repository offers beside the model."""
    header_files: tuple[HeaderFile, ...] = ()
    """The same as it came, shard by shard."""
    config: Mapping[str, Any] | None = None
    """Its config.json."""
    tensors: tuple[TensorInfo, ...] = ()
    """Of its safetensors; the shape as stored (the contiguous dimension last), types by safetensors' names."""
    parameters: int | None = None
    """As the Hub's metadata counts them, which may be wrong."""
