"""What the registry keeps, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from insource.core.errors import StorageError
from insource.core.evidence import Candidate, Criterion, Event
from insource.core.values import EngineSettings, Matcher, Move, OutputKind, OutputProfile, Pin, Stage, Task
from insource.store.database import Database
from insource.store.evidence import SqlEvidence
from insource.store.registry import SqlRegistry
from tests.fakes.evidence import LABELS, candidate, evaluation, event, terms

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def registry(database: Database) -> SqlRegistry:
    return SqlRegistry(database)


def _task(id: str) -> Task:
    output = OutputProfile(kind=OutputKind.LABEL, labels=("no", "yes"), json_schema={"type": "string"})
    return Task(id=id, name=f"Task {id}", matchers=(Matcher(kind="prefix", value="Say\x00\ud800"),), output=output)


def _candidate(id: str, task_id: str, seed: int = 0) -> Candidate:
    """With everything that has to come back as it was put: infinities, tuples, nested values."""
    fixed = terms(familiarity_sha256="cd", floor=float("-inf"))
    return candidate(id, task_id=task_id, settings=EngineSettings(seed=seed), terms=fixed, stated={"by": "me \ud800"})


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
    for made in (_candidate("2", "t"), _candidate("1", "t"), _candidate("3", "u"), _candidate("2", "t", seed=7)):
        registry.put_candidate(made)
    assert registry.candidates() == [_candidate("1", "t"), _candidate("2", "t", seed=7), _candidate("3", "u")]
    assert registry.candidates("u") == [_candidate("3", "u")]


def test_a_candidate_that_goes_takes_its_evaluation_along(registry: SqlRegistry, database: Database) -> None:
    evidence = SqlEvidence(database)
    for id in ("1", "2"):
        registry.put_candidate(_candidate(id, "t"))
        evidence.put_evaluation(evaluation(id, task_id="t"))
    registry.remove_candidates(["1", "never there"])
    assert [each.id for each in registry.candidates()] == ["2"]
    assert [each.id for each in evidence.evaluations()] == ["2"]


def test_a_criterion_is_replaced_and_forgotten(registry: SqlRegistry) -> None:
    checker = Criterion(scorer="checker", arguments={"command": ["a", "b"], "seconds": 1.5}, chosen_by="user")
    registry.put_criterion("b", LABELS)
    registry.put_criterion("a", LABELS)
    registry.put_criterion("b", checker)
    assert registry.criteria() == {"a": LABELS, "b": checker}
    registry.put_criterion("b", None)
    registry.put_criterion("never chosen", None)
    assert registry.criteria() == {"a": LABELS}


def test_the_last_move_of_a_task_is_in_force(registry: SqlRegistry) -> None:
    steps = [_move("b", Stage.SHADOW), _move("a", Stage.LIVE), _move("b", Stage.LIVE), _move("b", Stage.ROLLED_BACK)]
    for move in steps:
        registry.put_move(move, event(move.reason))
    assert registry.moves() == [steps[1], steps[3]]
    assert registry.move_history("b") == [steps[0], steps[2], steps[3]]
    assert registry.move_history("c") == []
    assert [each.text for each in registry.events(kind="moved")] == [move.reason for move in steps]


def test_events_are_found_by_task_kind_and_time_and_pruned_by_time(registry: SqlRegistry) -> None:
    times = {"old": START, "new": START + timedelta(microseconds=1)}
    kept = [
        Event(created=created, task_id=task_id, kind=kind, text=f"{age} {kind}", figures={"n": 1.0})
        for age, created in times.items()
        for task_id, kind in (("t", "moved"), ("t", "pinned"), (None, "privacy"))
    ]
    registry.put_event(kept[0])
    registry.put_events(kept[1:])
    registry.put_events([])
    assert registry.events() == kept
    assert registry.events(task_id="t", kind="pinned") == [kept[1], kept[4]]
    assert registry.events(since=times["new"]) == kept[3:]
    assert registry.prune_events(times["new"]) == 3
    assert registry.events() == kept[3:]


def test_a_pin_is_replaced_and_removed_and_no_move_touches_it(registry: SqlRegistry) -> None:
    first, second = (Pin(task_id=task_id, changed=START, reason="by hand") for task_id in ("b", "a"))
    for pin in (first, second, first):
        registry.put_pin(pin)
    registry.put_move(_move("a", Stage.ROLLED_BACK), event())
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


def test_the_revision_grows_with_what_was_decided_and_not_with_evidence(
    registry: SqlRegistry, database: Database
) -> None:
    seen = [registry.revision()]
    for change in (
        lambda: registry.put_tasks([_task("a")]),
        lambda: registry.put_candidate(_candidate("1", "a")),
        lambda: registry.put_move(_move("a", Stage.LIVE), event()),
        lambda: registry.put_pin(Pin(task_id="a", changed=START, reason="by hand")),
        lambda: registry.remove_pin("a"),
        lambda: registry.put_fact("privacy", "enforce"),
    ):
        change()
        seen.append(registry.revision())
    assert seen == sorted(set(seen)), "each change is a new revision"
    registry.put_artifact(b"x")
    registry.put_event(event())
    SqlEvidence(database).put_evaluation(evaluation("e", task_id="a"))
    assert registry.revision() == seen[-1]


def test_a_move_is_changed_only_while_the_former_one_is_in_force(registry: SqlRegistry) -> None:
    live, back = _move("t", Stage.LIVE), _move("t", Stage.ROLLED_BACK)
    registry.put_move(live, event("moved"))
    before = registry.revision()
    assert registry.change_move(live, back, event("rolled back by the first watcher"))
    assert registry.revision() > before
    assert not registry.change_move(live, back, event("by the second"))
    assert registry.moves() == [back]
    assert [each.text for each in registry.events()] == ["moved", "rolled back by the first watcher"]
    assert not registry.change_move(_move("u", Stage.LIVE), _move("u", Stage.CANARY), event())


def test_events_are_read_on_from_where_somebody_was(registry: SqlRegistry) -> None:
    for text_ in ("a", "b", "c"):
        registry.put_event(event(text_))
    numbered = registry.events_after(0)
    assert [each.text for _, each in numbered] == ["a", "b", "c"]
    assert [number for number, _ in numbered] == sorted({number for number, _ in numbered})
    assert [each.text for _, each in registry.events_after(numbered[1][0])] == ["c"]
    assert registry.events_after(0, without=("moved",)) == []
