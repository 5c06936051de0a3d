"""Any source by its path: what the file is shows in its content, not in its name alone."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from insource.core.errors import BadInput
from insource.hub.schema import MODELS, SOURCES, RepoType
from insource.hub.snapshot import SnapshotCatalogue
from insource.hub.sources.api_lines import raw_lines, read_records, write_lines
from insource.hub.sources.october import api_records, day_of, shipped_records
from insource.hub.sources.parquet import NO_CHOICE, is_ours, marks_in, raw_parquet, repo_type_of, select_repositories
from insource.hub.sources.rows import IS_CUT, IS_ID, select_rows
from insource.hub.sources.shapes import Shape, shaped, unwrap
from insource.hub.statements import one_row_an_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MOST_BYTES = 1 << 31
"""Of an unpacked JSON file."""
_LOOKED_AT = 100
"""Records whose fields show what they are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What `incoming` holds: a table, or a view over a Parquet file, whose rows are then never all in memory."""

    repo_type: RepoType
    """Of all its rows."""
    source: str
    """Of `schema.SOURCES`."""
    day: date | None
    """That the file speaks of: the one it says, else the newest date in it; None: it holds none."""
    rows: int
    refused: int
    """Records whose id is none, or was there before."""
    cut: int
    """Rows of which a list or card was too long and is kept in part."""
    shape: Shape | None = None
    """What was taken for what, of a file of others."""


_LEAST_SILENT = 20
"""Fewer rows without a licence may all be of cards that state none."""
_SILENT = "UPDATE incoming SET license = NULL WHERE NOT EXISTS (SELECT 1 FROM incoming WHERE license <> '')"
"""A source that never states a licence is silent on licences, and does not say that there is none."""


def read_file(
    connection: DuckDBPyConnection,
    path: Path,
    *,
    scratch: Path,
    repo_type: RepoType | None = None,
    chosen: Mapping[str, str] = NO_CHOICE,
) -> Read:
    """Reads hub-stats or our own Parquet, records as JSON in any of the shapes of `shapes.py`, llmfit's records or the
    shipped snapshot into the `incoming` of the type's columns; the type shows in the file's own columns, and must be
    the given one. `scratch` is a folder for a file that is removed. Raises BadInput, UsageError for a chosen field."""
    try:
        with _opened(path) as file:
            start = cast("bytes", file.read(4))
    except (OSError, EOFError, zlib.error) as error:
        raise _bad(path, str(error)[:200]) from error
    if start == b"PAR1":
        with damage_is_said(path):
            return _parquet(connection, path, repo_type, chosen=chosen)
    records = _json_records(path, start, chosen=chosen)
    rest = iter(records.rows)
    first = list(islice(rest, _LOOKED_AT))
    found = _agreed(path, records.marks | {mark for record in first for mark in marks_in(record)}, repo_type)
    scratch.mkdir(parents=True, exist_ok=True)
    lines = scratch / "records.jsonl"
    try:
        _, refused = write_lines(chain(first, rest), lines)
        read = take_lines(connection, lines, repo_type=found, source=records.source, day=records.day, refused=refused)
        return replace(read, shape=records.shape)
    finally:
        lines.unlink(missing_ok=True)


def load_file(connection: DuckDBPyConnection, path: Path, *, scratch: Path) -> Read:
    """A file of models as the table `models`, for questions about it alone. Raises BadInput."""
    read = read_file(connection, path, scratch=scratch, repo_type=MODELS)
    with damage_is_said(path):
        connection.execute("CREATE OR REPLACE TEMP TABLE models AS FROM incoming")
    return read


@contextlib.contextmanager
def damage_is_said(path: Path) -> Generator[None]:
    """Around whatever reads `incoming`: a Parquet file's columns are looked at no sooner."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise _bad(path, str(error).splitlines()[0][:200]) from error


def take_lines(
    connection: DuckDBPyConnection, lines: Path, *, repo_type: RepoType, source: str, day: date | None, refused: int = 0
) -> Read:
    """Slim lines (`api_lines`) into the table `incoming`."""
    raw = raw_lines(lines)
    (cut,) = connection.execute(f"SELECT count(*) FILTER ({IS_CUT} AND {IS_ID}) FROM {raw}").fetchall()[0]
    total = _line_count(lines) + refused
    query = select_rows(raw, source=source, repo_type=repo_type)
    read = _take(connection, query, kind="TABLE", repo_type=repo_type, total=total, cut=int(cut))
    if read.rows >= _LEAST_SILENT and any(column.name == "license" for column in repo_type.columns):
        connection.execute(_SILENT)
    return read if day is None else replace(read, day=day)


