"""Sums over the exchange log and pages of it, made by the database: no body is read for a figure, and the
sums are added up from those of each day (day_figures.py)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Select, Text, and_, case, func, or_, select, true, tuple_, type_coerce

from insource.core.log_figures import DayFigures, LogPage, LogSearch, Position, TaskUse, Way, Where
from insource.core.values import Exchange
from insource.store import tables
from insource.store.database import Database
from insource.store.day_figures import ESCALATED, FAILED, HERE, NO_TASK, PRIVATE, SHADOW
from insource.store.rows import exchange_of
from insource.store.tables import from_microseconds, to_microseconds

_SEARCHED = 20_000
"""Exchanges that a text is looked for in: each of them has to be read whole."""
_OFTEN = 10_000
"""Exchanges from which a task comes often."""
_TABLE = tables.exchanges.c
_SUMS = tables.day_figures.c
_FIRST_DAY = date(1970, 1, 1)


class SqlLogFigures:
    """core.log_figures.LogFigures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def days(self, *, since: date | None = None, task_id: str | None = None) -> list[DayFigures]:
        sums = [func.sum(each) for each in (_SUMS.exchanges, _SUMS.cost_usd, _SUMS.private, _SUMS.escalated)]
        columns: tuple[ColumnElement[Any], ...] = (_SUMS.day, _SUMS.upstream, *sums, func.sum(_SUMS.failed))
        statement: Select[*tuple[Any, ...]] = select(*columns)
        if since is not None:
            statement = statement.where(_SUMS.day >= (since - _FIRST_DAY).days)
        if task_id is not None:
            statement = statement.where(_SUMS.task_id == task_id)
        by = (_SUMS.day, _SUMS.upstream)
        with self._database.reading() as connection:
            rows = connection.execute(statement.group_by(*by).order_by(*by)).all()
        return [
            DayFigures(
                day=_FIRST_DAY + timedelta(days=row[0]),
                upstream=row[1],
                exchanges=int(row[2]),
                cost_usd=_rest(row[3]),
                private=int(row[4]),
                escalated=int(row[5]),
                failed=int(row[6]),
            )
            for row in rows
        ]

    def tasks(self) -> dict[str, TaskUse]:
        newest = func.max(_SUMS.day)
        here = func.sum(case((_SUMS.upstream.startswith("engine:"), _SUMS.exchanges), else_=0))
        sums = [func.sum(each) for each in (_SUMS.cost_usd, _SUMS.latency_seconds, _SUMS.timed, _SUMS.private)]
        statement = (
            select(_SUMS.task_id, func.sum(_SUMS.exchanges), here, *sums, func.sum(_SUMS.escalated), newest)
            .where(_SUMS.task_id != NO_TASK)
            .group_by(_SUMS.task_id)
            .order_by(_SUMS.task_id)
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return {row[0]: _use(tuple(row)) for row in rows}

    def ways(self, *, since: date | None = None) -> list[Way]:
        by = (_SUMS.task_id, _SUMS.upstream)
        statement = select(*by, func.sum(_SUMS.exchanges), func.sum(_SUMS.private))
        if since is not None:
            statement = statement.where(_SUMS.day >= (since - _FIRST_DAY).days)
        with self._database.reading() as connection:
            rows = connection.execute(statement.group_by(*by).order_by(*by)).all()
        return [Way(task_id=row[0], upstream=row[1], exchanges=int(row[2]), private=int(row[3])) for row in rows]

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


def _rest(usd: float) -> float:
    """A sum of amounts that came and went, without what rounding left of them."""
    return round(usd, 9)


def _condition(where: Where) -> ColumnElement[bool]:
    conditions: dict[Where, ColumnElement[bool]] = {
        "": true(),
        "here": and_(HERE, ~SHADOW),
        "hosted": and_(~HERE, ~SHADOW),
        "private": PRIVATE,
        "escalated": ESCALATED,
        "failed": FAILED,
        "shadow": SHADOW,
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
        exchanges=int(row[1]),
        here=int(row[2]),
        cost_usd=_rest(row[3]),
        latency_seconds=row[4] / int(row[5]) if row[5] else None,
        private=int(row[6]),
        escalated=int(row[7]),
        last_day=_FIRST_DAY + timedelta(days=row[8]),
    )
