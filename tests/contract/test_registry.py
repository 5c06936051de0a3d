"""What the registry keeps, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from insource.core.errors import StorageError
from insource.core.evidence import Candidate, Certificate, Evaluation, Figures, Interval, Outcome, Verdict
from insource.core.values import EngineSettings, Matcher, Move, OutputKind, OutputProfile, Pin, Stage, Task
from insource.store.database import Database
from insource.store.registry import SqlRegistry

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def registry(database: Database) -> SqlRegistry:
    return SqlRegistry(database)


def _task(id: str) -> Task:
    output = OutputProfile(kind=OutputKind.LABEL, labels=("no", "yes"), json_schema={"type": "string"})
    return Task(id=id, name=f"Task {id}", matchers=(Matcher(kind="prefix", value="Say\x00\ud800"),), output=output)


def _candidate(id: str, task_id: str, seed: int = 0) -> Candidate:
    return Candidate(
        id=id,
        task_id=task_id,
        recipe="head",
        artifact_sha256="ab",
        model_ref=None,
        model_sha256=None,
        settings=EngineSettings(seed=seed),
    )


def _figures() -> Figures:
    return Figures(
        n=10,
        clusters=9,
        quality=1.0,
        quality_interval=Interval(low=0.7, high=1.0),
        hosted_quality=0.9,
        difference=-0.1,
        difference_interval=Interval(low=-0.3, high=0.0),
        worse=0,
        better=1,
        mcnemar_p=1.0,
        minimum_detectable_difference=float("inf"),
        n_needed=None,
    )


def _evaluation(id: str, task_id: str, minutes: int = 0) -> Evaluation:
    return Evaluation(
        id=id,
        task_id=task_id,
        candidate_id="head-1",
        created=START + timedelta(minutes=minutes),
        verdict=Verdict.MOVE_PART,
        reason="because",
        margin=0.02,
        confidence=0.95,
        alpha_used=0.05,
        gate=0.5,
        coverage=0.8,
        loss_upper=0.019,
        covered=_figures(),
        overall=None,
        self_agreement=Interval(low=0.9, high=1.0),
        warnings=("small",),
    )


def _outcome(number: int) -> Outcome:
    return Outcome(
        exchange_id=f"e{number}",
        part="test",
        cluster="c",
        answer="yes",
        confidence=0.5,
        loss_local=0.0,
        loss_hosted=1.0,
    )


def _move(task_id: str, stage: Stage) -> Move:
    return Move(
        task_id=task_id,
        candidate_id="head-1",
        stage=stage,
        gate=0.25,
        certificate_id=None,
        canary_share=0.1,
        changed=START,
        reason=f"to {stage}",
    )


def test_tasks_are_replaced_whole_and_keep_their_order(registry: SqlRegistry) -> None:
    registry.put_tasks([_task("b"), _task("a")])
    assert registry.tasks() == [_task("b"), _task("a")]
    registry.put_tasks([_task("c")])
    assert registry.tasks() == [_task("c")]
    registry.put_tasks([])
    assert registry.tasks() == []


def test_candidates_are_replaced_by_id(registry: SqlRegistry) -> None:
    for candidate in (_candidate("2", "t"), _candidate("1", "t"), _candidate("3", "u"), _candidate("2", "t", seed=7)):
        registry.put_candidate(candidate)
    assert registry.candidates() == [_candidate("1", "t"), _candidate("2", "t", seed=7), _candidate("3", "u")]
    assert registry.candidates("u") == [_candidate("3", "u")]


def test_evaluations_with_their_outcomes(registry: SqlRegistry) -> None:
    outcomes = [_outcome(number) for number in range(20)]
    registry.put_evaluation(_evaluation("new", "t", 5), outcomes)
    registry.put_evaluation(_evaluation("old", "t", 1), [])
    registry.put_evaluation(_evaluation("other", "u"), outcomes[:1])
    assert registry.evaluations("t") == [_evaluation("old", "t", 1), _evaluation("new", "t", 5)]
    assert len(registry.evaluations()) == 3
    assert registry.outcomes("new") == outcomes
    registry.put_evaluation(_evaluation("new", "t", 5), outcomes[:2])
    assert registry.outcomes("new") == outcomes[:2]
    assert registry.outcomes("none") == []


def test_a_certificate_outlives_the_replacing_of_its_evaluation(registry: SqlRegistry) -> None:
    certificate = Certificate(
        id="cert-1",
        created=START,
        task_id="t",
        candidate_id="head-1",
        n_calibration=100,
        n_test=200,
        margin=0.02,
        confidence=0.95,
        coverage=1.0,
        gate=0.0,
        loss_upper=0.01,
        quality=0.98,
        hashes={"task": "sha256:00"},
    )
    registry.put_evaluation(_evaluation("e", "t"), [])
    registry.put_certificate(certificate, "e")
    registry.put_evaluation(_evaluation("e", "t"), [_outcome(1)])
    assert registry.certificate("cert-1") == (certificate, "e")
    assert registry.certificate("cert-2") is None


def test_the_last_move_of_a_task_is_in_force(registry: SqlRegistry) -> None:
    steps = [_move("b", Stage.SHADOW), _move("a", Stage.LIVE), _move("b", Stage.LIVE), _move("b", Stage.ROLLED_BACK)]
    for move in steps:
        registry.put_move(move)
    assert registry.moves() == [steps[1], steps[3]]
    assert registry.move_history("b") == [steps[0], steps[2], steps[3]]
    assert registry.move_history("c") == []


def test_a_pin_is_replaced_and_removed_and_no_move_touches_it(registry: SqlRegistry) -> None:
    first, second = (Pin(task_id=task_id, changed=START, reason="by hand") for task_id in ("b", "a"))
    for pin in (first, second, first):
        registry.put_pin(pin)
    registry.put_move(_move("a", Stage.ROLLED_BACK))
    assert registry.pins() == [second, first]
    registry.remove_pin("a")
    registry.remove_pin("never pinned")
    assert registry.pins() == [first]


def test_a_fact_is_replaced_and_what_nobody_put_is_none(registry: SqlRegistry) -> None:
    assert registry.fact("privacy") is None
    for value in ("enforce", "observe"):
        registry.put_fact("privacy", value)
    registry.put_fact("other", "ü\n")
    assert (registry.fact("privacy"), registry.fact("other")) == ("observe", "ü\n")


def test_artifacts_are_found_by_their_hash(registry: SqlRegistry) -> None:
    sha256 = registry.put_artifact(b"\x00\xff fitted")
    assert registry.put_artifact(b"\x00\xff fitted") == sha256
    assert registry.artifact(sha256) == b"\x00\xff fitted"
    with pytest.raises(StorageError, match="is not in the store"):
        registry.artifact("0" * 64)


def test_a_damaged_artifact_is_never_handed_out(registry: SqlRegistry, database: Database) -> None:
    sha256 = registry.put_artifact(b"fitted")
    with database.writing() as connection:
        connection.execute(text("UPDATE artifacts SET data = :data"), {"data": b"other"})
    with pytest.raises(StorageError, match="is damaged"):
        registry.artifact(sha256)


def test_the_revision_grows_with_what_was_decided_and_not_with_evidence(registry: SqlRegistry) -> None:
    seen = [registry.revision()]
    for change in (
        lambda: registry.put_tasks([_task("a")]),
        lambda: registry.put_candidate(_candidate("1", "a")),
        lambda: registry.put_move(_move("a", Stage.LIVE)),
        lambda: registry.put_pin(Pin(task_id="a", changed=START, reason="by hand")),
        lambda: registry.remove_pin("a"),
        lambda: registry.put_fact("privacy", "enforce"),
    ):
        change()
        seen.append(registry.revision())
    assert seen == sorted(set(seen)), "each change is a new revision"
    registry.put_artifact(b"x")
    registry.put_evaluation(_evaluation("e", "a"), [])
    assert registry.revision() == seen[-1]
