"""What the headers of stored models say, read once each: architecture, kind, licence, and whether the file is whole.

Kept by path, size and time of change in one JSON file beside the other notes; losing it costs reading them again, some
50 ms each for a large vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from insource.core.errors import BadModelFile
from insource.core.gguf import GgufHeader
from insource.core.stored_models import ModelKind, StoredModel
from insource.engines.models.gguf import check_gguf
from insource.engines.models.notes import write_notes
from insource.engines.models.stores.ggufs import split

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
        try:
            states = [path.stat() for path in model.paths]
        except OSError as error:
            return replace(model, problem=f"{model.paths[0].as_posix()!r} can't be read: {error.strerror or error}.")
        size_bytes, changed = sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)
        key = str(model.paths[0])
        said = known.get(key)
        if said is None or (said.format, said.size_bytes, said.changed_nanoseconds) != (_FORMAT, size_bytes, changed):
            said = _read(model.paths, size_bytes=size_bytes, changed_nanoseconds=changed)
        used[key] = said
        return replace(
            model,
            kind=said.kind or model.kind,
            architecture=said.architecture,
            license=model.license or said.license,
            problem=said.problem or split(model),
        )

    def _known(self) -> dict[str, _Said]:
        with contextlib.suppress(OSError, ValueError):
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Said])
        return {}


def kind_of(header: GgufHeader) -> ModelKind:
    if header.architecture == "clip":  # projectors from before `general.type`
        return "projector"
    return _KINDS.get(header.kind, "other")


def _read(paths: Sequence[Path], *, size_bytes: int, changed_nanoseconds: int) -> _Said:
    """The first shard's header says what the model is; every shard's says whether that file is whole."""
    said = _Said(format=_FORMAT, size_bytes=size_bytes, changed_nanoseconds=changed_nanoseconds)
    try:
        header, *_ = [check_gguf(path) for path in paths]
    except BadModelFile as error:
        return msgspec.structs.replace(said, problem=error.message)
    return msgspec.structs.replace(said, kind=kind_of(header), architecture=header.architecture, license=header.license)
