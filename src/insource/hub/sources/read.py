"""Any source by its path: what the file is shows in its content, not in its name alone."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from insource.core.errors import BadInput
from insource.hub.snapshot import SnapshotCatalogue
from insource.hub.sources.api_lines import read_records, select_lines, write_lines
from insource.hub.sources.october import api_records, day_of, shipped_records
from insource.hub.sources.parquet import raw_parquet, select_models
from insource.hub.sources.rows import IS_CUT, IS_ID

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MOST_BYTES = 1 << 31
"""Of an unpacked JSON file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What became the table `incoming`."""

    source: str
    """`api`, `hub-stats`, `records`."""
    day: date
    """That the file speaks of: the newest date in it, unless it says."""
    rows: int
    refused: int
    """Records whose id is none, or was there before."""
    cut: int
    """Rows of which a list or card was too long and is kept in part."""


def read_file(connection: DuckDBPyConnection, path: Path, *, scratch: Path) -> Read:
    """Reads hub-stats or our own Parquet, API records as JSON lines, llmfit's records or the shipped snapshot into the
    table `incoming` of `schema.MODEL_COLUMNS`. `scratch` is a folder for a file that is removed. Raises BadInput."""
    with _opened(path) as file:
        start = file.read(4)
    if start == b"PAR1":
        return _parquet(connection, path)
    records, source, day = _json_records(path, start)
    scratch.mkdir(parents=True, exist_ok=True)
    lines = scratch / "records.jsonl"
    try:
        _, refused = write_lines(records, lines)
        return take_lines(connection, lines, source=source, day=day, refused=refused)
    finally:
        lines.unlink(missing_ok=True)


def take_lines(connection: DuckDBPyConnection, lines: Path, *, source: str, day: date | None, refused: int = 0) -> Read:
    """Slim lines (`api_lines`) into the table `incoming`."""
    return _take(connection, select_lines(lines, source=source), day=day, total=_line_count(lines) + refused, cut=0)


def _parquet(connection: DuckDBPyConnection, path: Path) -> Read:
    query = select_models(connection, path)
    raw, types = raw_parquet(connection, path)
    ours = {"source", "created", "base_models"} <= types.keys()
    counted = "count(*), 0" if ours else f"count(*), count(*) FILTER ({IS_CUT} AND {IS_ID})"
    total, cut = connection.execute(f"SELECT {counted} FROM {raw}").fetchall()[0]
    return _take(connection, query, day=None, total=int(total), cut=int(cut))


def _take(connection: DuckDBPyConnection, query: str, *, day: date | None, total: int, cut: int) -> Read:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE incoming AS {query}")
    rows, ids = connection.execute("SELECT count(*), count(DISTINCT id) FROM incoming").fetchall()[0]
    if rows != ids:
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE incoming AS FROM incoming QUALIFY row_number() OVER "
            "(PARTITION BY id ORDER BY modified DESC NULLS LAST, downloads DESC NULLS LAST) = 1"
        )
    if not ids:
        raise BadInput(
            "The source holds no model.", next_step="Give hub-stats' models.parquet, or records of the Hub's API."
        )
    source, newest = connection.execute(
        "SELECT any_value(source), greatest(max(modified), max(created))::DATE FROM incoming"
    ).fetchall()[0]
    return Read(source=source, day=day or newest or date.min, rows=int(ids), refused=total - int(ids), cut=cut)


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


def _json_records(path: Path, start: bytes) -> tuple[Any, str, date | None]:
    try:
        with _opened(path) as file:
            data = cast("bytes", file.read(_MOST_BYTES + 1))
        if len(data) > _MOST_BYTES:
            raise _bad(path, f"unpacks to more than {_MOST_BYTES:,} bytes")
        if start.lstrip()[:1] == b"[":
            return _array(path, json.loads(data))
        if b'"as_of"' in data[:200]:
            shipped = SnapshotCatalogue(path)
            return shipped_records(shipped.models()), "records", shipped.as_of
        return read_records(data.decode("utf-8", errors="replace").split("\n")), "api", None
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _bad(path, str(error)[:200]) from error


def _array(path: Path, found: object) -> tuple[Any, str, date | None]:
    records = [
        cast("Mapping[str, Any]", item) if isinstance(item, dict) else {} for item in cast("Sequence[object]", found)
    ]
    if any("parameters_raw" in record for record in records):
        return api_records(records), "records", day_of(records)
    return records, "api", None


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The source {str(path)!r} can't be read: {why}.",
        next_step="Give hub-stats' models.parquet, records of the Hub's API as JSON lines, or a snapshot of ours.",
    )
