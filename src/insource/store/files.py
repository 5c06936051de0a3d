"""Files of candidates in the home folder: adapters by their hash, and the workspaces that trainings go on in.

candidates/<sha256>.gguf      what a candidate is served with
candidates/training/<name>/   a training under way; empty once its candidate is kept
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from insource.core.errors import StorageError
from insource.core.hashing import file_sha256
from insource.core.values import JsonObject

_WORK = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    path: Path
    size_bytes: int
    sha256: str | None
    """None: a workspace, or what a killed copy left."""


class CandidateFiles:
    def __init__(self, home: Path) -> None:
        self._folder = home / "candidates"

    def keep(self, made: Path, *, log: JsonObject) -> str:
        """Moves a file here, under its hash, with the log of how it was made. It is on the disk when this returns."""
        sha256 = file_sha256(made)
        target = self._path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        shutil.copyfile(made, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        target.with_suffix(".json").write_text(json.dumps(log, ensure_ascii=False, indent=2), encoding="utf-8")
        partial.replace(target)
        made.unlink()
        return sha256

    def find(self, sha256: str) -> Path:
        """Raises StorageError where it is missing; whether its bytes are still the same is `check`'s to say."""
        path = self._path(sha256)
        if not path.is_file():
            raise StorageError(
                f"The adapter {sha256[:12]} of this candidate is not in {str(self._folder)!r}.",
                next_step="Make the candidate again: insource adapt TASK.",
            )
        return path

    def log(self, sha256: str) -> JsonObject:
        """{} where none is kept."""
        path = self._path(sha256).with_suffix(".json")
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def check(self, sha256: str) -> Path:
        """As `find`; reads it whole and raises StorageError where its bytes are others."""
        path = self.find(sha256)
        if file_sha256(path) != sha256:
            raise StorageError(
                f"The adapter {str(path)!r} is damaged.", next_step="Make the candidate again: insource adapt TASK."
            )
        return path

    def workspace(self, name: str) -> Path:
        """A folder of its own; what is in it from before is kept."""
        folder = self._folder / _WORK / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finished(self, name: str) -> None:
        shutil.rmtree(self._folder / _WORK / name, ignore_errors=True)

    def unused(self, used: Collection[str]) -> list[StoredFile]:
        """All but the files of these hashes, by name."""
        return [file for file in self.all() if file.sha256 not in used]

    def all(self) -> list[StoredFile]:
        if not self._folder.is_dir():
            return []
        work = self._folder / _WORK
        places = [path for path in self._folder.iterdir() if path != work]
        places += list(work.iterdir()) if work.is_dir() else []
        return [self._stored(path) for path in sorted(places)]

    def remove(self, files: Collection[StoredFile]) -> None:
        for file in files:
            if file.path.is_dir():
                shutil.rmtree(file.path, ignore_errors=True)
            else:
                file.path.unlink(missing_ok=True)

    def _stored(self, path: Path) -> StoredFile:
        inside = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
        size_bytes = sum(one.stat().st_size for one in inside)
        named = path.suffix in (".gguf", ".json") and not path.is_dir()
        return StoredFile(path=path, size_bytes=size_bytes, sha256=path.stem if named else None)

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.gguf"
