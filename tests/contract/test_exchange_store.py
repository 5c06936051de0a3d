"""One suite for every database: SQLite in a file always, PostgreSQL when INSOURCE_TEST_POSTGRES names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from insource.core.errors import StorageError, UsageError
from insource.core.ports import ExchangeFilter
from insource.core.values import (
    Candidate,
    Certificate,
    EngineSettings,
    Evaluation,
    Exchange,
    Figures,
    Interval,
    Matcher,
    Move,
    Outcome,
    OutputKind,
    OutputProfile,
    Pin,
    Route,
    Stage,
    Task,
    Verdict,
)
from insource.store.database import Database, open_database
from insource.store.exchanges import SqlExchangeStore
from insource.store.registry import SqlRegistry

POSTGRES = os.environ.get("INSOURCE_TEST_POSTGRES", "")  # read before the isolating fixture clears it
START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'log.db'}"
    elif POSTGRES:
        url = POSTGRES
        _empty(url)
    else:
        pytest.skip("skipped: INSOURCE_TEST_POSTGRES names no PostgreSQL database to empty and use")
    opened = open_database(url)
    yield opened
    opened.close()


def _empty(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


@pytest.fixture
def store(database: Database) -> SqlExchangeStore:
    return SqlExchangeStore(database)


@pytest.fixture
def registry(database: Database) -> SqlRegistry:
    return SqlRegistry(database)


def _exchange(id: str, seconds: float = 0.0) -> Exchange:
    return Exchange(
        id=id,
        created=START + timedelta(seconds=seconds),
        request={"model": "gpt-4", "messages": [{"role": "user", "content": f"hello {id}"}]},
        response={"choices": [{"message": {"role": "assistant", "content": "hi"}}]},
    )


FULL = Exchange(
    id="fuß/ü 1",
    created=START,
    request={
        "model": "m",
        "seed": 2**70,
        "temperature": 1.0,
        "messages": [],
        "nul": "a\x00b",
        "lone": "\ud800",
        "x": None,
    },
    response=None,
    status=503,
    latency_seconds=0.25,
    cost_usd=0.0001,
    cost_estimated=True,
    reference="nul \x00 and \udfff",
    reference_kind="feedback",
    reference_correct=False,
    private_kinds=("email", "phone"),
    route=Route(upstream="engine:llamacpp", model="m", reason="moved", task_id="task-1", confidence=0.5, pinned=True),
    metadata={"user": "Zoë", "deep": {"list": [1, 1.5, "x", None, True]}},
)


# -------------------------------------------------------------------------------------------- the exchange log


def test_every_field_comes_back(store: SqlExchangeStore) -> None:
    plain = _exchange("plain", 1)
    assert store.append([FULL, plain]) == 2
    assert list(store.read()) == [FULL, plain]
    (full,) = store.read(ExchangeFilter(ids=frozenset({FULL.id})))
    assert isinstance(full.request["temperature"], float)
    assert full.created.utcoffset() == timedelta(0)


def test_scanned_and_clean_is_not_the_same_as_not_scanned(store: SqlExchangeStore) -> None:
    clean = Exchange(id="clean", created=START, request={}, private_kinds=())
    unknown = Exchange(id="unknown", created=START, request={})
    store.append([clean, unknown])
    assert [exchange.private_kinds for exchange in store.read()] == [(), None]


def test_an_id_that_is_there_is_left_as_it_is(store: SqlExchangeStore) -> None:
    assert store.append([_exchange("a")]) == 1
    assert store.append([_exchange("a", 9), _exchange("b"), _exchange("b", 9)]) == 1
    assert [(exchange.id, exchange.created) for exchange in store.read()] == [("a", START), ("b", START)]
    assert store.append([]) == 0
    assert store.count() == 2


def test_order_is_created_then_id_by_code_point_over_many_pages(store: SqlExchangeStore) -> None:
    names = ["a", "B", "é", "Z", "ä", "z", "-", "_", "10", "9"]
    exchanges = [_exchange(f"{name}{number}", number // 40) for number in range(130) for name in names]
    assert store.append(reversed(exchanges)) == len(exchanges)
    expected = sorted(exchanges, key=lambda exchange: (exchange.created, exchange.id))
    assert [exchange.id for exchange in store.read()] == [exchange.id for exchange in expected]


def test_a_transaction_writes_all_or_nothing(store: SqlExchangeStore) -> None:
    naive = Exchange(id="naive", created=START.replace(tzinfo=None), request={})
    with pytest.raises(TypeError):
        store.append([_exchange("a"), naive])
    assert store.count() == 0


def test_filters_join(store: SqlExchangeStore) -> None:
    store.append(_exchange(f"e{number:04}", number) for number in range(1300))
    store.assign({f"e{number:04}": f"task-{number % 2}" for number in range(1299)})
    even = [f"e{number:04}" for number in range(0, 1299, 2)]

    def ids(where: ExchangeFilter) -> list[str]:
        return [exchange.id for exchange in store.read(where)]

    assert ids(ExchangeFilter(task_id="task-0")) == even
    assert ids(ExchangeFilter(task_id="nothing")) == []
    assert ids(ExchangeFilter(ids=frozenset({"e0003", "e0001", "missing"}))) == ["e0001", "e0003"]
    assert ids(ExchangeFilter(ids=frozenset(even))) == even, "more ids than a statement may list"
    assert ids(ExchangeFilter(ids=frozenset())) == []
    since = START + timedelta(seconds=1298)
    assert ids(ExchangeFilter(since=since)) == ["e1298", "e1299"]
    assert ids(ExchangeFilter(since=since, newest=1)) == ["e1299"]
    assert ids(ExchangeFilter(newest=3)) == ["e1297", "e1298", "e1299"]
    assert ids(ExchangeFilter(newest=0)) == []
    assert ids(ExchangeFilter(task_id="task-0", newest=2)) == even[-2:]
    assert ids(ExchangeFilter(since=since, task_id="task-0", ids=frozenset(even))) == ["e1298"]


def test_reads_what_an_upstream_answered(store: SqlExchangeStore) -> None:
    def routed(number: int, upstream: str, reason: str = "moved") -> Exchange:
        route = Route(upstream=upstream, model="m", reason=reason)
        return Exchange(id=f"r{number}", created=START + timedelta(seconds=number), request={}, route=route)

    others = [routed(3, "provider:openai", reason='no "upstream":"engine:llamacpp" was ready'), routed(4, "engineer:x")]
    store.append([routed(1, "engine:llamacpp"), routed(2, "engine:external"), *others, _exchange("plain")])
    assert [e.id for e in store.read(ExchangeFilter(upstream="engine:"))] == ["r1", "r2"]
    assert [e.id for e in store.read(ExchangeFilter(upstream="engine:", newest=1))] == ["r2"]
    assert [e.id for e in store.read(ExchangeFilter(upstream="engine:%"))] == []


def test_assign_replaces_all_and_refuses_strangers(store: SqlExchangeStore) -> None:
    store.append([_exchange("a"), _exchange("b")])
    store.assign({"a": "one", "b": "two"})
    store.assign({"b": "three"})
    assert store.assignments() == {"b": "three"}
    with pytest.raises(UsageError, match="not in the log"):
        store.assign({"a": "one", "stranger": "one"})
    assert store.assignments() == {"b": "three"}, "nothing of a refused assignment stays"
    store.assign({})
    assert store.assignments() == {}


def test_set_reference(store: SqlExchangeStore) -> None:
    store.append([_exchange("a")])
    store.set_reference("a", reference="yes\x00", kind="label")
    (exchange,) = store.read()
    assert (exchange.reference, exchange.reference_kind) == ("yes\x00", "label")
    with pytest.raises(UsageError, match="'nobody'"):
        store.set_reference("nobody", reference="x", kind="label")


def test_reading_while_writing(store: SqlExchangeStore) -> None:
    store.append(_exchange(f"e{number:04}", number) for number in range(700))
    reading = store.read()
    first = next(reading)
    assert store.append([_exchange("z", -1)]) == 1, "an open reader blocks no writer"
    assert [first.id, *(exchange.id for exchange in reading)] == [f"e{number:04}" for number in range(700)]


def test_two_processes_share_what_is_written(database: Database, store: SqlExchangeStore) -> None:
    other = open_database(database.url)
    SqlExchangeStore(other).append([_exchange("a")])
    assert [exchange.id for exchange in store.read()] == ["a"]
    other.close()


# ------------------------------------------------------------------------------------------------ the registry


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


def test_the_revision_grows_with_tasks_candidates_moves_and_pins_alone(registry: SqlRegistry) -> None:
    seen = [registry.revision()]
    for change in (
        lambda: registry.put_tasks([_task("a")]),
        lambda: registry.put_candidate(_candidate("1", "a")),
        lambda: registry.put_move(_move("a", Stage.LIVE)),
        lambda: registry.put_pin(Pin(task_id="a", changed=START, reason="by hand")),
        lambda: registry.remove_pin("a"),
    ):
        change()
        seen.append(registry.revision())
    assert seen == sorted(set(seen)), "each change is a new revision"
    registry.put_artifact(b"x")
    registry.put_evaluation(_evaluation("e", "a"), [])
    assert registry.revision() == seen[-1]
