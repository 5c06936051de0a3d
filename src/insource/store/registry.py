"""What was found, made and decided, on a database: whole values as documents, found by their key columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from insource.core.errors import StorageError
from insource.core.evidence import Candidate, Criterion, Event
from insource.core.hashing import sha256_hex
from insource.core.values import Move, Pin, Task
from insource.store import tables
from insource.store.database import Database
from insource.store.documents import from_document, to_document
from insource.store.tables import to_microseconds

T = TypeVar("T")


class SqlRegistry:
    """core.stores.Registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_tasks(self, tasks: Iterable[Task]) -> None:
        rows = [
            {"id": task.id, "position": position, "document": to_document(task)} for position, task in enumerate(tasks)
        ]
        with self._database.writing() as connection:
            connection.execute(delete(tables.tasks))
            if rows:
                connection.execute(insert(tables.tasks), rows)
            _next_revision(connection)

    def tasks(self) -> list[Task]:
        """In the order in which they were put."""
        return self._documents(select(tables.tasks.c.document).order_by(tables.tasks.c.position), Task)

    def put_candidate(self, candidate: Candidate) -> None:
        row = {"id": candidate.id, "task_id": candidate.task_id, "document": to_document(candidate)}
        with self._database.writing() as connection:
            replace_row(connection, tables.candidates, row)
            _next_revision(connection)

    def candidates(self, task_id: str | None = None) -> list[Candidate]:
        """In the order of their ids."""
        statement = select(tables.candidates.c.document).order_by(tables.candidates.c.id)
        if task_id is not None:
            statement = statement.where(tables.candidates.c.task_id == task_id)
        return self._documents(statement, Candidate)

    def remove_candidates(self, ids: Iterable[str]) -> None:
        """With their evaluations; what is not there is passed over."""
        gone = list(ids)
        with self._database.writing() as connection:
            connection.execute(delete(tables.candidates).where(tables.candidates.c.id.in_(gone)))
            connection.execute(delete(tables.evaluations).where(tables.evaluations.c.id.in_(gone)))
            _next_revision(connection)

    def put_criterion(self, task_id: str, criterion: Criterion | None) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(tables.criteria).where(tables.criteria.c.task_id == task_id))
            if criterion is not None:
                row = {"task_id": task_id, "document": to_document(criterion)}
                connection.execute(insert(tables.criteria), row)

    def criteria(self) -> dict[str, Criterion]:
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.criteria).order_by(tables.criteria.c.task_id)).all()
        return {row.task_id: from_document(row.document, Criterion) for row in rows}

    def put_move(self, move: Move, event: Event) -> None:
        with self._database.writing() as connection:
            connection.execute(insert(tables.moves), {"task_id": move.task_id, "document": to_document(move)})
            connection.execute(insert(tables.events), _event_row(event))
            _next_revision(connection)

    def change_move(self, former: Move, move: Move, event: Event) -> bool:
        table = tables.moves
        last = select(table.c.document).where(table.c.task_id == move.task_id).order_by(table.c.sequence.desc())
        with self._database.writing() as connection:
            # The first statement takes the lock on the one row that every change of the registry writes, so that of
            # two watchers on one database the second one sees what the first one did.
            _next_revision(connection)
            document = connection.execute(last.limit(1)).scalar()
            if document is None or from_document(document, Move) != former:
                return False
            connection.execute(insert(table), {"task_id": move.task_id, "document": to_document(move)})
            connection.execute(insert(tables.events), _event_row(event))
        return True

    def moves(self) -> list[Move]:
        """In the order of their tasks' ids."""
        last = select(func.max(tables.moves.c.sequence)).group_by(tables.moves.c.task_id)
        return self._documents(
            select(tables.moves.c.document).where(tables.moves.c.sequence.in_(last)).order_by(tables.moves.c.task_id),
            Move,
        )

    def move_history(self, task_id: str) -> list[Move]:
        """Every move of the task, the oldest first; the last one is in force."""
        statement = (
            select(tables.moves.c.document).where(tables.moves.c.task_id == task_id).order_by(tables.moves.c.sequence)
        )
        return self._documents(statement, Move)

    def put_pin(self, pin: Pin) -> None:
        with self._database.writing() as connection:
            replace_row(connection, tables.pins, {"task_id": pin.task_id, "document": to_document(pin)})
            _next_revision(connection)

    def remove_pin(self, task_id: str) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(tables.pins).where(tables.pins.c.task_id == task_id))
            _next_revision(connection)

    def pins(self) -> list[Pin]:
        """In the order of their tasks' ids."""
        return self._documents(select(tables.pins.c.document).order_by(tables.pins.c.task_id), Pin)

    def put_event(self, event: Event) -> None:
        self.put_events([event])

    def put_events(self, events: Iterable[Event]) -> None:
        rows = [_event_row(event) for event in events]
        if rows:
            with self._database.writing() as connection:
                connection.execute(insert(tables.events), rows)

    def events(
        self,
        *,
        task_id: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        newest: int | None = None,
    ) -> list[Event]:
        """In the order in which they were put; with `newest` only so many of them, the last ones."""
        statement = select(tables.events.c.document).order_by(tables.events.c.sequence)
        if task_id is not None:
            statement = statement.where(tables.events.c.task_id == task_id)
        if kind is not None:
            statement = statement.where(tables.events.c.kind == kind)
        if since is not None:
            statement = statement.where(tables.events.c.created_us >= to_microseconds(since))
        if newest is not None:
            last = statement.order_by(None).order_by(tables.events.c.sequence.desc()).limit(newest)
            return self._documents(last, Event)[::-1]
        return self._documents(statement, Event)

    def events_after(self, sequence: int, *, without: Collection[str] = ()) -> list[tuple[int, Event]]:
        table = tables.events
        statement = select(table.c.sequence, table.c.document).where(table.c.sequence > sequence)
        if without:
            statement = statement.where(table.c.kind.not_in(without))
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(table.c.sequence)).all()
        return [(row[0], from_document(row[1], Event)) for row in rows]

    def prune_events(self, before: datetime) -> int:
        older = tables.events.c.created_us < to_microseconds(before)
        with self._database.writing() as connection:
            return connection.execute(delete(tables.events).where(older)).rowcount

    def put_artifact(self, data: bytes) -> str:
        sha256 = sha256_hex(data)
        with self._database.writing() as connection:
            replace_row(connection, tables.artifacts, {"sha256": sha256, "data": data})
        return sha256

    def artifact(self, sha256: str) -> bytes:
        """Raises StorageError when it is missing or its bytes are no longer those that were put."""
        statement = select(tables.artifacts.c.data).where(tables.artifacts.c.sha256 == sha256)
        with self._database.reading() as connection:
            data: bytes | None = connection.execute(statement).scalar()
        if data is None or sha256_hex(data) != sha256:
            state = "is not in the store" if data is None else "is damaged"
            raise StorageError(
                f"The artifact {sha256!r} {state}.", next_step="Fit the recipe again: insource evaluate TASK."
            )
        return data

    def fact(self, name: str) -> str | None:
        statement = select(tables.store_facts.c.value).where(tables.store_facts.c.name == name)
        with self._database.reading() as connection:
            return connection.execute(statement).scalar()

    def put_fact(self, name: str, value: str) -> None:
        with self._database.writing() as connection:
            replace_row(connection, tables.store_facts, {"name": name, "value": value})
            _next_revision(connection)

    def revision(self) -> int:
        with self._database.reading() as connection:
            return connection.execute(select(tables.registry_revision.c.value)).scalar_one()

    def _documents(self, statement: Select[Any], kind: type[T]) -> list[T]:
        with self._database.reading() as connection:
            return [from_document(text, kind) for text in connection.execute(statement).scalars()]


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "created_us": to_microseconds(event.created),
        "task_id": event.task_id,
        "kind": event.kind,
        "document": to_document(event),
    }


def replace_row(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Delete and insert: the same on every database, and it takes what hangs on the former row with it."""
    (key,) = table.primary_key.columns
    connection.execute(delete(table).where(key == row[key.name]))
    connection.execute(insert(table), row)


def _next_revision(connection: Connection) -> None:
    connection.execute(update(tables.registry_revision).values(value=tables.registry_revision.c.value + 1))