def _parquet(
    connection: DuckDBPyConnection, path: Path, expected: RepoType | None, *, chosen: Mapping[str, str]
) -> Read:
    raw, types = raw_parquet(connection, path, chosen=chosen)
    repo_type = _agreed(path, types.keys(), expected)
    query = select_repositories(connection, path, repo_type=repo_type, chosen=chosen)
    cut_rows = "0" if is_ours(types) else f"count(*) FILTER ({IS_CUT} AND {IS_ID})"
    there = "WHERE NOT gone" if "gone" in types else ""
    total, cut = connection.execute(f"SELECT count(*), {cut_rows} FROM {raw} {there}").fetchall()[0]
    return _take(connection, query, kind="VIEW", repo_type=repo_type, total=int(total), cut=int(cut))


def _agreed(path: Path, names: Collection[str], expected: RepoType | None) -> RepoType:
    """The type that the file shows, which must not be another than the expected one."""
    shown = repo_type_of(names)
    if expected is not None and shown not in (None, expected):
        raise BadInput(
            f"The source {str(path)!r} holds {shown.name if shown else ''}, not {expected.name}.",
            next_step="Leave --type out: a file's type shows in its columns.",
        )
    return shown or expected or MODELS


def _take(
    connection: DuckDBPyConnection,
    query: str,
    *,
    kind: Literal["TABLE", "VIEW"],
    repo_type: RepoType,
    total: int,
    cut: int,
) -> Read:
    _forget(connection)
    connection.execute(f"CREATE OR REPLACE TEMP {kind} incoming AS {query}")
    rows, ids, sources, newest = connection.execute(
        "SELECT count(*), count(DISTINCT id), list(DISTINCT source), greatest(max(modified), max(created))::DATE "
        "FROM incoming"
    ).fetchall()[0]
    if rows != ids:
        distinct = one_row_an_id(f"({query})", repo_type.columns)
        connection.execute(f"CREATE OR REPLACE TEMP {kind} incoming AS {distinct}")
    # The source names a folder of the archive, so it is none that a file makes up.
    if not ids or len(sources) != 1 or sources[0] not in SOURCES:
        raise BadInput(
            f"The source holds {'no repository' if not ids else f'rows of the sources {sources!r:.100}'}.",
            next_step="Give hub-stats' models.parquet, records of the Hub's API, or one source's snapshot of ours.",
        )
    return Read(
        repo_type=repo_type,
        source=sources[0],
        day=newest,
        rows=int(ids),
        refused=total - int(ids),
        cut=cut,
    )


def _forget(connection: DuckDBPyConnection) -> None:
    """What was read before, which may be of the other kind."""
    import duckdb

    for kind in ("VIEW", "TABLE"):
        with contextlib.suppress(duckdb.CatalogException):
            connection.execute(f"DROP {kind} IF EXISTS incoming")


def _line_count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _opened(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return gzip.open(path) if packed else path.open("rb")
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """Of a JSON file, with the names of the Hub's API."""

    rows: Iterable[Mapping[str, Any]]
    source: str
    day: date | None = None
    shape: Shape | None = None
    marks: frozenset[str] = frozenset()
    """Beside those in the records, what shows of which type they are."""


def _json_records(path: Path, start: bytes, *, chosen: Mapping[str, str]) -> _Records:
    try:
        with _opened(path) as file:
            data = cast("bytes", file.read(_MOST_BYTES + 1))
        if len(data) > _MOST_BYTES:
            raise _bad(path, f"unpacks to more than {_MOST_BYTES:,} bytes")
        if b'"as_of"' in data[:200]:
            shipped = SnapshotCatalogue(path)
            return _Records(rows=shipped_records(shipped.models()), source="records", day=shipped.as_of)
        wrapper, found = _document(data, start)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _bad(path, str(error)[:200]) from error
    listed = [item for item in found if item is not None]
    records = [cast("Mapping[str, Any]", item) for item in listed if isinstance(item, dict)]
    if not chosen and any("parameters_raw" in record for record in records):
        return _Records(rows=api_records(records), source="records", day=day_of(records))
    shape, rows = shaped(listed, wrapper=wrapper, chosen=chosen)
    marks = {shape.addressed, *shape.unused} - {""}
    # Who names things as the Hub's API does repeats what it said; others gathered it in their own way.
    return _Records(rows=rows, source="api" if shape.is_usual else "records", shape=shape, marks=frozenset(marks))


def _document(data: bytes, start: bytes) -> tuple[str, Iterable[object]]:
    """The wrapper and its records. Lines are tried last: a document that is written over many lines is none."""
    text = data.decode("utf-8", errors="replace")
    if start.lstrip()[:1] in (b"[", b"{"):
        with contextlib.suppress(ValueError):
            return unwrap(json.loads(text))
    return "lines", read_records(text.split("\n"))


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The source {str(path)!r} can't be read: {why}.",
        next_step="Give hub-stats' models.parquet, records of the Hub's API as JSON lines, or a snapshot of ours.",
    )
