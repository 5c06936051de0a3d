"""Snapshots on disk of one type of repositories, by source and day: `SOURCE/DAY-N.parquet`. `archive.json` lists what
is there; a snapshot exists from when it is listed, so none is ever half written.

A whole snapshot says of every id whether the source lists it: of it only the rows that differ from the source's days
before are stored, and `gone` rows for ids that vanished. A part says nothing of the ids that it lacks, and all of its
rows are stored. What they state together is in `statements.py`; it does not depend on the order in which they came.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from insource.core.errors import BadInput, StorageError, UsageError
from insource.hub.duck import paths_list, quoted
from insource.hub.schema import MODELS, RepoType
from insource.hub.statements import listed_rows, merged, nothing, one_row_an_id, stored_rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One source on one day."""

    source: str
    day: date
    whole: bool
    """False: a part of what the source has."""
    origin: str
    """The files or addresses that it came from, without their folders."""
    rows: int = 0
    """Repositories: of a whole one all that the source lists on that day, of a part those in it."""
    changed: int = 0
    """Rows in its file: of a whole one new, changed and gone ones."""
    size_bytes: int = 0
    columns: dict[str, int] = {}
    """By column, the repositories of which the snapshot states it."""
    file: str = ""
    """`SOURCE/DAY-NUMBER.parquet`; the number makes a file that is written anew another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Incoming:
    """A relation of one source's rows on a day."""

    source: str
    day: date
    whole: bool
    origin: str
    rows: str


