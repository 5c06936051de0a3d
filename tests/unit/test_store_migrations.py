"""Stores that an older insource began: what becomes of their exchanges and of the way they treat private requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from insource.config import Settings
from insource.core.values import CHAT_ENDPOINT, Exchange, Marks, Route
from insource.store import migrations
from insource.store.database import open_database
from insource.store.evidence import SqlEvidence
from insource.store.exchanges import SqlExchangeStore
from insource.store.registry import SqlRegistry
from insource.wiring import open_services
from insource.workflows.services import policy_in_force
from tests.fakes.old_store import old_store

ROUTE: dict[str, Any] = {"upstream": "provider:openai", "model": "gpt-4o", "reason": "no move"}


def _read(url: str) -> dict[str, Exchange]:
    database = open_database(url)
    try:
        return {exchange.id: exchange for exchange in SqlExchangeStore(database).read()}
    finally:
        database.close()


def _fact(url: str) -> str | None:
    database = open_database(url)
    try:
        return SqlRegistry(database).fact("privacy")
    finally:
        database.close()


def test_costs_say_where_they_come_from(tmp_path: Path) -> None:
    found = _read(
        old_store(
            tmp_path / "log.db",
            {"id": "stated", "cost_usd": 0.5},
            {"id": "estimated", "cost_usd": 0.25, "cost_estimated": True},
            {"id": "priced", "cost_usd": 0.125, "route": ROUTE},
            {"id": "priced by an estimate", "cost_usd": 0.0625, "cost_estimated": True, "route": ROUTE},
            {"id": "unknown"},
            {"id": "unknown too", "route": ROUTE},
        )
    )
    assert {id: (exchange.cost_usd, exchange.cost_source) for id, exchange in found.items()} == {
        "stated": (0.5, "recorded"),
        "estimated": (0.25, "estimate"),
        "priced": (0.125, "list price"),
        "priced by an estimate": (0.0625, "estimate"),
        "unknown": (None, None),
        "unknown too": (None, None),
    }
    assert {exchange.endpoint for exchange in found.values()} == {CHAT_ENDPOINT}


def test_marks_leave_the_metadata_and_all_else_stays(tmp_path: Path) -> None:
    foreign = {"incomplete": "our own word", "escalated": True, "shadow_of": [1]}
    found = _read(
        old_store(
            tmp_path / "log.db",
            {"id": "plain", "route": ROUTE, "metadata": {"task": "triage"}},
            {"id": "cut", "route": ROUTE, "metadata": {"task": "ü \ud800", "incomplete": "the upstream was cut"}},
            {"id": "escalated", "route": ROUTE, "metadata": {"escalated": True, "fallback": "EngineFailed"}},
            {"id": "shadow", "route": ROUTE, "metadata": {"shadow_of": "plain", "n": 1.0, "deep": {"escalated": 1}}},
            {"id": "imported", "metadata": foreign},
        )
    )
    assert {id: (exchange.incomplete, exchange.marks, exchange.metadata) for id, exchange in found.items()} == {
        "plain": (None, Marks(), {"task": "triage"}),
        "cut": ("the upstream was cut", Marks(), {"task": "ü \ud800"}),
        "escalated": (None, Marks(escalated=True, fallback="EngineFailed"), {}),
        "shadow": (None, Marks(shadow_of="plain"), {"n": 1.0, "deep": {"escalated": 1}}),
        "imported": (None, Marks(), foreign),
    }
    assert found["cut"].route == Route(**ROUTE)


@pytest.mark.parametrize("metadata", [{"escalated": "yes"}, {"shadow_of": 7}, {"fallback": {}}, {"incomplete": True}])
def test_a_strangers_word_of_the_same_name_is_no_mark(tmp_path: Path, metadata: dict[str, Any]) -> None:
    """A line of another log may state a route, and its metadata may hold anything."""
    url = old_store(tmp_path / "log.db", {"id": "odd", "route": ROUTE, "metadata": metadata})
    (odd,) = _read(url).values()
    assert (odd.incomplete, odd.marks, odd.metadata) == (None, Marks(), metadata)


def test_a_store_with_exchanges_keeps_private_requests_here(tmp_path: Path) -> None:
    assert _fact(old_store(tmp_path / "log.db", {"id": "one"})) == "enforce"


def test_an_empty_old_store_and_a_new_one_observe(tmp_path: Path) -> None:
    assert _fact(old_store(tmp_path / "empty.db")) is None
    assert _fact(f"sqlite:///{tmp_path / 'new.db'}") is None


@pytest.mark.parametrize("privacy", ["", "observe", "enforce"])
@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
def test_a_setting_outranks_how_the_store_was_begun(tmp_path: Path, privacy: str, old: bool) -> None:
    if old:
        old_store(tmp_path / "insource.db", {"id": "one"})
    given: dict[str, Any] = {"home": tmp_path, "privacy": privacy}
    with open_services(Settings(**given)) as services:
        acts = policy_in_force(services.settings, services.registry).policy.acts
        assert ("enforce" if acts else "observe") == (privacy or ("enforce" if old else "observe"))


def test_a_store_that_was_migrated_is_left_alone_the_next_time(tmp_path: Path) -> None:
    url = old_store(tmp_path / "log.db", {"id": "one"})
    database = open_database(url)
    SqlRegistry(database).put_fact("privacy", "observe")
    database.close()
    assert _fact(url) == "observe"


def test_the_sums_of_an_older_log_are_filled_in(tmp_path: Path) -> None:
    day = 86_400_000_000
    here = {**ROUTE, "upstream": "engine:head"}
    rows = [
        {"id": "a", "created_us": 3 * day, "route": ROUTE, "cost_usd": 0.5},
        {"id": "b", "created_us": 4 * day - 1, "route": ROUTE, "cost_usd": 0.25},
        {"id": "c", "created_us": 4 * day, "route": here, "metadata": {"escalated": True}},
        {"id": "d", "created_us": 4 * day},
        {"id": "e", "created_us": 4 * day, "route": here, "metadata": {"shadow_of": "a"}},
    ]
    database = open_database(old_store(tmp_path / "log.db", *rows))
    store = SqlExchangeStore(database)
    found = [(d.day.day, d.upstream, d.exchanges, d.cost_usd, d.escalated) for d in store.figures.days()]
    assert found == [(4, "provider:openai", 2, 0.75, 0), (5, "", 1, 0.0, 0), (5, "engine:head", 1, 0.0, 1)]
    store.assign({"a": "t1"})
    assert {id: use.exchanges for id, use in store.figures.tasks().items()} == {"t1": 1}
    database.close()


# ------------------------------------------------------------------------------------ evidence of an older kind


def _move(stage: str) -> str:
    move = {"task_id": "t", "candidate_id": "head-1", "stage": stage, "gate": 0.5, "certificate_id": "cert-1"}
    return json.dumps({**move, "canary_share": 0.1, "changed": "2026-01-01T00:00:00+00:00", "reason": "certified"})


def _with_evidence(file: Path, **stages: str) -> str:
    """A store of schema 0002 with a candidate, an evaluation with outcomes, a certificate, and these tasks' moves."""
    url = old_store(file, {"id": "one"})
    engine = create_engine(url)
    with engine.begin() as connection:
        migrations.upgrade(connection, "0002")
        run = connection.exec_driver_sql
        run("INSERT INTO candidates VALUES ('head-1', 'a', '{}')")
        run("INSERT INTO evaluations (id, task_id, created_us, document) VALUES ('e', 'a', 0, '{}')")
        run("INSERT INTO certificates (id, evaluation_id, document) VALUES ('cert-1', 'e', '{}')")
        for task_id, stage in stages.items():
            profile = {"kind": "label", "labels": ["no", "yes"], "json_schema": None}
            task = {"id": task_id, "name": f"Task {task_id}", "matchers": [], "output": profile}
            run("INSERT INTO tasks (id, position, document) VALUES (?, 0, ?)", (task_id, json.dumps(task)))
            for each in ("shadow", stage):
                document = json.dumps({**json.loads(_move(each)), "task_id": task_id})
                run("INSERT INTO moves (task_id, document) VALUES (?, ?)", (task_id, document))
    engine.dispose()
    return url


