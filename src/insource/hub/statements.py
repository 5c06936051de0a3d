"""SQL: what the snapshots of one type of repositories state together.

A row of a snapshot is a statement of its source on its day, column by column; NULL states nothing. Of every id each
column is its newest statement (on one day of the source that comes first in `SOURCES`), so a row that states less hides
nothing. A source's statements end where a whole snapshot of it no longer lists the id. A whole snapshot repeats what it
does not store anew, so a statement is seen until the last whole snapshot before the source's next row of that id. A
commit and the files in it count only while no newer statement tells of a later change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

from insource.hub.duck import paths_list
from insource.hub.schema import SOURCES, Column

COUNTS = ("downloads", "downloads_all", "likes", "trending")
"""Columns that change by the day: `COUNT_day` tells of which day each is."""
_OF_A_COMMIT = ("sha", "files")
_NEVER = "DATE '0001-01-01'"
_FROM_NOW_ON = "DATE '9999-12-31'"


class Stored(Protocol):
    """A snapshot, as far as it matters here."""

    @property
    def source(self) -> str: ...
    @property
    def day(self) -> date: ...
    @property
    def whole(self) -> bool: ...
    @property
    def file(self) -> str: ...


Chain = Sequence[Stored]
"""Snapshots of one source by day."""


def nothing(columns: Sequence[Column]) -> str:
    """The columns as NULLs of their types, beside `id`."""
    return ", ".join(f"{'id' if column.name == 'id' else 'NULL'}::{column.type} AS {column.name}" for column in columns)


def stored_rows(chain: Chain, columns: Sequence[Column], folder: Path) -> str:
    """Every row that the files hold, with `gone` and the `day` of its file. Columns that a snapshot of an earlier
    version did not have yet are NULL in it."""
    paths = paths_list(tuple(folder / one.file for one in chain))
    day = "regexp_extract(file, '([0-9]{4}-[0-9]{2}-[0-9]{2})-[0-9]+[.]parquet$', 1)::DATE"
    names = ", ".join(column.name for column in columns)
    return f"""(SELECT {names}, gone, {day} AS day FROM (
        SELECT {nothing(columns)}, false AS gone, '' AS file FROM (SELECT '' AS id) WHERE false
        UNION ALL BY NAME FROM read_parquet({paths}, union_by_name = true, filename = 'file')))"""


def listed_rows(chain: Chain, columns: Sequence[Column], folder: Path) -> str:
    """What a source lists after its last snapshot: of every id its newest row, as that row states it."""
    names = ", ".join(column.name for column in columns)
    if not chain:
        return f"SELECT {nothing(columns)} FROM (SELECT NULL AS id) WHERE false"
    rows = stored_rows(chain, columns, folder)
    if len(chain) == 1:
        return f"SELECT {names} FROM {rows} WHERE NOT gone"
    return f"""SELECT {names} FROM {rows}
        JOIN (SELECT id, max(day) AS day FROM {rows} GROUP BY id) USING (id, day) WHERE NOT gone"""


def one_row_an_id(rows: str, columns: Sequence[Column]) -> str:
    """Of several rows of one source and day the largest statement of each column: the same whatever their order, and
    however they were cut into files."""
    largest = ", ".join("id" if c.name == "id" else f"max({c.name}) AS {c.name}" for c in columns)
    return f"SELECT {largest} FROM {rows} GROUP BY id"


def merged(chains: Mapping[str, Chain], columns: Sequence[Column], folder: Path) -> str:
    """The columns, `of_day` (when the id was last stated) and `COUNT_day` for the `COUNTS` among them."""
    snapshots = [one for chain in chains.values() for one in chain]
    counts = [column.name for column in columns if column.name in COUNTS]
    names = ", ".join(column.name for column in columns)
    if len(snapshots) == 1:
        (only,) = snapshots
        days = "".join(f", CASE WHEN {name} IS NOT NULL THEN DATE '{only.day}' END AS {name}_day" for name in counts)
        rows = stored_rows(snapshots, columns, folder)
        return f"SELECT {names}, DATE '{only.day}' AS of_day{days} FROM {rows} WHERE NOT gone"
    told = " UNION ALL ".join(
        f"SELECT *, {_rank(source)} AS rank FROM {stored_rows(chain, columns, folder)}"
        for source, chain in chains.items()
    )
    days = "".join(f", CASE WHEN {name} IS NOT NULL THEN seen END AS {name}_day" for name in counts)
    newest_days = "".join(f", max(seen) FILTER ({name} IS NOT NULL) AS {name}_day" for name in counts)
    newest = ", ".join(_newest(column.name) for column in columns)
    return f"""
        WITH told AS ({told}), wholes(rank, day) AS ({_wholes(snapshots)}),
        spans AS (
            SELECT id, rank, day, gone, coalesce(lead(day) OVER (PARTITION BY rank, id ORDER BY day), {_FROM_NOW_ON})
                AS until, max(CASE WHEN gone THEN day END) OVER (PARTITION BY rank, id) AS gone_day
            FROM (SELECT id, rank, day, gone FROM told)
        ), statements AS (
            SELECT s.id, s.rank, s.day, greatest(s.day, w.day) AS seen,
                (greatest(s.day, w.day) - {_NEVER}) * {len(SOURCES)} - s.rank AS place,
                count(*) OVER (PARTITION BY s.id) AS others
            FROM spans s ASOF LEFT JOIN wholes w ON s.rank = w.rank AND s.until > w.day
            WHERE NOT s.gone AND s.day > coalesce(s.gone_day, {_NEVER})
        )
        SELECT {names}, seen AS of_day{days}
            FROM told JOIN (FROM statements WHERE others = 1) USING (id, rank, day)
        UNION ALL
        SELECT {newest}, max(seen) AS of_day{newest_days}
            FROM told JOIN (FROM statements WHERE others > 1) USING (id, rank, day) GROUP BY id"""


def _newest(name: str) -> str:
    if name == "id":
        return "id"
    value = f"arg_max({name}, place)"
    if name == "created":  # it never changes, and a day without a time says less
        value = f"coalesce(arg_max(created, place) FILTER (created <> date_trunc('day', created)), {value})"
    if name in _OF_A_COMMIT:
        told = f"arg_max(modified, place) FILTER ({name} IS NOT NULL)"
        value = f"CASE WHEN {told} IS NOT DISTINCT FROM arg_max(modified, place) THEN {value} END"
    return f"{value} AS {name}"


def _rank(source: str) -> int:
    return SOURCES.index(source)


def _wholes(snapshots: Sequence[Stored]) -> str:
    days = [f"({_rank(one.source)}, DATE '{one.day}')" for one in snapshots if one.whole]
    return f"VALUES {', '.join(days)}" if days else f"SELECT 0, {_NEVER} WHERE false"
