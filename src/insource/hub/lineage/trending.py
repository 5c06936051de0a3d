"""What is being built upon now: derivatives of each root in a window of days, with guards against floods.

The rule, also shown beside the figures (`RULE`). A derivative counts for every root above it: each ancestor without a
parent. The window ends at the newest publication in the snapshot unless the caller says otherwise.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from insource.core.ecosystem import Trend

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_OF_ONE_OWNER = 5
"""A week and root: a judgement, not a measurement. Beyond it one's flood says nothing of others' interest."""
UNUSED_WEIGHT = 0.1
"""Of a derivative that nobody downloaded in 30 days, or whose downloads are not stated."""
RULE = (
    f"Velocity: derivatives a week by other owners than the root's; equal names of one owner count once, one owner at "
    f"most {MOST_OF_ONE_OWNER} a week and root, a derivative without downloads {UNUSED_WEIGHT}."
)

_RECENT = """
WITH RECURSIVE fresh AS (
    SELECT id, author, created, coalesce(downloads, 0) AS downloads FROM models
    WHERE created > $start AND created <= $end AND id IN (SELECT child FROM edges)
), climb AS (
    SELECT f.id AS fresh, e.parent AS above FROM fresh f JOIN edges e ON e.child = f.id
    UNION
    SELECT c.fresh, e.parent FROM climb c JOIN edges e ON e.child = c.above
), rooted AS (
    SELECT fresh AS id, above AS root FROM climb WHERE above NOT IN (SELECT child FROM edges)
), counted AS (
    SELECT r.root, f.author, f.created, f.downloads,
        floor(date_diff('second', f.created, $end::TIMESTAMP) / 604800) AS week,
        f.created > $middle AS now,
        row_number() OVER (
            PARTITION BY r.root, f.author, lower(split_part(f.id, '/', -1)) ORDER BY f.created, f.id) AS same,
        coalesce(f.author, '') <> split_part(r.root, '/', 1) AS foreign_owner
    FROM rooted r JOIN fresh f USING (id)
), capped AS (
    SELECT *, row_number() OVER (PARTITION BY root, author, week, same = 1 AND foreign_owner
        ORDER BY downloads DESC, created) AS place FROM counted
), weighed AS (
    SELECT *, CASE WHEN same > 1 OR NOT foreign_owner OR place > $most THEN 0.0
        WHEN downloads > 0 THEN 1.0 ELSE $unused END AS weight FROM capped
)
SELECT root, sum(weight) FILTER (now) AS weighted, coalesce(sum(weight) FILTER (NOT now), 0) AS before,
    count(*) FILTER (now) AS published, count(DISTINCT author) FILTER (now AND weight > 0) AS owners
FROM weighed GROUP BY root HAVING weighted > 0 ORDER BY weighted DESC, published DESC, root LIMIT $rows
"""


def trending(connection: DuckDBPyConnection, *, days: int, end: datetime | None = None, rows: int = 20) -> list[Trend]:
    """The roots with the highest velocity in the last `days` of the snapshot, fastest first."""
    bounds = connection.execute(
        """SELECT coalesce($end::TIMESTAMP, max(created)), coalesce($end::TIMESTAMP, max(created)) - to_days($days),
        coalesce($end::TIMESTAMP, max(created)) - to_days(2 * $days) FROM models""",
        {"end": end, "days": days},
    ).fetchall()[0]
    if bounds[0] is None:
        return []
    found = connection.execute(
        _RECENT,
        {
            "end": bounds[0],
            "middle": bounds[1],
            "start": bounds[2],
            "most": MOST_OF_ONE_OWNER,
            "unused": UNUSED_WEIGHT,
            "rows": rows,
        },
    ).fetchall()
    weeks = days / 7
    return [
        Trend(
            root=str(root),
            per_week=float(weighted) / weeks,
            per_week_before=float(before) / weeks,
            published=int(published),
            owners=int(owners),
        )
        for root, weighted, before, published, owners in found
    ]
