"""What the files of repositories are, as far as the Hub was asked: sizes and hashes of their weights, and the parent
that a configuration names.

No listing tells it, only a request for one repository. Each answer is a line of `files.jsonl` beside the snapshots, so
that an interruption loses none; of several answers about one id the newest holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from insource.core.errors import StorageError
from insource.hub.duck import paths_list

if TYPE_CHECKING:
    from types import TracebackType

    from duckdb import DuckDBPyConnection

ADAPTER_CONFIG, MODEL_CONFIG = "adapter_config.json", "config.json"
"""Files that may name a parent: `base_model_name_or_path` of PEFT, `_name_or_path` of transformers."""


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model's weights."""

    size_bytes: int
    sha256: str


class RepoFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The Hub's answer about one repository."""

    id: str
    """As it was asked for."""
    asked: datetime
    """UTC."""
    found: bool = True
    """False: deleted, or closed to who asks."""
    renamed_to: str | None = None
    config: str | None = None
    """`ADAPTER_CONFIG` or `MODEL_CONFIG`: which names a parent."""
    names: str | None = None
    """The parent as it is written there, which may be a folder of its maker's."""
    weights: tuple[Weight, ...] = ()
    stored_bytes: int = 0
    """Of all large files, weights of unknown formats among them; leftovers of a training apart."""


_COLUMNS: Mapping[str, str] = {
    "id": "VARCHAR",
    "asked": "TIMESTAMP",
    "found": "BOOLEAN",
    "config": "VARCHAR",
    "names": "VARCHAR",
    "stored_bytes": "BIGINT",
    "weights": "STRUCT(size_bytes BIGINT, sha256 VARCHAR)[]",
}
_LINES = f"""read_json({{file}}, format = 'newline_delimited', ignore_errors = true,
    columns = {{{{{", ".join(f"{name}: '{type}'" for name, type in _COLUMNS.items())}}}}})"""
_NO_LINES = f"(SELECT {', '.join(f'NULL::{type} AS {name}' for name, type in _COLUMNS.items())})"
_ANSWERS = """
CREATE OR REPLACE TEMP TABLE repo_files AS FROM {answers} WHERE id IS NOT NULL AND asked IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY id ORDER BY asked DESC) = 1
"""
_WEIGHTS = """
CREATE OR REPLACE TEMP TABLE weight_files AS
SELECT id, file.sha256 AS sha256, max(file.size_bytes) AS size_bytes
FROM (SELECT id, unnest(weights) AS file FROM repo_files) GROUP BY ALL
"""


class FilesLog:
    """Written to by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "files.jsonl"
        self._file: Any = None

    @property
    def stamp(self) -> str:
        """Differs after every answer; "" where nothing was asked."""
        try:
            told = self.path.stat()
        except OSError:
            return ""
        return f"{told.st_size} {told.st_mtime_ns}" if told.st_size and self.path.is_file() else ""

    def __enter__(self) -> FilesLog:
        """Raises StorageError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            self._cut_half_line()
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # each answer was written whole, or its failure said
            self._file.close()

    def add(self, answer: RepoFiles) -> None:
        """Raises StorageError."""
        try:
            self._file.write(msgspec.json.encode(answer) + b"\n")
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def load(self, connection: DuckDBPyConnection) -> None:
        """Makes the tables `repo_files` (id, asked, found, config, names, stored_bytes) and `weight_files` (id, sha256,
        size_bytes), one row for each different file; empty ones where nothing was asked. A damaged line counts as not
        asked. Raises StorageError."""
        import duckdb

        lines = _LINES.format(file=paths_list((self.path,))) if self.stamp else _NO_LINES
        try:
            connection.execute(_ANSWERS.format(answers=lines))
        except duckdb.IOException as error:
            raise StorageError(
                f"The Hub's answers in {str(self.path)!r} can't be read: {str(error).splitlines()[0][:200]}.",
                next_step="Check the file's permissions, or move it away and run `insource hub files` again.",
            ) from error
        connection.execute(_WEIGHTS)

    def _cut_half_line(self) -> None:
        """What a killed process left."""
        end = self._file.seek(0, 2)
        while end:
            start = max(end - 65_536, 0)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        self._file.truncate(end)

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"The Hub's answers can't be saved in {str(self.path)!r}: {error.strerror or error}.",
            next_step="Make room there, or set `home` to another folder. What was kept before is untouched.",
        )
