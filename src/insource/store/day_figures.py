"""Sums of the exchange log by day, task and upstream, kept with every write: a page over a million exchanges adds up a
few thousand rows instead of reading a gigabyte of bodies.

Whoever writes exchanges or their tasks does it through `appended` or within `changing`; what is read from the sums is
in log_figures.py. A shadow counts in none of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import JSON

from insource.core.log_figures import IMPORTED
from insource.store import tables

DAY_US = 86_400_000_000
NO_TASK = ""
_AT_ONCE = 500
"""Ids written into a statement (databases limit the parameters)."""
_MOST_USD = 1e9
"""Of one exchange; a cost or a time beyond it is a broken record, and one of them would swallow all others."""
_LOCK = 7_305_002
"""Number of the PostgreSQL advisory lock of the sums."""
_TABLE = tables.exchanges.c
# The texts as `documents.encode` writes them; no other writer of these columns exists.
_ROUTE, _MARKS, _KINDS = (type_coerce(column, Text) for column in (_TABLE.route, _TABLE.marks, _TABLE.private_kinds))
SHADOW: ColumnElement[bool] = func.coalesce(_MARKS.contains('"shadow_of":"'), False)
ESCALATED: ColumnElement[bool] = func.coalesce(_MARKS.contains('"escalated":true'), False)
PRIVATE: ColumnElement[bool] = and_(_KINDS.is_not(None), _KINDS != "[]")
HERE: ColumnElement[bool] = func.coalesce(_ROUTE.contains('"upstream":"engine:'), False)
FAILED: ColumnElement[bool] = _TABLE.status >= 400


class _Key(NamedTuple):
    """Sorted, so that two writers of a PostgreSQL database take the rows in the same order."""

    day: int
    task_id: str
    upstream: str


_SUMS = ("exchanges", "cost_usd", "latency_seconds", "timed", "private", "escalated", "failed")
_Sums = dict[_Key, list[float]]


def appended(connection: Connection, ids: Sequence[str]) -> None:
    """These exchanges are new. PostgreSQL: others may append at the same time, but change nothing."""
    _hold(connection, "pg_advisory_xact_lock_shared")
    _add(connection, _sums_of(connection, ids))


@contextmanager
def changing(connection: Connection, ids: Sequence[str]) -> Generator[None]:
    """What the block changes of these exchanges, or deletes, changes in the sums too."""
    _hold(connection, "pg_advisory_xact_lock")
    difference = _sums_of(connection, ids, sign=-1)
    yield
    for key, values in _sums_of(connection, ids).items():
        difference[key] = [a + b for a, b in zip(difference[key], values, strict=True)]
    _add(connection, {key: values for key, values in difference.items() if any(values)})
    connection.execute(delete(tables.day_figures).where(tables.day_figures.c.exchanges == 0))


def _hold(connection: Connection, function: str) -> None:
    """In SQLite there is one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT {function}({_LOCK})"))


def _sums_of(connection: Connection, ids: Sequence[str], *, sign: int = 1) -> _Sums:
    sums: _Sums = defaultdict(lambda: [0.0] * len(_SUMS))
    statement = _sums_by_key(connection.dialect.name)
    for at in range(0, len(ids), _AT_ONCE):
        for row in connection.execute(statement, {"ids": ids[at : at + _AT_ONCE]}):
            held = sums[_Key(*row[:3])]
            for place, value in enumerate(row[3:]):
                held[place] += sign * value
    return sums


@cache
def _sums_by_key(dialect: str) -> Select[*tuple[Any, ...]]:
    """Made once: the gateway asks for it with every batch of its log."""
    assigned = tables.assignments.c
    # By position: a database may take an expression with a parameter in it for another one when it groups.
    by = (literal_column("1"), literal_column("2"), literal_column("3"))
    columns: tuple[ColumnElement[Any], ...] = (
        (_TABLE.created_us // DAY_US).label("day"),
        func.coalesce(assigned.task_id, NO_TASK).label("task_id"),
        func.coalesce(_upstream(dialect), IMPORTED).label("upstream"),
        func.count(),
        func.coalesce(func.sum(_sane(_TABLE.cost_usd)), 0.0),
        func.coalesce(func.sum(_sane(_TABLE.latency_seconds)), 0.0),
        func.count(_sane(_TABLE.latency_seconds)),
        _count(PRIVATE),
        _count(ESCALATED),
        _count(FAILED),
    )
    joined = select(*columns).join(tables.assignments, assigned.exchange_id == _TABLE.id, isouter=True)
    return joined.where(~SHADOW, _TABLE.id.in_(bindparam("ids", expanding=True))).group_by(*by)


def _add(connection: Connection, sums: _Sums) -> None:
    if sums:
        rows = [{**key._asdict(), **dict(zip(_SUMS, sums[key], strict=True))} for key in sorted(sums)]
        connection.execute(_adding(connection.dialect.name), rows)


@cache
def _adding(dialect: str) -> Insert:
    if dialect == "sqlite":
        statement = sqlite.insert(tables.day_figures)
    else:
        from sqlalchemy.dialects import postgresql  # late: most stores are SQLite files

        statement = postgresql.insert(tables.day_figures)
    held, new = tables.day_figures.c, statement.excluded
    added = {name: held[name] + new[name] for name in _SUMS}
    return statement.on_conflict_do_update(index_elements=["day", "task_id", "upstream"], set_=added)


def _sane(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.abs(column) < _MOST_USD, column))


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((type_coerce(condition, Boolean), 1), else_=0)), 0)


def _upstream(dialect: str) -> ColumnElement[str]:
    if dialect == "sqlite":
        return func.json_extract(_ROUTE, "$.upstream")
    return cast(_ROUTE, JSON)["upstream"].as_string()
