"""What evaluations rest on, and what they came to, on a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, delete, func, insert, select

from insource.core.evidence import Certificate, Evaluation, Judgement, Place, TextRules
from insource.core.hashing import sha256_hex
from insource.core.values import JsonObject
from insource.store import tables
from insource.store.database import Database
from insource.store.documents import decode, encode, from_document, to_document
from insource.store.registry import replace_row
from insource.store.tables import to_microseconds

T = TypeVar("T")
_KEYS = 500
"""Of one statement: databases bound the number of values in it."""


class SqlEvidence:
    """core.stores.EvidenceStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rules(self, task_id: str) -> TextRules | None:
        statement = select(tables.text_rules.c.document).where(tables.text_rules.c.task_id == task_id)
        with self._database.reading() as connection:
            document = connection.execute(statement).scalar()
        return None if document is None else from_document(document, TextRules)

    def put_places(self, task_id: str, rules: TextRules, places: Sequence[Place]) -> None:
        rows = [
            {
                "task_id": task_id,
                "place": each.place,
                "exchange_id": each.exchange_id,
                "cluster": each.cluster,
                "part": each.part,
            }
            for each in places
        ]
        table = tables.text_rules
        with self._database.writing() as connection:
            if connection.execute(select(table.c.task_id).where(table.c.task_id == task_id)).first() is None:
                connection.execute(insert(table), {"task_id": task_id, "document": to_document(rules)})
            if rows:
                connection.execute(insert(tables.places), rows)

    def places(self, task_id: str) -> list[Place]:
        """In their order."""
        table = tables.places
        statement = select(table.c.exchange_id, table.c.place, table.c.cluster, table.c.part)
        statement = statement.where(table.c.task_id == task_id).order_by(table.c.place)
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return [Place(exchange_id=row[0], place=row[1], cluster=row[2], part=row[3]) for row in rows]

    def rank(self, task_id: str, candidate_id: str) -> int:
        table = tables.ranks
        known = select(table.c.rank).where(table.c.task_id == task_id, table.c.candidate_id == candidate_id)
        highest = select(func.coalesce(func.max(table.c.rank), 0)).where(table.c.task_id == task_id)
        with self._database.writing() as connection:
            given: int | None = connection.execute(known).scalar()
            if given is not None:
                return given
            rank = int(connection.execute(highest).scalar_one()) + 1
            connection.execute(insert(table), {"task_id": task_id, "rank": rank, "candidate_id": candidate_id})
        return rank

    def ranks(self, task_id: str) -> dict[str, int]:
        table = tables.ranks
        statement = select(table.c.candidate_id, table.c.rank).where(table.c.task_id == task_id).order_by(table.c.rank)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def completions(self, keys: Iterable[str]) -> dict[str, JsonObject]:
        found: dict[str, JsonObject] = {}
        table = tables.completions
        with self._database.reading() as connection:
            for some in _batches(keys):
                rows = connection.execute(select(table).where(table.c.key.in_(some))).all()
                found.update({row.key: decode(row.document) for row in rows})
        return found

    def put_completion(self, key: str, completion: JsonObject, *, created: datetime) -> None:
        row = {"key": key, "created_us": to_microseconds(created), "document": encode(completion)}
        with self._database.writing() as connection:
            replace_row(connection, tables.completions, row)

    def prune(self, before: datetime) -> None:
        table = tables.completions
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.created_us < to_microseconds(before)))

    def put_judgements(self, task_id: str, judgements: Iterable[Judgement]) -> None:
        table = tables.judgements
        with self._database.writing() as connection:
            for each in judgements:
                key = sha256_hex(each.answer.encode("utf-8", "surrogatepass"))
                connection.execute(
                    delete(table).where(
                        table.c.task_id == task_id,
                        table.c.exchange_id == each.exchange_id,
                        table.c.answer_sha256 == key,
                    )
                )
                row = {"task_id": task_id, "exchange_id": each.exchange_id, "answer_sha256": key}
                connection.execute(insert(table), {**row, "document": to_document(each)})

    def remove_judgements(self, task_id: str, exchange_id: str) -> None:
        table = tables.judgements
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.task_id == task_id, table.c.exchange_id == exchange_id))

    def judgements(self, task_id: str) -> list[Judgement]:
        """In the order of their exchanges' ids."""
        table = tables.judgements
        statement = select(table.c.document).where(table.c.task_id == task_id)
        return self._documents(statement.order_by(table.c.exchange_id, table.c.answer_sha256), Judgement)

    def put_evaluation(self, evaluation: Evaluation) -> None:
        row = {
            "id": evaluation.id,
            "task_id": evaluation.task_id,
            "created_us": to_microseconds(evaluation.created),
            "document": to_document(evaluation),
        }
        with self._database.writing() as connection:
            replace_row(connection, tables.evaluations, row)

    def evaluations(self, task_id: str | None = None) -> list[Evaluation]:
        """The oldest first."""
        table = tables.evaluations
        statement = select(table.c.document).order_by(table.c.created_us, table.c.id)
        if task_id is not None:
            statement = statement.where(table.c.task_id == task_id)
        return self._documents(statement, Evaluation)

    def put_certificate(self, certificate: Certificate, bundle: bytes) -> None:
        row = {
            "id": certificate.id,
            "task_id": certificate.task_id,
            "document": to_document(certificate),
            "bundle": bundle,
        }
        with self._database.writing() as connection:
            replace_row(connection, tables.certificates, row)

    def certificate(self, certificate_id: str) -> Certificate | None:
        statement = select(tables.certificates.c.document).where(tables.certificates.c.id == certificate_id)
        return next(iter(self._documents(statement, Certificate)), None)

    def certificates(self, task_id: str | None = None) -> list[Certificate]:
        """In the order of their ids."""
        statement = select(tables.certificates.c.document).order_by(tables.certificates.c.id)
        if task_id is not None:
            statement = statement.where(tables.certificates.c.task_id == task_id)
        return self._documents(statement, Certificate)

    def remove_certificates(self, ids: Iterable[str]) -> None:
        with self._database.writing() as connection:
            for some in _batches(ids):
                connection.execute(delete(tables.certificates).where(tables.certificates.c.id.in_(some)))

    def bundle(self, certificate_id: str) -> bytes | None:
        statement = select(tables.certificates.c.bundle).where(tables.certificates.c.id == certificate_id)
        with self._database.reading() as connection:
            return connection.execute(statement).scalar()

    def _documents(self, statement: Select[Any], kind: type[T]) -> list[T]:
        with self._database.reading() as connection:
            return [from_document(text, kind) for text in connection.execute(statement).scalars()]


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    held = list(dict.fromkeys(keys))
    for start in range(0, len(held), _KEYS):
        yield held[start : start + _KEYS]
