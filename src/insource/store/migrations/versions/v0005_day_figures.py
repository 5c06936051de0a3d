"""Sums of the log by day, task and upstream, so that a page of figures does not read every exchange.

Filled from the log once: about ten seconds for a million exchanges.
"""

from collections.abc import Mapping

from alembic import op
from sqlalchemy import BigInteger, Column, Float, PrimaryKeyConstraint, Text

revision = "0005"
down_revision = "0004"

Key = Text().with_variant(Text(collation="C"), "postgresql")  # ordered by code point everywhere
_UPSTREAM: Mapping[str, str] = {
    "sqlite": "json_extract(e.route, '$.upstream')",
    "postgresql": "e.route::json ->> 'upstream'",
}


def upgrade() -> None:
    op.create_table(
        "day_figures",
        # Days since 1970 (UTC); the task ('': none yet); what answered ('': imported, so a hosted service).
        Column("day", BigInteger, nullable=False),
        Column("task_id", Key, nullable=False),
        Column("upstream", Key, nullable=False),
        Column("exchanges", BigInteger, nullable=False),
        Column("cost_usd", Float, nullable=False),
        Column("latency_seconds", Float, nullable=False),
        # How many of the exchanges have a latency: their mean is that sum by this number.
        Column("timed", BigInteger, nullable=False),
        Column("private", BigInteger, nullable=False),
        Column("escalated", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        PrimaryKeyConstraint("day", "task_id", "upstream"),
    )
    connection = op.get_bind()
    connection.exec_driver_sql(_FILL.replace("UPSTREAM", _UPSTREAM[connection.dialect.name]))


_FILL = """
INSERT INTO day_figures
SELECT e.created_us / 86400000000, coalesce(a.task_id, ''), coalesce(UPSTREAM, ''), count(*),
  coalesce(sum(CASE WHEN abs(e.cost_usd) < 1e9 THEN e.cost_usd END), 0),
  coalesce(sum(CASE WHEN abs(e.latency_seconds) < 1e9 THEN e.latency_seconds END), 0),
  count(CASE WHEN abs(e.latency_seconds) < 1e9 THEN 1 END),
  sum(CASE WHEN e.private_kinds IS NOT NULL AND e.private_kinds <> '[]' THEN 1 ELSE 0 END),
  sum(CASE WHEN coalesce(e.marks, '') LIKE '%%"escalated":true%%' THEN 1 ELSE 0 END),
  sum(CASE WHEN e.status >= 400 THEN 1 ELSE 0 END)
FROM exchanges e LEFT JOIN assignments a ON a.exchange_id = e.id
WHERE coalesce(e.marks, '') NOT LIKE '%%"shadow_of":"%%'
GROUP BY 1, 2, 3
"""
