"""SQLite files of other programs: read, never written, and never waited for."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from insource.core.errors import BadInput
from insource.core.values import JsonObject

MAGIC = b"SQLite format 3\x00"
_PAGE = 200
_FAULTS = (sqlite3.Error, UnicodeError)
"""Names in a damaged file may be no text at all."""


class ForeignTables:
    """The tables of a file, opened read-only and as immutable: no lock, no journal, not a byte beside it. Where the
    program that writes it left rows in its write-ahead log, a private copy of both is read instead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        try:
            self._connection = self._open(path)
            self.columns: Mapping[str, tuple[str, ...]] = self._columns()
        except (*_FAULTS, OSError) as error:
            self._stack.close()
            raise _unreadable(path, error) from error

    def _open(self, path: Path) -> sqlite3.Connection:
        log = path.with_name(path.name + "-wal")
        if log.is_file() and log.stat().st_size:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            for file in (path, log):
                shutil.copyfile(file, folder / file.name)
            address = f"{(folder / path.name).as_uri()}?mode=rw"
        else:
            address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(address, uri=True)
        self._stack.callback(connection.close)
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        return connection

    def _columns(self) -> dict[str, tuple[str, ...]]:
        listed = "select name from sqlite_master where type = 'table' and sql not like 'create virtual%' order by name"
        names = [str(row[0]) for row in self._connection.execute(listed) if not str(row[0]).startswith("sqlite_")]
        return {
            name: tuple(row["name"] for row in self.rows("select name from pragma_table_info(?)", name))
            for name in names
        }

    def rows(self, query: str, *values: Any) -> Iterator[JsonObject]:
        """Raises BadInput where the file is damaged."""
        try:
            cursor = self._connection.execute(query, values)
            while page := cursor.fetchmany(_PAGE):
                yield from ({key: row[key] for key in row.keys()} for row in page)  # noqa: SIM118 - a Row is no mapping
        except _FAULTS as error:
            raise _unreadable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()


def _unreadable(path: Path, error: Exception) -> BadInput:
    return BadInput(
        f"The SQLite file {str(path)!r} can't be read ({error}).",
        next_step="Check it with: sqlite3 FILE 'pragma integrity_check'.",
    )
