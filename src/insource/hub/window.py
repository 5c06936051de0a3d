"""Downloads between two days, as far as two snapshots can tell.

Only a count of all downloads (`downloads_all`) can be subtracted. A source that states the last 30 days alone gives two
windows of 30 days, one that ends on each day: they are shown beside each other and never subtracted. A count that fell
(recounted, or another repository under an old name) is no download: it is counted and left NULL.

Each count has ends of its own: the newest days up to the two asked for on which any row states it, so a snapshot that
does not state it moves no end. A model's count is used where it was stated within a tenth of the window's length before
an end, and anew between the two. The window's days are those of all downloads, else those of the 30 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from insource.core.ecosystem import Window, WindowRow
from insource.core.errors import UsageError
from insource.hub.duck import connect

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from insource.hub.archive import Archive

_DAY = timedelta(days=1)
_SLACK = 0.1
"""Of the window's length: sources and parts are seldom of one day."""
_NAMES = ("downloads_all", "downloads", "likes")
_TOLD = f"id, library, of_day, {', '.join(f'{name}, {name}_day' for name in _NAMES)}"
_BETWEEN = """
CREATE OR REPLACE TEMP TABLE window_downloads AS
SELECT id,
    CASE WHEN l.downloads_all >= f.downloads_all THEN l.downloads_all - f.downloads_all END AS downloads,
    coalesce(l.downloads_all < f.downloads_all, false) AS fell,
    l.likes - f.likes AS likes,
    f.downloads AS last_30_days_first,
    l.downloads AS last_30_days_last
FROM window_first f JOIN window_last l USING (id)
"""
_COUNTS = """
SELECT count(*), (SELECT count(*) FROM window_first ANTI JOIN window_last USING (id)),
    (SELECT count(*) FROM window_last ANTI JOIN window_first USING (id)), count(downloads),
    count(*) FILTER (fell), count(*) FILTER (last_30_days_first + last_30_days_last IS NOT NULL)
FROM window_downloads
"""
_MOST_DOWNLOADED = """
SELECT id, downloads, last_30_days_first, last_30_days_last FROM window_downloads
ORDER BY downloads DESC NULLS LAST, last_30_days_last DESC NULLS LAST, id LIMIT ?
"""


def look_between(archive: Archive, *, first: date, last: date, most: int) -> Window:
    """With its rows. Raises UsageError where no count is stated up to both days."""
    with connect() as connection:
        found = window_downloads(connection, archive, first=first, last=last)
        rows = connection.execute(_MOST_DOWNLOADED, [most]).fetchall()
    return replace(
        found,
        rows=[
            WindowRow(id=id, downloads=downloads, last_30_days_first=before, last_30_days_last=after)
            for id, downloads, before, after in rows
        ],
    )


def window_downloads(
    connection: DuckDBPyConnection, archive: Archive, *, first: date, last: date, source: str | None = None
) -> Window:
    """Makes the tables `window_first` and `window_last` of what is stated at each end (id, downloads, downloads_all,
    likes, library; in the last only what was seen anew), `window_days` (first, last), and of ids in both
    `window_downloads`: id; `downloads`, between the two days; `fell`; `likes`, more or less than on the first;
    `last_30_days_first` and `last_30_days_last`. Raises UsageError where no count is stated up to both days."""
    for table, day in (("rows_first", first), ("rows_last", last)):
        query, _ = archive.state(day=day, source=source)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {_TOLD} FROM ({query})")
    ends = {name: _ends(connection, name) for name in _NAMES}
    used = next((ends[name] for name in ("downloads_all", "downloads") if ends[name] is not None), None)
    if used is None:
        raise UsageError(
            f"No count of downloads is stated up to {first} and anew up to {last}.",
            next_step="insource hub snapshots --json lists what each states; insource hub sync takes another.",
        )
    from_day, to_day = used
    starts = {name: None if one is None else one[0] - _slack(*one) for name, one in ends.items()}
    anew = {name: None if one is None else max(one[0] + _DAY, one[1] - _slack(*one)) for name, one in ends.items()}
    _keep(connection, "first", starts, seen=date.min)
    _keep(connection, "last", anew, seen=from_day + _DAY)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE window_days AS SELECT ?::DATE AS first, ?::DATE AS last", [from_day, to_day]
    )
    connection.execute(_BETWEEN)
    both, only_first, only_last, differences, fell, thirty_days = map(int, connection.execute(_COUNTS).fetchall()[0])
    return Window(
        first=from_day,
        last=to_day,
        both=both,
        only_first=only_first,
        only_last=only_last,
        differences=differences,
        fell=fell,
        thirty_days=thirty_days,
    )


def _ends(connection: DuckDBPyConnection, name: str) -> tuple[date, date] | None:
    """None: it is not stated on two days."""
    days = f"SELECT (SELECT max({name}_day) FROM rows_first), (SELECT max({name}_day) FROM rows_last)"
    first, last = connection.execute(days).fetchall()[0]
    return None if first is None or last is None or last <= first else (first, last)


def _slack(first: date, last: date) -> timedelta:
    return timedelta(days=int(_SLACK * (last - first).days))


def _keep(connection: DuckDBPyConnection, end: str, since: Mapping[str, date | None], *, seen: date) -> None:
    """Makes `window_END` of the models that were seen since a day, with the counts that were stated since others; of
    None no count is used."""
    stated = {name: "false" if day is None else f"{name}_day >= DATE '{day}'" for name, day in since.items()}
    counts = ", ".join(f"CASE WHEN {test} THEN {name} END AS {name}" for name, test in stated.items())
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE window_{end} AS SELECT id, library, {counts} FROM rows_{end} "
        f"WHERE of_day >= DATE '{seen}'"
    )
    connection.execute(f"DROP TABLE rows_{end}")