def test_older_evidence_is_void_and_what_stood_on_it_is_rolled_back_aloud(tmp_path: Path) -> None:
    stages = {"a": "live", "b": "canary", "c": "shadow", "d": "rolled back", "e": "observe"}
    database = open_database(_with_evidence(tmp_path / "log.db", **stages))
    registry, evidence = SqlRegistry(database), SqlEvidence(database)
    assert {move.task_id: move.stage.value for move in registry.moves()} == {
        **dict.fromkeys("abcd", "rolled back"),
        "e": "observe",
    }
    assert [move.reason for move in registry.move_history("a")] == ["certified", "certified", _OUTDATED]
    events = registry.events(kind="rolled back")
    assert [event.task_id for event in events] == ["a", "b", "c"]
    for event in events:
        assert f"Task {event.task_id}" in event.text
        assert event.text.endswith(f"`insource evaluate {event.task_id}`.")
    assert events[0].figures == {"stage": "live", "candidate": "head-1"}
    assert (registry.candidates(), evidence.evaluations(), evidence.certificates()) == ([], [], [])
    assert [task.id for task in registry.tasks()] == list("abcde"), "tasks and exchanges stay"
    assert SqlExchangeStore(database).count() == 1
    database.close()
    again = open_database(f"sqlite:///{tmp_path / 'log.db'}")
    assert len(SqlRegistry(again).events()) == 3, "said once"
    again.close()


_OUTDATED = "rolled back, evidence outdated"
