"""Evidence bundles: all that a certificate rests on as one content-addressed document. Pure.

A bundle holds what is needed to derive its verdict again, whatever became of the log since: terms, stakes, and of every
outcome its place, cluster, confidence and losses. Labels stand in it as they are; longer answers as their hashes, so
that what the log's retention takes is not kept here.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

import insource
from insource.core.errors import BadInput
from insource.core.evidence import Candidate, Evaluation, Example, Outcome, TextRules
from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import JsonObject, Task
from insource.evals.documents import plain
from insource.evals.examples import Scoring
from insource.evals.ledger import Look, Stakes

FORMAT = "insource evidence 1"
_COLUMNS = (
    "exchange", "place", "cluster", "stratum", "day", "input", "reference", "kind", "hosted", "hosted_correct",
    "judged", "answer", "confidence", "admitted", "answered", "label", "loss_local", "loss_hosted", "requests",
)  # fmt: skip
_LABEL_CHARACTERS = 80
_HASHED = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One outcome with what it was scored against, in comparable forms: a label, or the hash of a longer text."""

    outcome: Outcome
    input_sha256: str
    reference: str
    reference_kind: str
    hosted: str | None
    hosted_correct: bool | None
    judged: Mapping[str, bool]
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a certificate rests on."""

    task: Task
    candidate: Candidate
    evaluation: Evaluation
    stakes: Stakes
    rules: TextRules
    records: Sequence[Record]


def short_form(text: str, scoring: Scoring) -> str:
    """A label as it is; a longer or an unknown text as its hash."""
    canonical = scoring.canonical(text)
    labels = scoring.criterion.arguments.get("labels") or ()
    if canonical in labels and len(canonical) <= _LABEL_CHARACTERS:
        return canonical
    return _HASHED + sha256_hex(canonical.encode("utf-8", "surrogatepass"))


def is_hash(short: str) -> bool:
    """Of a short form: whether the text itself is not in it."""
    return short.startswith(_HASHED)


def outcomes_in(outcomes: Sequence[Outcome], examples: Mapping[str, Example], scoring: Scoring) -> list[Record]:
    return [_record(outcome, examples[outcome.exchange_id], scoring) for outcome in outcomes]


def _record(outcome: Outcome, example: Example, scoring: Scoring) -> Record:
    return Record(
        outcome=outcome,
        input_sha256=example.input_sha256,
        reference=short_form(example.reference, scoring),
        reference_kind=example.reference_kind,
        hosted=None if example.hosted_text is None else short_form(example.hosted_text, scoring),
        hosted_correct=example.hosted_correct,
        judged={short_form(answer, scoring): right for answer, right in example.judged.items()},
        answer=short_form(outcome.answer, scoring),
    )


def bundle_of(evidence: Evidence) -> bytes:
    """Compressed canonical JSON."""
    return zlib.compress(canonical_json(_document(evidence)), 6)


def certificate_id(bundle: bytes) -> str:
    """Of the document, however it is compressed."""
    return "cert-" + sha256_hex(zlib.decompress(bundle))[:16]


def same_evidence(one: bytes, other: bytes) -> bool:
    """Whether two bundles differ in nothing but when they were made."""
    first, second = (json.loads(zlib.decompress(each)) for each in (one, other))
    return {**first, "created": None} == {**second, "created": None}


def _document(evidence: Evidence) -> JsonObject:
    evaluation = evidence.evaluation
    return {
        "format": FORMAT,
        "insource": insource.__version__,
        "created": plain(evaluation.created),
        "task": plain({"id": evidence.task.id, "name": evidence.task.name, "output": evidence.task.output}),
        "candidate": plain(evidence.candidate),
        "rules": asdict(evidence.rules),
        "budget": {
            "confidence": evaluation.confidence,
            "rank": evaluation.rank,
            "alpha": evidence.stakes.alpha,
            "margin": evidence.stakes.margin,
            "repeats_share": evidence.stakes.repeats_share,
            **({"errors": list(evidence.stakes.errors)} if evidence.stakes.errors else {}),
        },
        "result": {
            "gate": evaluation.gate,
            "serves": list(evaluation.serves),
            "coverage": evaluation.coverage,
            "whole": evaluation.whole,
            "loss_upper": evaluation.loss_upper,
        },
        "columns": list(_COLUMNS),
        "records": [_row(record) for record in evidence.records],
    }


def _row(record: Record) -> list[Any]:
    o = record.outcome
    return [
        o.exchange_id, o.place, o.cluster, o.stratum, o.day, record.input_sha256, record.reference,
        record.reference_kind, record.hosted, record.hosted_correct, dict(record.judged), record.answer, o.confidence,
        o.admitted, o.answered, o.label, o.loss_local, o.loss_hosted, o.requests,
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle, read."""

    task_id: str
    candidate: Candidate
    confidence: float
    rank: int
    stakes: Stakes
    result: JsonObject
    records: tuple[Record, ...]

    def differs(self, found: Look) -> list[str]:
        """Where the verdict that its records give is another than the one that it states."""
        derived = {
            "gate": found.gate,
            "serves": list(found.serves),
            "coverage": found.coverage,
            "whole": found.whole,
            "loss_upper": found.loss_upper,
        }
        return [
            f"{name}: stated {self.result.get(name)}, derived {value}"
            for name, value in derived.items()
            if not _same(self.result.get(name), value)
        ]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    return bool(a == b)


def read_bundle(bundle: bytes) -> Bundle:
    """Raises BadInput for bytes that are none."""
    try:
        document = json.loads(zlib.decompress(bundle))
        if document["format"] != FORMAT or document["columns"] != list(_COLUMNS):
            raise ValueError(f"the format is {document['format']!r}")
        budget = document["budget"]
        return Bundle(
            task_id=document["task"]["id"],
            candidate=msgspec.convert(document["candidate"], Candidate),
            confidence=budget["confidence"],
            rank=budget["rank"],
            stakes=Stakes(
                margin=budget["margin"],
                alpha=budget["alpha"],
                repeats_share=budget["repeats_share"],
                errors=tuple(budget.get("errors") or ()),
            ),
            result=document["result"],
            records=tuple(_read(dict(zip(_COLUMNS, row, strict=True))) for row in document["records"]),
        )
    except (ValueError, KeyError, TypeError, zlib.error, msgspec.ValidationError) as error:
        raise BadInput(
            f"This evidence bundle can't be read: {error}.", next_step="Measure the task again: insource evaluate TASK."
        ) from error


def _read(row: JsonObject) -> Record:
    outcome = Outcome(
        exchange_id=row["exchange"],
        place=row["place"],
        cluster=row["cluster"],
        stratum=row["stratum"],
        day=row["day"],
        answer=row["answer"],
        confidence=row["confidence"],
        admitted=row["admitted"],
        answered=row["answered"],
        label=row["label"],
        loss_local=row["loss_local"],
        loss_hosted=row["loss_hosted"],
        requests=row["requests"],
    )
    return Record(
        outcome=outcome,
        input_sha256=row["input"],
        reference=row["reference"],
        reference_kind=row["kind"],
        hosted=row["hosted"],
        hosted_correct=row["hosted_correct"],
        judged=row["judged"],
        answer=row["answer"],
    )
