"""What an exchange was, beside what it said: its endpoint, whether its answer is whole, where its cost comes from."""

import json
from collections.abc import Mapping
from typing import Any

from alembic import op
from sqlalchemy import Boolean, Column, MetaData, PrimaryKeyConstraint, Table, Text, insert, or_, select, update

revision = "0002"
down_revision = "0001"

Key = Text().with_variant(Text(collation="C"), "postgresql")  # ordered by code point everywhere
_CHAT = "/v1/chat/completions"
_MARKS: Mapping[str, type] = {"escalated": bool, "fallback": str, "shadow_of": str}
_MOVED: Mapping[str, type] = {"incomplete": str, **_MARKS}

_exchanges = Table(
    "exchanges",
    MetaData(),
    Column("id", Key, primary_key=True),
    Column("cost_usd", Text),
    Column("cost_estimated", Boolean),
    Column("route", Text),
    Column("metadata", Text),
    Column("cost_source", Text),
    Column("incomplete", Text),
    Column("marks", Text),
)
_facts = Table("store_facts", MetaData(), Column("name", Key, primary_key=True), Column("value", Text))


def upgrade() -> None:
    # Path that the request was sent to; everything before was a chat.
    op.add_column("exchanges", Column("endpoint", Text, nullable=False, server_default=_CHAT))
    # Why the answer is not whole, as the end of a sentence; NULL: it is whole, or there is none (see status).
    op.add_column("exchanges", Column("incomplete", Text))
    # recorded, list price or estimate; NULL where the cost is NULL.
    op.add_column("exchanges", Column("cost_source", Text))
    # JSON of what happened on the way (escalated, fallback, shadow_of); NULL: nothing out of the ordinary.
    op.add_column("exchanges", Column("marks", Text))
    # What this store is, in single values: under which default it was begun, and the like.
    op.create_table(
        "store_facts",
        Column("name", Key, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("name"),
    )
    _name_the_source_of_costs()
    _move_marks_out_of_the_metadata()
    op.drop_column("exchanges", "cost_estimated")
    _keep_the_old_default()


def _name_the_source_of_costs() -> None:
    """A cost of the gateway's own was a list price; an imported one was stated by the log unless it was estimated."""
    connection, table = op.get_bind(), _exchanges
    priced = table.c.cost_usd.is_not(None)
    connection.execute(update(table).where(priced, table.c.cost_estimated.is_(True)).values(cost_source="estimate"))
    others = priced, table.c.cost_source.is_(None)
    connection.execute(update(table).where(*others, table.c.route.is_(None)).values(cost_source="recorded"))
    connection.execute(update(table).where(*others, table.c.route.is_not(None)).values(cost_source="list price"))


def _move_marks_out_of_the_metadata() -> None:
    """Only the gateway wrote them, so only rows with a route have them; of another type they are somebody else's."""
    connection, table = op.get_bind(), _exchanges
    held = or_(*(table.c.metadata.contains(f'"{name}"') for name in _MOVED))
    rows = connection.execute(select(table.c.id, table.c.metadata).where(table.c.route.is_not(None), held)).all()
    for row in rows:
        metadata: dict[str, Any] = json.loads(row.metadata)
        moved = {name: metadata.pop(name) for name, kind in _MOVED.items() if isinstance(metadata.get(name), kind)}
        marks = {name: moved[name] for name in _MARKS if name in moved}
        connection.execute(
            update(table)
            .where(table.c.id == row.id)
            .values(
                metadata=json.dumps(metadata, separators=(",", ":")),
                incomplete=moved.get("incomplete"),
                marks=json.dumps(marks, separators=(",", ":")) if marks else None,
            )
        )


def _keep_the_old_default() -> None:
    """Who has recorded traffic with private requests kept on this machine goes on so until told otherwise."""
    connection = op.get_bind()
    if connection.execute(select(_exchanges.c.id).limit(1)).first() is not None:
        connection.execute(insert(_facts).values(name="privacy", value="enforce"))
