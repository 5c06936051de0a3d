"""What the questions about the newest state need, worked out once: the models, their lineage and sizes, datasets and
Spaces where they were synced, in one DuckDB file beside the snapshots. The edges that files tell are in another, as the
Hub may be asked for more files at any time.

They only repeat what the snapshots and answers say, so they may be deleted: they are made again where they are missing,
damaged, or of others. A new one is written beside the old one and takes its name, so readers never see half of one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from insource.core.ecosystem import Edge
from insource.core.errors import StorageError
from insource.hub.archive import Archive, no_snapshot
from insource.hub.duck import connect, quoted
from insource.hub.lineage.build import build_lineage
from insource.hub.lineage.inferred_files import edges_from_files
from insource.hub.lineage.inferred_values import WANTED_PRECISION, store_edges
from insource.hub.repo_files import FilesLog
from insource.hub.schema import DATASETS, REPO_TYPES, SPACES, RepoType
from insource.hub.search import build_search
from insource.hub.sizes_sql import COMPARED_SQL, SIZES_SQL

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_VERSION = 11
"""To be raised when the same snapshots give other tables."""
_FILE = "prepared.duckdb"
_EDGES_FILE = "file_edges.duckdb"
_STATE = """
CREATE TABLE state AS
SELECT ? AS key, ?::DATE AS day, (SELECT count(config_base_model) > 0 FROM models) AS configs_name_parents
"""
_COVERAGE = """
CREATE TABLE coverage AS SELECT unnest($days::DATE[]) AS day, unnest($whole::BOOLEAN[]) AS whole,
    unnest($parents::BIGINT[]) AS parents
"""
"""Of each snapshot of models: the repositories of which it states the parents."""
_RENAMES = "CREATE TEMP TABLE renames AS SELECT unnest(?::VARCHAR[]) AS old, unnest(?::VARCHAR[]) AS new"
_SPACES_OF = """
CREATE TABLE model_spaces AS
SELECT unnest(models) AS model, id AS space, likes FROM spaces ORDER BY model, likes DESC NULLS LAST, space
"""
"""By model, so that one model's are found without a look at the others."""


def open_prepared(archive: Archive, *, files: bool = False) -> tuple[DuckDBPyConnection, date]:
    """A connection that reads the archive's newest state (the tables of `build_lineage`, `models`, `sizes`; `datasets`,
    `spaces` and `model_spaces` where those were synced) and the day of its newest snapshot of models; prepared first
    where that was not done yet. With `files`, its `file_edges` hold what files tell. It can hold temporary tables and
    nothing else. Raises UsageError without a snapshot, StorageError."""
    connection = connect()
    if not _attach(connection, archive.folder / _FILE, key=_key(archive)):
        prepare(archive)
        if not _attach(connection, archive.folder / _FILE, key=_key(archive)):
            raise StorageError(
                f"The snapshots in {str(archive.folder)!r} changed while they were read.",
                next_step="Run the command again.",
            )
    connection.execute("USE prepared")
    key, day, configs_tell = connection.execute("SELECT key, day, configs_name_parents FROM state").fetchall()[0]
    log = FilesLog(archive.folder)
    if files and (log.stamp or configs_tell):
        _attach_file_edges(connection, archive, log, prepared_key=key)
    return connection, day


def prepare(archive: Archive) -> None:
    """Makes the file. Raises UsageError without a snapshot, StorageError."""
    if not archive.snapshots():
        raise no_snapshot()
    key = _key(archive)
    with _made_anew(archive.folder / _FILE) as partial, connect(partial) as connection:
        day = archive.load(connection, lasting=True)
        build_lineage(connection)
        connection.execute("CREATE INDEX model_ids ON model_rows (id)")
        connection.execute(f"CREATE TABLE sizes AS {SIZES_SQL}")
        connection.execute(COMPARED_SQL)
        build_search(connection)
        if SPACES in load_others(connection, archive, lasting=True):
            connection.execute(_SPACES_OF)
        _note_coverage(connection, archive)
        connection.execute(_STATE, [key, day])


def _note_coverage(connection: DuckDBPyConnection, archive: Archive) -> None:
    found = archive.snapshots()
    columns = {"days": [one.day for one in found], "whole": [one.whole for one in found]}
    connection.execute(_COVERAGE, {**columns, "parents": [one.columns.get("base_models", 0) for one in found]})


def load_file_edges(connection: DuckDBPyConnection, log: FilesLog) -> Sequence[Edge]:
    """Fills the table `file_edges` beside those of `build_lineage`. Raises StorageError."""
    log.load(connection)
    edges = edges_from_files(connection, precision=WANTED_PRECISION)
    store_edges(connection, edges, table="file_edges")
    return edges


def _attach_file_edges(connection: DuckDBPyConnection, archive: Archive, log: FilesLog, *, prepared_key: str) -> None:
    """The same of the archive, worked out only after a change. The key is that of what is read here: a sync may end at
    any time."""
    path, renames = archive.folder / _EDGES_FILE, archive.renames()
    key = f"{prepared_key} {log.stamp} {sha256(repr(sorted(renames.items())).encode()).hexdigest()}"
    if _attach(connection, path, key=key):
        connection.execute(f"CREATE TEMP VIEW file_edges AS FROM {path.stem}.file_edges")
        return
    connection.execute(_RENAMES, [list(renames), list(renames.values())])  # those of now, not of the last sync
    edges = load_file_edges(connection, log)
    # They are here now: where they can't be kept, the next command works them out again.
    with contextlib.suppress(StorageError), _made_anew(path) as partial, connect(partial) as made:
        store_edges(made, edges, table="file_edges", temporary=False)
        made.execute("CREATE TABLE state AS SELECT ? AS key", [key])


@contextlib.contextmanager
def _made_anew(path: Path) -> Generator[Path]:
    """A file that takes the path's name at the end. Raises StorageError."""
    import duckdb

    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)  # a killed process of the same number may have left one
        yield partial
        partial.replace(path)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError(
            f"The snapshots can't be prepared in {str(path.parent)!r}: {str(error).splitlines()[0][:200]}.",
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


def _attach(connection: DuckDBPyConnection, path: Path, *, key: str) -> bool:
    """Under its name; False where the file is not there, can't be read, or has another key."""
    import duckdb

    if not path.is_file():
        return False
    name = path.stem
    with contextlib.suppress(duckdb.Error):
        connection.execute(f"ATTACH {quoted(str(path))} AS {name} (READ_ONLY)")
        if connection.execute(f"SELECT key FROM {name}.state").fetchall() == [(key,)]:
            return True
    connection.execute(f"DETACH DATABASE IF EXISTS {name}")
    return False


def _key(archive: Archive) -> str:
    parts = [str(_VERSION)]
    for repo_type in REPO_TYPES.values():
        parts += [f"{column.name} {column.type}" for column in repo_type.columns]
        parts += [one.file for one in archive.beside(repo_type).snapshots()]
    return sha256("\n".join(parts).encode()).hexdigest()
