"""What happened, for people: what a privacy policy did to requests, and what became of tasks."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text

revision = "0003"
down_revision = "0002"

Key = Text().with_variant(Text(collation="C"), "postgresql")  # ordered by code point everywhere
Sequence = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows for INTEGER only


def upgrade() -> None:
    op.create_table(
        # Only ever appended to, and pruned with the log. Holds no value of a request: kinds and counts.
        "events",
        Column("sequence", Sequence, autoincrement=True, nullable=False),
        Column("created_us", BigInteger, nullable=False),
        # NULL: it is of no task.
        Column("task_id", Key),
        Column("kind", Text, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("sequence"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_created", "events", ["created_us"])