class Archive:
    """One type's snapshots: the models' in the folder itself, the others' in folders of it. Not for two writers at
    once."""

    def __init__(self, root: Path, repo_type: RepoType = MODELS) -> None:
        self.root = root
        self.repo_type = repo_type
        self.folder = root if repo_type == MODELS else root / repo_type.name
        self._columns = ", ".join(column.name for column in repo_type.columns)

    def beside(self, repo_type: RepoType) -> Archive:
        """Of another type in the same place."""
        return Archive(self.root, repo_type)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """By day, then by source. Raises BadInput where the list is damaged."""
        try:
            data = self._list.read_bytes()
        except FileNotFoundError:
            return ()
        try:
            found = msgspec.json.decode(data, type=tuple[Snapshot, ...])
        except msgspec.MsgspecError as error:
            raise BadInput(
                f"The list of snapshots {str(self._list)!r} is damaged ({error}).",
                next_step="Move the folder away, and run `insource hub sync` again.",
            ) from error
        return tuple(sorted(found, key=lambda one: (one.day, one.source)))

    def add(
        self,
        connection: DuckDBPyConnection,
        *,
        source: str,
        day: date,
        whole: bool = True,
        origin: str = "",
        rows: str = "incoming",
    ) -> Snapshot:
        """Stores the connection's `incoming` (or another relation) as that source's snapshot of that day. With another
        one of the same day it is merged, unless both are the whole of one origin: then it takes its place. Raises
        StorageError; then nothing has changed."""
        incoming = _Incoming(source=source, day=day, whole=whole, origin=origin, rows=rows)
        listed = self.snapshots()
        chain = [one for one in listed if one.source == incoming.source]
        same = next((one for one in chain if one.day == incoming.day), None)
        before = [one for one in chain if one.day < incoming.day]
        later = next((one for one in chain if one.day > incoming.day and one.whole), None)
        with _report_full_disk(self.folder):
            if same is not None and not (same.whole and incoming.whole and same.origin == incoming.origin):
                incoming = self._with(connection, same, incoming, before=before)
            kept = None if later is None else self._keep(connection, [one for one in chain if one.day <= later.day])
            written = self._write(connection, incoming, before=before)
            new, replaced = [written], {one.file for one in (same, later) if one is not None}
            if later is not None and kept is not None:
                between = [one for one in chain if incoming.day < one.day < later.day]
                again = _Incoming(source=source, day=later.day, whole=True, origin=later.origin, rows=kept)
                new.append(self._write(connection, again, before=[*before, written, *between]))
            self._save([one for one in listed if one.file not in replaced] + new)
            for file in replaced:
                (self.folder / file).unlink(missing_ok=True)
        return written

    def load(
        self,
        connection: DuckDBPyConnection,
        *,
        day: date | None = None,
        source: str | None = None,
        lasting: bool = False,
    ) -> date:
        """Makes the view `models` (of that day or the newest, of all sources or one) and the table `renames` (old,
        new). Returns the day of the newest snapshot in it. Raises UsageError without any.

        Behind `models` is the table `model_rows`, which also has the days of `statements.merged`. They are the
        connection's own, unless they are `lasting` ones of its file. Of another type they are named so: `datasets`,
        `dataset_rows`, `dataset_renames`."""
        query, newest = self.state(day=day, source=source)
        temp, view = "" if lasting else "TEMP", self.repo_type.name
        rows, prefix = f"{view[:-1]}_rows", "" if self.repo_type == MODELS else f"{view[:-1]}_"
        connection.execute(f"CREATE OR REPLACE {temp} TABLE {rows} AS {query}")
        connection.execute(f"CREATE OR REPLACE {temp} VIEW {view} AS SELECT {self._columns} FROM {rows}")
        connection.execute(f"CREATE OR REPLACE {temp} TABLE {prefix}renames (old VARCHAR, new VARCHAR)")
        told = self.renames()
        connection.execute(
            f"INSERT INTO {prefix}renames SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [list(told), list(told.values())],
        )
        return newest

    def state(self, *, day: date | None = None, source: str | None = None) -> tuple[str, date]:
        """The query of `model_rows`, for who needs few of its columns, and the day of the newest snapshot in it.
        Raises UsageError without any."""
        chains: dict[str, list[Snapshot]] = {}
        for one in self.snapshots():
            if (day is None or one.day <= day) and (source is None or one.source == source):
                chains.setdefault(one.source, []).append(one)
        if not chains:
            raise no_snapshot(day=day, source=source, repo_type=self.repo_type)
        query = merged(chains, self.repo_type.columns, self.folder)
        return query, max(chain[-1].day for chain in chains.values())

    def add_renames(self, renames: Mapping[str, str]) -> None:
        """Keeps what the Hub told of ids that are no longer listed: old id to new. Raises BadInput, StorageError."""
        known = self.renames()
        if renames.items() <= known.items():
            return
        with _report_full_disk(self.folder):
            _replace(self._renames, {**known, **renames})

    def renames(self) -> dict[str, str]:
        """Old id to new. Raises BadInput where the file is damaged."""
        try:
            return msgspec.json.decode(self._renames.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise BadInput(
                f"The list of renamed ids {str(self._renames)!r} is damaged ({error}).",
                next_step="Delete it; the next `insource hub sync` looks up vanished ids on the Hub again.",
            ) from error

    def vanished(self, connection: DuckDBPyConnection, snapshot: Snapshot, *, most: int) -> list[str]:
        """Ids that are gone since the source's snapshot before."""
        file = paths_list((self.folder / snapshot.file,))
        rows = connection.execute(f"SELECT id FROM read_parquet({file}) WHERE gone ORDER BY id LIMIT ?", [most])
        return [str(id) for (id,) in rows.fetchall()]

    @property
    def _list(self) -> Path:
        return self.folder / "archive.json"

    @property
    def _renames(self) -> Path:
        return self.folder / "renames.json"

    def _listed(self, chain: Sequence[Snapshot]) -> str:
        return listed_rows(chain, self.repo_type.columns, self.folder)

    def _keep(self, connection: DuckDBPyConnection, chain: Sequence[Snapshot]) -> str:
        """What the chain's last snapshot lists, as a table that outlives its files."""
        connection.execute(f"CREATE OR REPLACE TEMP TABLE kept_rows AS {self._listed(chain)}")
        return "kept_rows"

    def _with(
        self, connection: DuckDBPyConnection, same: Snapshot, incoming: _Incoming, *, before: Sequence[Snapshot]
    ) -> _Incoming:
        """The rows of both. A whole snapshot's are all that it lists."""
        names, columns = self._columns, self.repo_type.columns
        own = f"(SELECT {names} FROM {stored_rows([same], columns, self.folder)})"
        rows = f"({self._listed([*before, same])})" if same.whole else own
        both = f"(SELECT {names} FROM {rows} UNION ALL SELECT {names} FROM {incoming.rows})"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE same_day AS {one_row_an_id(both, columns)}")
        origins = dict.fromkeys([*same.origin.split(", "), incoming.origin])
        return _Incoming(
            source=incoming.source,
            day=incoming.day,
            whole=incoming.whole or same.whole,
            origin=", ".join(origins),
            rows="same_day",
        )

    def _write(self, connection: DuckDBPyConnection, incoming: _Incoming, *, before: Sequence[Snapshot]) -> Snapshot:
        """Its file. It counts once it is listed."""
        folder = self.folder / incoming.source
        folder.mkdir(parents=True, exist_ok=True)
        day = incoming.day.isoformat()
        path = next(path for n in count(1) if not (path := folder / f"{day}-{n}.parquet").exists())
        rows = f"SELECT {self._columns}, false AS gone FROM {incoming.rows}"
        if before and incoming.whole:
            stated = self._write_changes(connection, rows, path, before=before)
        else:
            _copy(connection, rows, path)
            stated = self._stated(connection, path)
        _sync(path)
        changed = f"SELECT count(*) FROM read_parquet({paths_list((path,))})"
        return Snapshot(
            source=incoming.source,
            day=incoming.day,
            whole=incoming.whole,
            origin=incoming.origin,
            rows=stated.pop("id"),
            changed=int(connection.execute(changed).fetchall()[0][0]),
            size_bytes=path.stat().st_size,
            columns=stated,
            file=f"{incoming.source}/{path.name}",
        )

    def _write_changes(
        self, connection: DuckDBPyConnection, rows: str, path: Path, *, before: Sequence[Snapshot]
    ) -> dict[str, int]:
        # The rows are looked at twice, and a view over a Parquet file cleans them each time: so into a file first.
        partial = path.with_suffix(".partial")
        try:
            _copy(connection, rows, partial)
            now = f"(SELECT {self._columns} FROM read_parquet({paths_list((partial,))}))"
            connection.execute(f"""
                CREATE OR REPLACE TEMP TABLE changes AS
                SELECT id, now.content IS NULL AS gone FROM (SELECT id, hash(now) AS content FROM {now} now) now
                FULL JOIN (SELECT id, hash(was) AS content FROM ({self._listed(before)}) was) was USING (id)
                WHERE now.content IS DISTINCT FROM was.content""")
            gone = f"UNION ALL SELECT {nothing(self.repo_type.columns)}, gone FROM changes WHERE gone"
            _copy(connection, f"SELECT *, false AS gone FROM {now} SEMI JOIN changes USING (id) {gone}", path)
            connection.execute("DROP TABLE changes")
            return self._stated(connection, partial)
        finally:
            partial.unlink(missing_ok=True)

    def _stated(self, connection: DuckDBPyConnection, path: Path) -> dict[str, int]:
        counts = ", ".join(f"count({column.name})" for column in self.repo_type.columns)
        found = connection.execute(f"SELECT {counts} FROM read_parquet({paths_list((path,))})").fetchall()[0]
        names = [column.name for column in self.repo_type.columns]
        return {name: int(stated) for name, stated in zip(names, found, strict=True) if stated or name == "id"}

    def _save(self, snapshots: Sequence[Snapshot]) -> None:
        _replace(self._list, snapshots)


def no_snapshot(*, day: date | None = None, source: str | None = None, repo_type: RepoType = MODELS) -> UsageError:
    of = f" of {source}'s {repo_type.name}" if source else f" of {repo_type.name}"
    return UsageError(
        f"There is no snapshot{of}{f' up to {day}' if day else ''}.",
        next_step=f"Make one: insource hub sync --type {repo_type.name}, or from a file: "
        f"insource hub sync --from {repo_type.name}.parquet",
    )


def _copy(connection: DuckDBPyConnection, query: str, path: Path) -> None:
    # Level 1 writes 3 M rows in a sixth less time than the usual 3, into 1.6 % more bytes.
    form = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    connection.execute(f"COPY ({query}) TO {quoted(str(path))} ({form})")


def _replace(path: Path, content: object) -> None:
    """The old file stays until the new one is whole."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1))
    _sync(partial)
    partial.replace(path)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _report_full_disk(folder: Path) -> Generator[None]:
    import duckdb

    try:
        yield
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError(
            f"The snapshot can't be written to {str(folder)!r}: {str(error).splitlines()[0][:200]}.",
            next_step="Free some space there, or set `home` to another folder. The files already there are unchanged.",
        ) from error
