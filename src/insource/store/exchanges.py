"""The exchange log on a database. Order is (created, id)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError

from insource.core.errors import StorageError, UsageError
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange
from insource.store import day_figures, tables
from insource.store.database import Database
from insource.store.log_figures import SqlLogFigures
from insource.store.rows import NO_MARKS, exchange_of
from insource.store.tables import to_microseconds

_PAGE = 500
"""Rows read at once. Between pages no connection is held: a slow reader keeps neither a lock nor an old snapshot."""
_MAX_LISTED = 500
"""Ids written into a statement; of a larger set, the pages are sifted here (databases limit the parameters)."""
_PRUNED_AT_ONCE = 1_000
_EVERYTHING = ExchangeFilter()


@dataclass(frozen=True, slots=True)
class _Key:
    created_us: int
    id: str


class SqlExchangeStore:
    """core.ports.ExchangeStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def figures(self) -> SqlLogFigures:
        return SqlLogFigures(self._database)

    def append(self, exchanges: Iterable[Exchange]) -> int:
        rows = [_row(exchange) for exchange in exchanges]
        if not rows:
            return 0
        with self._database.writing() as connection:
            new = _inserted(connection, rows)
            day_figures.appended(connection, new)
        return len(new)

    def read(self, where: ExchangeFilter = _EVERYTHING) -> Iterator[Exchange]:
        """What is appended while reading may or may not appear; nothing appears twice."""
        statement = _select(where).order_by(tables.exchanges.c.created_us, tables.exchanges.c.id).limit(_PAGE)
        after: _Key | None = None
        while True:
            page = self._page(statement, after)
            for row in page:
                if where.ids is None or row.id in where.ids:
                    yield exchange_of(row)
            if len(page) < _PAGE:
                return
            after = _Key(page[-1].created_us, page[-1].id)

    def _page(self, statement: Select[Any], after: _Key | None) -> list[Row[Any]]:
        if after is not None:
            statement = statement.where(
                tuple_(tables.exchanges.c.created_us, tables.exchanges.c.id) > (after.created_us, after.id)
            )
        with self._database.reading() as connection:
            return list(connection.execute(statement).all())

    def count(self) -> int:
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(tables.exchanges)).scalar_one()

    def count_before(self, moment: datetime) -> int:
        older = tables.exchanges.c.created_us < to_microseconds(moment)
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(tables.exchanges).where(older)).scalar_one()

    def prune(self, before: datetime) -> int:
        """In pieces, so that a gateway that writes at the same time never waits for long."""
        table, deleted = tables.exchanges, 0
        oldest = select(table.c.id).where(table.c.created_us < to_microseconds(before)).limit(_PRUNED_AT_ONCE)
        while True:
            with self._database.writing() as connection:
                ids = connection.execute(oldest).scalars().all()
                if ids:
                    with day_figures.changing(connection, ids):
                        connection.execute(delete(table).where(table.c.id.in_(ids)))
            deleted += len(ids)
            if len(ids) < _PRUNED_AT_ONCE:
                break
        if deleted:
            self._database.shrink()
        return deleted

    def assign(self, task_of: Mapping[str, str]) -> None:
        table = tables.assignments
        try:
            with self._database.writing() as connection:
                held = {row.exchange_id: row.task_id for row in connection.execute(select(table))}
                # The same log gives the same tasks: what stays as it is is not written again.
                gone = [id for id, task_id in held.items() if task_of.get(id) != task_id]
                new = {id: task_id for id, task_id in task_of.items() if held.get(id) != task_id}
                with day_figures.changing(connection, sorted({*gone, *new})):
                    for at in range(0, len(gone), _MAX_LISTED):
                        connection.execute(delete(table).where(table.c.exchange_id.in_(gone[at : at + _MAX_LISTED])))
                    if new:
                        rows = [{"exchange_id": id, "task_id": task_id} for id, task_id in new.items()]
                        connection.execute(insert(table), rows)
        except StorageError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise UsageError(
                "An assignment names an exchange that is not in the log; nothing was changed.",
                next_step="Assign only exchanges that were read from this store.",
            ) from error

    def assign_more(self, task_of: Mapping[str, str]) -> None:
        ids = list(task_of)
        table = tables.assignments
        with self._database.writing() as connection:
            for at in range(0, len(ids), _MAX_LISTED):
                some = ids[at : at + _MAX_LISTED]
                here = select(tables.exchanges.c.id).where(tables.exchanges.c.id.in_(some))
                has = select(table.c.exchange_id).where(table.c.exchange_id.in_(some))
                known = set(connection.execute(has).scalars())
                new = [id for id in connection.execute(here).scalars() if id not in known]
                if new:
                    with day_figures.changing(connection, new):
                        connection.execute(insert(table), [{"exchange_id": id, "task_id": task_of[id]} for id in new])

    def assignments(self) -> dict[str, str]:
        statement = select(tables.assignments.c.exchange_id, tables.assignments.c.task_id).order_by(
            tables.assignments.c.exchange_id
        )
        with self._database.reading() as connection:
            return {row.exchange_id: row.task_id for row in connection.execute(statement)}

    def set_private_kinds(self, kinds_of: Mapping[str, tuple[str, ...]]) -> None:
        """What a later scan found; ids that are not in the log are passed over."""
        table = tables.exchanges
        statement = update(table).where(table.c.id == bindparam("exchange")).values(private_kinds=bindparam("kinds"))
        rows = [{"exchange": exchange_id, "kinds": kinds} for exchange_id, kinds in kinds_of.items()]
        if rows:
            with self._database.writing() as connection, day_figures.changing(connection, list(kinds_of)):
                connection.execute(statement, rows)

    def set_reference(self, exchange_id: str, *, reference: str, kind: str) -> None:
        self._set(exchange_id, {"reference": reference, "reference_kind": kind})

    def set_correct(self, exchange_id: str, *, correct: bool) -> None:
        """Whether the hosted answer was right."""
        self._set(exchange_id, {"reference_correct": correct})

    def _set(self, exchange_id: str, values: dict[str, Any]) -> None:
        statement = update(tables.exchanges).where(tables.exchanges.c.id == exchange_id).values(**values)
        with self._database.writing() as connection:
            changed = connection.execute(statement).rowcount
        if not changed:
            raise UsageError(
                f"There is no exchange {exchange_id!r} in the log.",
                next_step="Look up its id with `insource log export`.",
            )


