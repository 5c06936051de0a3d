"""The tables as they are now. How they came to be, and why each column exists, is told in `migrations/versions/`;
a test compares the two. Times are whole microseconds since 1970 (UTC): exact, sortable, the same on every database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from insource.store.documents import decode, encode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Key = Text().with_variant(Text(collation="C"), "postgresql")
"""Ids. Ordered by code point on every database, as Python orders strings; PostgreSQL's default depends on a locale."""
Sequence = BigInteger().with_variant(Integer(), "sqlite")
"""A growing number given by the database; SQLite does that for `INTEGER` only."""


class JsonText(TypeDecorator[Any]):
    """A JSON value kept as text. Not the databases' own JSON types: those reorder keys and refuse some strings."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else decode(value)


def to_microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


metadata = MetaData()

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Key, primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    Column("request", JsonText, nullable=False),
    Column("response", JsonText),
    Column("status", Integer, nullable=False),
    Column("latency_seconds", Float),
    Column("cost_usd", Float),
    Column("reference", JsonText),
    Column("reference_kind", Text),
    Column("reference_correct", Boolean),
    Column("private_kinds", JsonText),
    Column("route", JsonText),
    Column("metadata", JsonText, nullable=False),
    Column("endpoint", Text, nullable=False, server_default="/v1/chat/completions"),
    Column("incomplete", Text),
    Column("cost_source", Text),
    Column("marks", JsonText),
    Index("ix_exchanges_created", "created_us", "id"),
)

assignments = Table(
    "assignments",
    metadata,
    Column("exchange_id", Key, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True),
    Column("task_id", Key, nullable=False),
    Index("ix_assignments_task", "task_id"),
)

day_figures = Table(
    "day_figures",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("task_id", Key, primary_key=True),
    Column("upstream", Key, primary_key=True),
    Column("exchanges", BigInteger, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("latency_seconds", Float, nullable=False),
    Column("timed", BigInteger, nullable=False),
    Column("private", BigInteger, nullable=False),
    Column("escalated", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("document", Text, nullable=False),
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Key, primary_key=True),
    Column("task_id", Key, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_candidates_task", "task_id"),
)

criteria = Table(
    "criteria",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("document", Text, nullable=False),
)

text_rules = Table(
    "text_rules",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("document", Text, nullable=False),
)

places = Table(
    "places",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("exchange_id", Key, nullable=False),
    Column("cluster", Key, nullable=False),
    Column("part", Text, nullable=False),
    UniqueConstraint("task_id", "exchange_id"),
)

ranks = Table(
    "ranks",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("rank", Integer, primary_key=True, autoincrement=False),
    Column("candidate_id", Key, nullable=False),
    UniqueConstraint("task_id", "candidate_id"),
)

completions = Table(
    "completions",
    metadata,
    Column("key", Key, primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

judgements = Table(
    "judgements",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("exchange_id", Key, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True),
    Column("answer_sha256", Key, primary_key=True),
    Column("document", Text, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Key, primary_key=True),
    Column("task_id", Key, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_evaluations_task", "task_id"),
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", Key, primary_key=True),
    Column("task_id", Key, nullable=False),
    Column("document", Text, nullable=False),
    Column("bundle", LargeBinary, nullable=False),
    Index("ix_certificates_task", "task_id"),
)

events = Table(
    "events",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("created_us", BigInteger, nullable=False),
    Column("task_id", Key),
    Column("kind", Text, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_events_created", "created_us"),
    Index("ix_events_task", "task_id", "sequence"),
    sqlite_autoincrement=True,
)

moves = Table(
    "moves",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("task_id", Key, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_moves_task", "task_id", "sequence"),
    sqlite_autoincrement=True,
)

pins = Table(
    "pins",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("document", Text, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", Key, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

store_facts = Table(
    "store_facts",
    metadata,
    Column("name", Key, primary_key=True),
    Column("value", Text, nullable=False),
)

registry_revision = Table(
    "registry_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
