"""Short ways to make values of evidence in tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from insource.core.evidence import Candidate, Criterion, Evaluation, Event, Example, Outcome, Terms
from insource.core.values import JsonObject
from insource.evals.examples import input_sha256
from insource.evals.terms import whole_terms

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = Criterion(scorer="label", arguments={"labels": ["no", "yes"]})


def ask(text: str, **more: Any) -> JsonObject:
    return {"messages": [{"role": "user", "content": text}], **more}


def example(n: int, *, text: str | None = None, reference: str = "yes", **more: Any) -> Example:
    said = f"question {n}" if text is None else text
    fields: JsonObject = {
        "exchange_id": f"e{n:05}",
        "created": START + timedelta(minutes=n),
        "request": ask(said),
        "text": said,
        "input_sha256": input_sha256(ask(said)),
        "cluster": f"e{n:05}",
        "reference": reference,
        "reference_kind": "label",
    }
    return Example(**{**fields, **more})


def outcome(place: int, *, loss: float = 0.0, hosted: float = 0.0, confidence: float = 0.9, **more: Any) -> Outcome:
    fields: JsonObject = {
        "exchange_id": f"e{place:05}",
        "place": place,
        "cluster": f"e{place:05}",
        "stratum": "new",
        "day": 0,
        "answer": "yes",
        "confidence": confidence,
        "admitted": True,
        "answered": True,
        "label": "yes",
        "loss_local": loss,
        "loss_hosted": hosted,
    }
    return Outcome(**{**fields, **more})


def terms(**more: Any) -> Terms:
    fields: JsonObject = {"thresholds": (0.5, 0.0), "coverages": (0.5, 1.0), "first": 1, "new_share": 1.0}
    return Terms(**{**fields, **more})


def candidate(id: str = "head-1", *, task_id: str = "t1", **more: Any) -> Candidate:
    fields: JsonObject = {
        "id": id,
        "task_id": task_id,
        "recipe": "head",
        "artifact_sha256": "ab",
        "model_ref": None,
        "model_sha256": None,
        "settings": None,
        "criterion": LABELS,
        "terms": whole_terms(),
    }
    return Candidate(**{**fields, **more})


def evaluation(id: str = "head-1", *, task_id: str = "t1", **more: Any) -> Evaluation:
    fields: JsonObject = {
        "id": id,
        "task_id": task_id,
        "candidate_id": id,
        "created": START,
        "end": "not shown",
        "reason": "It is not shown.",
        "margin": 0.02,
        "confidence": 0.95,
        "rank": 1,
        "alpha": 0.025,
    }
    return Evaluation(**{**fields, **more})


def event(text: str = "It happened.", *, task_id: str | None = "t1") -> Event:
    return Event(created=START, task_id=task_id, kind="moved", text=text)