def _select(where: ExchangeFilter) -> Select[Any]:
    statement = select(tables.exchanges)
    if where.task_id is not None:
        statement = statement.join(tables.assignments, tables.assignments.c.exchange_id == tables.exchanges.c.id)
        statement = statement.where(tables.assignments.c.task_id == where.task_id)
    if where.ids is not None and len(where.ids) <= _MAX_LISTED:
        statement = statement.where(tables.exchanges.c.id.in_(sorted(where.ids)))
    if where.since is not None:
        statement = statement.where(tables.exchanges.c.created_us >= to_microseconds(where.since))
    names = ("shadow_of", "share_of", "anchor_of") if where.mark is None else (where.mark,)
    if where.extra or where.mark is not None:
        marks = type_coerce(tables.exchanges.c.marks, Text)
        statement = statement.where(or_(*(marks.contains(f'"{name}":"', autoescape=True) for name in names)))
    if where.reference_kind is not None:
        statement = statement.where(tables.exchanges.c.reference_kind == where.reference_kind)
    if where.unscanned:
        statement = statement.where(tables.exchanges.c.private_kinds.is_(None))
    if where.upstream is not None:
        # The text as `documents.encode` writes it; no other writer of this column exists.
        route = type_coerce(tables.exchanges.c.route, Text)
        statement = statement.where(route.contains(f'"upstream":"{where.upstream}', autoescape=True))
    if where.newest is not None:
        ids = statement.with_only_columns(tables.exchanges.c.id)
        ids = ids.order_by(tables.exchanges.c.created_us.desc(), tables.exchanges.c.id.desc()).limit(where.newest)
        statement = select(tables.exchanges).where(tables.exchanges.c.id.in_(ids.scalar_subquery()))
    return statement


def _inserted(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of those that were new."""
    if connection.dialect.name == "sqlite":
        pages = (rows[at : at + _PAGE] for at in range(0, len(rows), _PAGE))
        return [id for page in pages for id in _insert_at_once(connection, page)]
    from sqlalchemy.dialects import postgresql  # late: most stores are SQLite files

    table = tables.exchanges
    statement = postgresql.insert(table).on_conflict_do_nothing(index_elements=["id"]).returning(table.c.id)
    return list(connection.execute(statement, rows).scalars())


def _insert_at_once(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One statement for many rows; the ids of those that were new.

    The driver gives Python's global lock away at every statement, and in a busy gateway each return waits for it: a
    statement a row kept a batch of the log from its commit for 100 ms and more (promise 5 says 50).
    """
    columns = tables.exchanges.columns
    binds = [column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) for column in columns]
    values = [
        row[column.name] if bind is None else bind(row[column.name])
        for row in rows
        for column, bind in zip(columns, binds, strict=True)
    ]
    names = ", ".join(f'"{column.name}"' for column in columns)
    marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(rows))
    statement = f"INSERT INTO exchanges ({names}) VALUES {marks} ON CONFLICT (id) DO NOTHING RETURNING id"
    return [row[0] for row in connection.exec_driver_sql(statement, tuple(values))]


def _row(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.id,
        "created_us": to_microseconds(exchange.created),
        "request": exchange.request,
        "response": exchange.response,
        "status": exchange.status,
        "latency_seconds": exchange.latency_seconds,
        "cost_usd": exchange.cost_usd,
        "reference": exchange.reference,
        "reference_kind": exchange.reference_kind,
        "reference_correct": exchange.reference_correct,
        "private_kinds": exchange.private_kinds,
        "route": exchange.route,
        "metadata": exchange.metadata,
        "endpoint": exchange.endpoint,
        "incomplete": exchange.incomplete,
        "cost_source": exchange.cost_source,
        "marks": exchange.marks if exchange.marks != NO_MARKS else None,
    }
