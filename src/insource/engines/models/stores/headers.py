"""What the headers of stored models say, read once each: architecture, kind, licence, and whether the file is whole.

Kept by path, size and time of change in one JSON file beside the other notes; losing it costs reading them again, some
50 ms each for a large vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from insource.core.errors import BadModelFile
from insource.core.gguf import GgufHeader
from insource.core.stored_models import ModelKind, StoredModel
from insource.engines.models.gguf import check_gguf
from insource.engines.models.notes import write_notes

_KINDS: Mapping[str, ModelKind] = {"model": "model", "mmproj": "projector", "adapter": "adapter"}
"""`general.type` -> kind; every other type is `other`."""
_FORMAT = 1
"""Of the notes; those of another are read anew."""


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    size_bytes: int
    changed_nanoseconds: int
    kind: ModelKind | None = None
    architecture: str | None = None
    license: str | None = None
    problem: str | None = None


class Headers:
    def __init__(self, notes: Path) -> None:
        self._path = notes

    def describe(self, models: Iterable[StoredModel]) -> list[StoredModel]:
        """Each with what its header says. Opens what a store has listed without a problem, and nothing else."""
        known = self._known()
        used: dict[str, _Said] = {}
        described = [self._described(model, known, used) for model in models]
        if used != known:
            write_notes(self._path, used)
        return described

    def _described(self, model: StoredModel, known: Mapping[str, _Said], used: dict[str, _Said]) -> StoredModel:
        if model.problem is not None or model.kind in ("safetensors", "mlx"):
            return model
        path = model.paths[0]
        try:
            state = path.stat()
        except OSError as error:
            return replace(model, problem=f"{str(path)!r} can't be read: {error.strerror or error}.")
        said = known.get(str(path))
        now = (_FORMAT, state.st_size, state.st_mtime_ns)
        if said is None or (said.format, said.size_bytes, said.changed_nanoseconds) != now:
            said = _read(path, size_bytes=state.st_size, changed_nanoseconds=state.st_mtime_ns)
        used[str(path)] = said
        return replace(
            model,
            kind=said.kind or model.kind,
            architecture=said.architecture,
            license=model.license or said.license,
            problem=said.problem,
        )

    def _known(self) -> dict[str, _Said]:
        with contextlib.suppress(OSError, ValueError):
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Said])
        return {}


def kind_of(header: GgufHeader) -> ModelKind:
    if header.architecture == "clip":  # projectors from before `general.type`
        return "projector"
    return _KINDS.get(header.kind, "other")


def _read(path: Path, *, size_bytes: int, changed_nanoseconds: int) -> _Said:
    try:
        header = check_gguf(path)
    except BadModelFile as error:
        return _Said(
            format=_FORMAT, size_bytes=size_bytes, changed_nanoseconds=changed_nanoseconds, problem=error.message
        )
    return _Said(
        format=_FORMAT,
        size_bytes=size_bytes,
        changed_nanoseconds=changed_nanoseconds,
        kind=kind_of(header),
        architecture=header.architecture,
        license=header.license,
    )
