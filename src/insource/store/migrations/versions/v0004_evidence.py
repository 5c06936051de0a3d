"""Evidence that holds tomorrow: every exchange has one place, every candidate one rank, every answer is kept.

What was certified before rested on near-duplicates in both parts and on a budget that each look spent again, so it is
void: candidates, evaluations and certificates go, and moves that stood on them are rolled back, with an event that says
so. Nothing is answered by them from here on.
"""

import json
from datetime import UTC, datetime
from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
)

revision = "0004"
down_revision = "0003"

Key = Text().with_variant(Text(collation="C"), "postgresql")  # ordered by code point everywhere
Sequence = BigInteger().with_variant(Integer(), "sqlite")
_ANSWERING = ("shadow", "canary", "live")

_moves = Table(
    "moves",
    MetaData(),
    Column("sequence", Sequence, primary_key=True),
    Column("task_id", Key),
    Column("document", Text),
)
_tasks = Table("tasks", MetaData(), Column("id", Key), Column("document", Text))
_events = Table(
    "events",
    MetaData(),
    Column("sequence", Sequence, primary_key=True),
    Column("created_us", BigInteger),
    Column("task_id", Key),
    Column("kind", Text),
    Column("document", Text),
)


def upgrade() -> None:
    _create_tables()
    op.drop_table("outcomes")
    op.drop_index("ix_evaluations_task", table_name="evaluations")
    op.drop_table("evaluations")
    op.drop_table("certificates")
    # One row per candidate: what its evidence says, as of the latest look.
    op.create_table(
        "evaluations",
        Column("id", Key, nullable=False),
        Column("task_id", Key, nullable=False),
        Column("created_us", BigInteger, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_evaluations_task", "evaluations", ["task_id"])
    # A certificate with the bundle of everything that it rests on (compressed JSON).
    op.create_table(
        "certificates",
        Column("id", Key, nullable=False),
        Column("task_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        Column("bundle", LargeBinary, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_certificates_task", "certificates", ["task_id"])
    _roll_back_moves()
    op.get_bind().execute(delete(Table("candidates", MetaData(), Column("id", Key))))


def _create_tables() -> None:
    # How a task's inputs are compared, from its first exchanges on.
    op.create_table(
        "text_rules",
        Column("task_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("task_id"),
    )
    # Where an exchange stands in its task's ledger: given once.
    op.create_table(
        "places",
        Column("task_id", Key, nullable=False),
        Column("place", Integer, nullable=False, autoincrement=False),
        Column("exchange_id", Key, nullable=False),
        Column("cluster", Key, nullable=False),
        Column("part", Text, nullable=False),
        PrimaryKeyConstraint("task_id", "place"),
        UniqueConstraint("task_id", "exchange_id"),
    )
    # The order in which candidates' outcomes on evidence were first seen; rows are never deleted.
    op.create_table(
        "ranks",
        Column("task_id", Key, nullable=False),
        Column("rank", Integer, nullable=False, autoincrement=False),
        Column("candidate_id", Key, nullable=False),
        PrimaryKeyConstraint("task_id", "rank"),
        UniqueConstraint("task_id", "candidate_id"),
    )
    # What engines answered, by the hash of model file, settings and request.
    op.create_table(
        "completions",
        Column("key", Key, nullable=False),
        # As of when: what the log's retention takes goes here too.
        Column("created_us", BigInteger, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("key"),
    )
    # What people said of answers.
    op.create_table(
        "judgements",
        Column("task_id", Key, nullable=False),
        Column("exchange_id", Key, nullable=False),
        Column("answer_sha256", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("task_id", "exchange_id", "answer_sha256"),
        ForeignKeyConstraint(["exchange_id"], ["exchanges.id"], ondelete="CASCADE"),
    )
    # What users chose as right.
    op.create_table(
        "criteria",
        Column("task_id", Key, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("task_id"),
    )
    # What happened, for people.
    op.create_index("ix_events_task", "events", ["task_id", "sequence"])


def _roll_back_moves() -> None:
    connection = op.get_bind()
    last = select(func.max(_moves.c.sequence)).group_by(_moves.c.task_id)
    names = {row.id: json.loads(row.document).get("name", row.id) for row in connection.execute(select(_tasks))}
    now = datetime.now(UTC)
    for row in connection.execute(select(_moves).where(_moves.c.sequence.in_(last))).all():
        move: dict[str, Any] = json.loads(row.document)
        if move.get("stage") not in _ANSWERING:
            continue
        reason = "rolled back, evidence outdated"
        rolled_back = {**move, "stage": "rolled back", "changed": now.isoformat(), "reason": reason}
        connection.execute(insert(_moves).values(task_id=row.task_id, document=_text(rolled_back)))
        name = names.get(row.task_id, row.task_id)
        event = {
            "created": now.isoformat(),
            "task_id": row.task_id,
            "kind": "rolled back",
            "text": (
                f"The move of {name!r} was rolled back: this version asks for stronger evidence than its certificate "
                f"rested on. Measure it again: `insource evaluate {row.task_id}`."
            ),
            "figures": {"stage": move["stage"], "candidate": move.get("candidate_id")},
        }
        created_us = int(now.timestamp() * 1_000_000)
        values = {"created_us": created_us, "task_id": row.task_id, "kind": event["kind"], "document": _text(event)}
        connection.execute(insert(_events).values(**values))


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
