"""What is being built upon now: derivatives of each root in a window of days, with guards against floods.

The rule, also shown beside the figures (`RULE`). A derivative counts for every root above it: each ancestor without a
parent. Only rows that state when they were created, their parents (or that they have none) and their downloads count,
and the window ends with the newest of these unless the caller says otherwise: a snapshot that knows no parents would
only make it look as if nothing were built any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from insource.core.ecosystem import Trend, Trends

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_OF_ONE_OWNER = 5
"""A week and root: a judgement, not a measurement. Beyond it one's flood says nothing of others' interest."""
UNUSED_WEIGHT = 0.1
"""Of a derivative that nobody downloaded in 30 days."""
RULE = (
    f"Velocity: derivatives a week by other owners than the root's; equal names of one owner count once, one owner at "
    f"most {MOST_OF_ONE_OWNER} a week and root, a derivative without downloads {UNUSED_WEIGHT}."
)

_STATING = """
SELECT max(created) FILTER (states), count_if(states), count(*) FROM (
    SELECT created, created IS NOT NULL AND downloads IS NOT NULL AND base_models IS NOT NULL AS states FROM models)
"""
_RECENT = """
WITH RECURSIVE fresh AS (
    SELECT id, author, created, downloads FROM models
    WHERE created > $start AND created <= $end AND downloads IS NOT NULL AND id IN (SELECT child FROM edges)
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
    -- Decimals: a sum of them does not hang on its order.
    SELECT *, (CASE WHEN same > 1 OR NOT foreign_owner OR place > $most THEN 0.0
        WHEN downloads > 0 THEN 1.0 ELSE $unused END)::DECIMAL(18, 3) AS weight FROM capped
)
SELECT root, sum(weight) FILTER (now) AS weighted, coalesce(sum(weight) FILTER (NOT now), 0) AS before,
    count(*) FILTER (now) AS published, count(DISTINCT author) FILTER (now AND weight > 0) AS owners
FROM weighed GROUP BY root HAVING weighted > 0 ORDER BY weighted DESC, published DESC, root LIMIT $rows
"""


def trending(connection: DuckDBPyConnection, *, days: int, end: datetime | None = None, rows: int = 20) -> Trends:
    """The roots with the highest velocity in the last `days`, fastest first."""
    newest, stating, listed = connection.execute(_STATING).fetchall()[0]
    last = end or newest
    found = [] if last is None else _roots(connection, last=last, days=days, rows=rows)
    return Trends(
        rule=RULE, roots=found, until=None if last is None else last.date(), stating=int(stating), listed=int(listed)
    )


def _roots(connection: DuckDBPyConnection, *, last: datetime, days: int, rows: int) -> list[Trend]:
    found = connection.execute(
        _RECENT,
        {
            "end": last,
            "middle": last - timedelta(days=days),
            "start": last - timedelta(days=2 * days),
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
