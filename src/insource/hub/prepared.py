"""What the questions about the newest state need, worked out once: the models, their lineage and sizes, datasets and
Spaces where they were synced, in one DuckDB file beside the snapshots.

It only repeats what the snapshots say, so it may be deleted at any time: it is made again where it is missing, damaged,
or of other snapshots. A new one is written beside the old one and takes its name, so readers never see half of one.
"""

from __future__ import annotations

import contextlib
import os
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from insource.core.errors import StorageError
from insource.hub.archive import Archive, no_snapshot
from insource.hub.duck import connect, quoted
from insource.hub.lineage.build import build_lineage
from insource.hub.schema import DATASETS, REPO_TYPES, SPACES, RepoType
from insource.hub.sizes_sql import SIZES_SQL

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_VERSION = 6
"""To be raised when the same snapshots give other tables."""
_FILE = "prepared.duckdb"
_SPACES_OF = """
CREATE TABLE model_spaces AS
SELECT unnest(models) AS model, id AS space, likes FROM spaces ORDER BY model, likes DESC NULLS LAST, space
"""
"""By model, so that one model's are found without a look at the others."""


def open_prepared(archive: Archive) -> tuple[DuckDBPyConnection, date]:
    """A connection that reads the archive's newest state (the tables of `build_lineage`, `models`, `sizes`; `datasets`,
    `spaces` and `model_spaces` where those were synced) and the day of its newest snapshot of models; prepared first
    where that was not done yet. It can hold temporary tables and nothing else. Raises UsageError without a snapshot,
    StorageError."""
    connection = connect()
    day = _attach(connection, archive)
    if day is None:
        prepare(archive)
        day = _attach(connection, archive)
    if day is None:
        raise StorageError(
            f"The snapshots in {str(archive.folder)!r} changed while they were read.",
            next_step="Run the command again.",
        )
    return connection, day


def prepare(archive: Archive) -> None:
    """Makes the file. Raises UsageError without a snapshot, StorageError."""
    import duckdb

    if not archive.snapshots():
        raise no_snapshot()
    partial = archive.folder / f"{_FILE}.{os.getpid()}.partial"
    key = _key(archive)
    try:
        with connect(partial) as connection:
            day = archive.load(connection, lasting=True)
            build_lineage(connection)
            connection.execute("CREATE INDEX model_ids ON model_rows (id)")
            connection.execute(f"CREATE TABLE sizes AS {SIZES_SQL}")
            if SPACES in load_others(connection, archive, lasting=True):
                connection.execute(_SPACES_OF)
            connection.execute("CREATE TABLE prepared AS SELECT ? AS key, ?::DATE AS day", [key, day])
        partial.replace(archive.folder / _FILE)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError(
            f"The snapshots can't be prepared in {str(archive.folder)!r}: {str(error).splitlines()[0][:200]}.",
            next_step="Make room there, or set `home` to another folder. The snapshots are untouched.",
        ) from error
    finally:
        for left in (partial, Path(f"{partial}.wal")):
            left.unlink(missing_ok=True)


def load_others(connection: DuckDBPyConnection, archive: Archive, *, lasting: bool = False) -> set[RepoType]:
    """Makes the views of datasets and Spaces, as far as there are snapshots; says of which."""
    found = {one for one in (DATASETS, SPACES) if archive.beside(one).snapshots()}
    for repo_type in found:
        archive.beside(repo_type).load(connection, lasting=lasting)
    return found


def _attach(connection: DuckDBPyConnection, archive: Archive) -> date | None:
    """The day; None where the file is not there, can't be read, or is of other snapshots."""
    import duckdb

    path = archive.folder / _FILE
    if not path.is_file():
        return None
    with contextlib.suppress(duckdb.Error):
        connection.execute(f"ATTACH {quoted(str(path))} AS prepared (READ_ONLY)")
        connection.execute("USE prepared")
        for key, day in connection.execute("SELECT key, day FROM prepared.main.prepared").fetchall():
            if key == _key(archive):
                return day
    connection.execute("USE memory")
    connection.execute("DETACH DATABASE IF EXISTS prepared")
    return None


def _key(archive: Archive) -> str:
    parts = [str(_VERSION)]
    for repo_type in REPO_TYPES.values():
        parts += [f"{column.name} {column.type}" for column in repo_type.columns]
        parts += [one.file for one in archive.beside(repo_type).snapshots()]
    return sha256("\n".join(parts).encode()).hexdigest()
