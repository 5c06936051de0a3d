"""Downloads between two days, as far as two snapshots can tell.

Only a count of all downloads (`downloads_all`) can be subtracted. A source that states the last 30 days alone gives two
windows of 30 days, one that ends on each day: they are shown beside each other and never subtracted. A count that fell
(recounted, or another repository under an old name) is no download: it is counted and left NULL.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from insource.core.ecosystem import Window, WindowRow
from insource.hub.duck import connect

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from insource.hub.archive import Archive

_TOLD = "id, downloads, downloads_all, likes, library"
_MOST_DOWNLOADED = """
SELECT id, downloads, last_30_days_first, last_30_days_last FROM window_downloads
ORDER BY downloads DESC NULLS LAST, last_30_days_last DESC NULLS LAST, id LIMIT ?
"""


def look_between(archive: Archive, *, first: date, last: date, most: int) -> Window:
    """With its rows. Raises UsageError where there is no snapshot up to a day."""
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
    """Makes the tables `window_first` and `window_last` of what each day's state says (id, downloads, downloads_all,
    likes, library), `window_days` (first, last), and of ids in both `window_downloads`: id; `downloads`, between the
    two days; `fell`; `likes`, more or less than on the first; `last_30_days_first` and `last_30_days_last`. A row that
    is still the first day's is no second sighting. Raises UsageError where there is no snapshot up to a day."""
    then, from_day = archive.state(day=first, source=source)
    now, to_day = archive.state(day=last, source=source)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE window_first AS SELECT {_TOLD} FROM ({then})")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE window_last AS SELECT {_TOLD} FROM ({now}) WHERE of_day > ?", [from_day]
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE window_days AS SELECT ?::DATE AS first, ?::DATE AS last", [from_day, to_day]
    )
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE window_downloads AS
        SELECT id,
            CASE WHEN l.downloads_all >= f.downloads_all THEN l.downloads_all - f.downloads_all END AS downloads,
            coalesce(l.downloads_all < f.downloads_all, false) AS fell,
            l.likes - f.likes AS likes,
            f.downloads AS last_30_days_first,
            l.downloads AS last_30_days_last
        FROM window_first f JOIN window_last l USING (id)""")
    counts = connection.execute("""
        SELECT count(*), (SELECT count(*) FROM window_first ANTI JOIN window_last USING (id)),
            (SELECT count(*) FROM window_last ANTI JOIN window_first USING (id)), count(downloads),
            count(*) FILTER (fell), count(*) FILTER (last_30_days_first + last_30_days_last IS NOT NULL)
        FROM window_downloads""").fetchall()[0]
    both, only_first, only_last, differences, fell, thirty_days = (int(count) for count in counts)
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
