"""Which model files our engine was seen to load, by their sha256 and the engine's version.

Ollama writes GGUF files that only its own build reads: a vision model's projector among the language model's tensors,
say, which llama.cpp refuses ("wrong number of tensors"). Nothing in a header tells them apart for sure, so they are
tried once, and the result is kept until the engine changes.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from pathlib import Path

import msgspec

from insource.engines.models.notes import write_notes


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    runs: bool
    reason: str = ""
    """Why not, in llama.cpp's words."""


def engine_version() -> str:
    return "xllamacpp " + version("xllamacpp")


class Trials:
    def __init__(self, notes: Path, *, engine: str | None = None) -> None:
        self._path = notes
        self._engine = engine or engine_version()

    def of(self, sha256: str | None) -> Trial | None:
        """None: not tried yet with this engine."""
        return self._all().get(self._key(sha256)) if sha256 else None

    def put(self, sha256: str, trial: Trial) -> None:
        write_notes(self._path, {**self._all(), self._key(sha256): trial})

    def _key(self, sha256: str) -> str:
        return f"{sha256} {self._engine}"

    def _all(self) -> dict[str, Trial]:
        with contextlib.suppress(OSError, ValueError):
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Trial])
        return {}
