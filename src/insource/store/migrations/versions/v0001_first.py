"""The exchange log and the registry."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
)

revision = "0001"
down_revision = None

Key = Text().with_variant(Text(collation="C"), "postgresql")  # ordered by code point everywhere
Sequence = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows for INTEGER only


def upgrade() -> None:
    _exchange_log()
    _found_and_made()
    _evidence()
    _decisions()


def _exchange_log() -> None:
    op.create_table(
        "exchanges",
        Column("id", Key, nullable=False),
        # Microseconds since 1970, UTC; with the id it is the order of the log.
        Column("created_us", BigInteger, nullable=False),
        # The bodies as they came, JSON. Response is NULL when only a label is known or the answer failed (see status).
        Column("request", Text, nullable=False),
        Column("response", Text),
        # HTTP status of the answer.
        Column("status", Integer, nullable=False),
        # NULL: not measured (an imported record without it).
        Column("latency_seconds", Float),
        # US dollars at the price of the day; NULL: no price is known for the model.
        Column("cost_usd", Float),
        # True: priced from a token estimate, so figures can say so.
        Column("cost_estimated", Boolean, nullable=False),
        # What answers are compared with, a JSON string; all three NULL: the hosted answer is the only reference.
        Column("reference", Text),
        Column("reference_kind", Text),
        # Whether the hosted answer was right; NULL: nobody said.
        Column("reference_correct", Boolean),
        # JSON list of the kinds of private data in the request; NULL: not scanned yet, to be treated as private.
        Column("private_kinds", Text),
        # JSON of the route taken; NULL: imported, insource was not there.
        Column("route", Text),
        # JSON object of the application's and the importer's own notes.
        Column("metadata", Text, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_exchanges_created", "exchanges", ["created_us", "id"])
    op.create_table(
        # Apart from the log, because discovery replaces all of them and the log only grows.
        "assignments",
        Column("exchange_id", Key, nullable=False),
        Column("task_id", Key, nullable=False),
        PrimaryKeyConstraint("exchange_id"),
        ForeignKeyConstraint(["exchange_id"], ["exchanges.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_assignments_task", "assignments", ["task_id"])


def _found_and_made() -> None:
    # `document` is the whole value as JSON; the other columns are only what is looked up or ordered by.
    op.create_table(
        "tasks",
        Column("id", Key, nullable=False),
        Column("position", Integer, nullable=False),  # discovery's own order
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "candidates",
        Column("id", Key, nullable=False),
        Column("task_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_candidates_task", "candidates", ["task_id"])
    op.create_table(
        # Fitted recipes. In the database, not in files: gateways on other machines load them too.
        "artifacts",
        Column("sha256", Key, nullable=False),
        Column("data", LargeBinary, nullable=False),
        PrimaryKeyConstraint("sha256"),
    )


def _evidence() -> None:
    op.create_table(
        "evaluations",
        Column("id", Key, nullable=False),
        Column("task_id", Key, nullable=False),
        Column("created_us", BigInteger, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_evaluations_task", "evaluations", ["task_id"])
    op.create_table(
        # Every held-out comparison, so that a certificate can be derived again.
        "outcomes",
        Column("evaluation_id", Key, nullable=False),
        Column("position", Integer, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("evaluation_id", "position"),
        ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], ondelete="CASCADE"),
    )
    op.create_table(
        # No foreign key: a certificate outlives an evaluation that is replaced.
        "certificates",
        Column("id", Key, nullable=False),
        Column("evaluation_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("id"),
    )


def _decisions() -> None:
    op.create_table(
        # Every move ever made; the last of a task is in force.
        "moves",
        Column("sequence", Sequence, autoincrement=True, nullable=False),
        Column("task_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("sequence"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_moves_task", "moves", ["task_id", "sequence"])
    op.create_table(
        # Apart from the moves: a pin outranks whatever move its task has, and outlives it.
        "pins",
        Column("task_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("task_id"),
    )
    revision_table = op.create_table(
        # One row (id 1) that grows with every change of tasks, candidates or moves: what a gateway polls.
        "registry_revision",
        Column("id", Integer, autoincrement=False, nullable=False),
        Column("value", BigInteger, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])
