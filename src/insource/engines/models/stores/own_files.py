"""Files of the user's own that were named by `file:` once: known by their notes, used where they lie."""

from __future__ import annotations

import os
from pathlib import Path

from insource.core.stored_models import StoredModel, StoreListing
from insource.engines.models.cache import ModelCache


class OwnFilesStore:
    """`core.ports.ModelStore`. Its notes were made when the user named each file, so their places are trusted."""

    name = "file"

    def __init__(self, cache: ModelCache) -> None:
        self._cache = cache

    @property
    def folder(self) -> Path:
        """Of the notes; the files lie anywhere."""
        return self._cache.folder

    def read(self) -> StoreListing:
        paths = (Path(path) for path in sorted(self._cache.notes.all()))
        own = [self._entry(path) for path in paths if not path.is_relative_to(self.folder)]
        return StoreListing(models=tuple(own), skipped=())

    def _entry(self, path: Path) -> StoredModel:
        noted = self._cache.notes.all()[str(path)]
        same = self._cache.notes.of(path)
        problem = None
        if same is None:
            problem = f"{str(path)!r} has changed since it was named; `insource models pull file:{path}` reads it anew."
            if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a folder can't be entered
                problem = f"{str(path)!r} is gone, or the disk that it lay on."
        return StoredModel(
            ref=f"file:{path}",
            source=self.name,
            paths=(path,),
            size_bytes=noted.size_bytes,
            sha256=noted.sha256 if same else None,
            license=noted.license,
            problem=problem,
        )
