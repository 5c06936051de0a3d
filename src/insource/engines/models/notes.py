"""What was once found out about a file and is worth not finding out again: its hash and its licence.

One small JSON file, read afresh on every question and replaced in one step. It may vanish: then hashes are computed
again. A note counts only while the file has the size and the time of change that it had then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Note(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str
    size_bytes: int
    changed_nanoseconds: int
    license: str | None = None

    @classmethod
    def about(cls, path: Path, *, sha256: str, license: str | None) -> Note:
        state = path.stat()
        return cls(sha256=sha256, size_bytes=state.st_size, changed_nanoseconds=state.st_mtime_ns, license=license)


class Notes:
    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, Note]:
        """By absolute path. A file that is missing or damaged holds no notes."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Note])
        except (OSError, msgspec.DecodeError):
            return {}

    def of(self, path: Path) -> Note | None:
        note = self.all().get(str(path))
        try:
            state = path.stat()
        except OSError:
            return None
        same = note is not None and (note.size_bytes, note.changed_nanoseconds) == (state.st_size, state.st_mtime_ns)
        return note if same else None

    def put(self, path: Path, note: Note) -> None:
        self._replace({**self.all(), str(path): note})

    def drop(self, path: Path) -> bool:
        notes = self.all()
        was_there = notes.pop(str(path), None) is not None
        if was_there:
            self._replace(notes)
        return was_there

    def _replace(self, notes: dict[str, Note]) -> None:
        write_notes(self._path, notes)


def write_notes(path: Path, notes: Mapping[str, msgspec.Struct]) -> None:
    """Replaces the file in one step. A cache that is read-only or full still works, only slower."""
    written = path.with_name(f"{path.name}.{os.getpid()}.new")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(msgspec.json.encode(notes))
        written.replace(path)
