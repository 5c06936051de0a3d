"""Sums over the exchange log and pages of it, made by the database: no body is read for a figure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSON

from insource.core.log_figures import IMPORTED, DayFigures, LogPage, LogSearch, Position, TaskUse, Where
from insource.core.values import Exchange
from insource.store import tables
from insource.store.database import Database
from insource.store.rows import exchange_of
from insource.store.tables import from_microseconds, to_microseconds

_DAY_US = 86_400_000_000
_SEARCHED = 20_000
"""Exchanges that a text is looked for in: each of them has to be read whole."""
_OFTEN = 10_000
"""Exchanges from which a task comes often."""
_TABLE = tables.exchanges.c
# The texts as `documents.encode` writes them; no other writer of these columns exists.
_ROUTE, _MARKS, _KINDS = (type_coerce(column, Text) for column in (_TABLE.route, _TABLE.marks, _TABLE.private_kinds))
_SHADOW = func.coalesce(_MARKS.contains('"shadow_of":"'), False)
_ESCALATED = func.coalesce(_MARKS.contains('"escalated":true'), False)
_PRIVATE = and_(_KINDS.is_not(None), _KINDS != "[]")
_HERE = func.coalesce(_ROUTE.contains('"upstream":"engine:'), False)
_FAILED = _TABLE.status >= 400


class SqlLogFigures:
    """core.log_figures.LogFigures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def days(self, *, since: datetime | None = None, task_id: str | None = None) -> list[DayFigures]:
        with self._database.reading() as connection:
            day = (_TABLE.created_us // _DAY_US).label("day")
            upstream = func.coalesce(_upstream(connection), IMPORTED).label("upstream")
            statement: Select[*tuple[Any, ...]] = select(
                day,
                upstream,
                func.count(),
                func.coalesce(func.sum(_TABLE.cost_usd), 0.0),
                _count(_PRIVATE),
                _count(_ESCALATED),
                _count(_FAILED),
            ).where(~_SHADOW)
            if since is not None:
                statement = statement.where(_TABLE.created_us >= to_microseconds(since))
            if task_id is not None:
                statement = _of_task(statement, task_id)
            # By position: a database may take an expression with a parameter in it for another one when it groups.
            by = (literal_column("1"), literal_column("2"))
            rows = connection.execute(statement.group_by(*by).order_by(*by)).all()
        return [
            DayFigures(
                day=(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=row[0])).date(),
                upstream=row[1],
                exchanges=row[2],
                cost_usd=row[3],
                private=row[4],
                escalated=row[5],
                failed=row[6],
            )
            for row in rows
        ]

    def tasks(self) -> dict[str, TaskUse]:
        assigned = tables.assignments.c
        statement = (
            select(
                assigned.task_id,
                func.count(),
                _count(_HERE),
                func.coalesce(func.sum(_TABLE.cost_usd), 0.0),
                func.avg(_TABLE.latency_seconds),
                _count(_PRIVATE),
                _count(_ESCALATED),
                func.min(_TABLE.created_us),
                func.max(_TABLE.created_us),
            )
            .join(tables.assignments, assigned.exchange_id == _TABLE.id)
            .where(~_SHADOW)
            .group_by(assigned.task_id)
            .order_by(assigned.task_id)
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return {row[0]: _use(tuple(row)) for row in rows}

    def page(self, search: LogSearch, *, before: Position | None = None, most: int = 50) -> LogPage:
        order = (_TABLE.created_us.desc(), _TABLE.id.desc())
        statement = select(tables.exchanges, tables.assignments.c.task_id).join(
            tables.assignments, tables.assignments.c.exchange_id == _TABLE.id, isouter=True
        )
        if search.where:
            statement = statement.where(_condition(search.where))
        if search.task_id is not None:
            statement = statement.where(self._in_task(search.task_id))
        if before is not None:
            statement = statement.where(
                tuple_(_TABLE.created_us, _TABLE.id) < (to_microseconds(before.created), before.id)
            )
        if search.text:
            newest = statement.with_only_columns(_TABLE.id).order_by(*order).limit(_SEARCHED)
            statement = statement.where(_TABLE.id.in_(newest.scalar_subquery())).where(_holds(search.text))
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(*order).limit(most + 1)).all()
        shown = rows[:most]
        last = shown[-1] if len(rows) > most else None
        return LogPage(
            exchanges=tuple(exchange_of(row) for row in shown),
            task_of={row.id: row.task_id for row in shown if row.task_id is not None},
            older=None if last is None else Position(from_microseconds(last.created_us), last.id),
            searched=_SEARCHED if search.text else None,
        )

    def _in_task(self, task_id: str) -> ColumnElement[bool]:
        """Of a task that comes often, as a subquery: then the newest exchanges are looked at one by one until a page is
        full. Else all of the task are looked up and sorted, which costs more the more there are."""
        assigned = tables.assignments.c
        of_task = select(assigned.exchange_id).where(assigned.task_id == task_id)
        with self._database.reading() as connection:
            held = connection.execute(select(func.count()).select_from(of_task.limit(_OFTEN).subquery())).scalar_one()
        if held < _OFTEN:
            return assigned.task_id == task_id
        inner = tables.assignments.alias()
        task = select(inner.c.task_id).where(inner.c.exchange_id == _TABLE.id).scalar_subquery()
        return task == task_id

    def one(self, exchange_id: str) -> tuple[Exchange, str | None] | None:
        statement = select(tables.exchanges, tables.assignments.c.task_id).join(
            tables.assignments, tables.assignments.c.exchange_id == _TABLE.id, isouter=True
        )
        with self._database.reading() as connection:
            row = connection.execute(statement.where(_TABLE.id == exchange_id)).first()
        return None if row is None else (exchange_of(row), row.task_id)

    def newest(self) -> datetime | None:
        with self._database.reading() as connection:
            last: int | None = connection.execute(select(func.max(_TABLE.created_us))).scalar()
        return None if last is None else from_microseconds(last)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _upstream(connection: Connection) -> ColumnElement[str]:
    if connection.dialect.name == "sqlite":
        return func.json_extract(_ROUTE, "$.upstream")
    return cast(_ROUTE, JSON)["upstream"].as_string()


def _of_task(statement: Select[*tuple[Any, ...]], task_id: str) -> Select[*tuple[Any, ...]]:
    assigned = tables.assignments.c
    return statement.join(tables.assignments, assigned.exchange_id == _TABLE.id).where(assigned.task_id == task_id)


def _condition(where: Where) -> ColumnElement[bool]:
    conditions: dict[Where, ColumnElement[bool]] = {
        "": true(),
        "here": and_(_HERE, ~_SHADOW),
        "hosted": and_(~_HERE, ~_SHADOW),
        "private": _PRIVATE,
        "escalated": _ESCALATED,
        "failed": _FAILED,
        "shadow": _SHADOW,
    }
    return type_coerce(conditions[where], Boolean)


def _holds(text: str) -> ColumnElement[bool]:
    """In the bodies as they are kept: JSON, in which quotes and line ends are escaped."""
    kept = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    bodies = (type_coerce(column, Text) for column in (_TABLE.request, _TABLE.response))
    return or_(_TABLE.id == text, *(func.coalesce(body.contains(kept, autoescape=True), False) for body in bodies))


def _use(row: Sequence[Any]) -> TaskUse:
    return TaskUse(
        task_id=row[0],
        exchanges=row[1],
        here=row[2],
        cost_usd=row[3],
        latency_seconds=row[4],
        private=row[5],
        escalated=row[6],
        first=from_microseconds(row[7]),
        last=from_microseconds(row[8]),
    )
