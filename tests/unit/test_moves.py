"""Moving a task, stage by stage, and back: what it takes, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.errors import NotCertified, UnknownTask, UsageError
from insource.core.fakes import FakeClock
from insource.core.values import JsonObject, OutputKind, OutputProfile, Stage, Task
from insource.store.database import open_database
from insource.store.evidence import SqlEvidence
from insource.store.registry import SqlRegistry
from insource.workflows.prove.move import move_task, pin_task, rollback_task
from insource.workflows.services import Services
from tests.fakes.evidence import START, candidate, evaluation

NO_SETTINGS: dict[str, Any] = {}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A task with three candidates: certified for a half, certified for most, and not certified."""
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    registry, evidence = SqlRegistry(database), SqlEvidence(database)
    registry.put_tasks([Task(id="t1", name="Sort", matchers=(), output=OutputProfile(kind=OutputKind.LABEL))])
    measured = {"head-1": ("cert-1", 0.5), "head-2": ("cert-2", 0.9), "prompt-1": (None, 0.0)}
    for minutes, (id, (certificate, coverage)) in enumerate(measured.items()):
        registry.put_candidate(candidate(id, recipe=id.partition("-")[0]))
        certified: JsonObject = {"gate": 0.25, "serves": ("repeats",), "end": "certified"} if certificate else {}
        created = START + timedelta(minutes=minutes)
        evidence.put_evaluation(
            evaluation(id, certificate_id=certificate, coverage=coverage, created=created, **certified)
        )
    registry.put_candidate(candidate("lora-1", recipe="lora"))
    parts: dict[str, Any] = {field.name: None for field in fields(Services)}
    parts |= {"settings": Settings(**NO_SETTINGS), "clock": FakeClock(), "registry": registry, "evidence": evidence}
    parts["open_licences"] = lambda: nullcontext(lambda ref: None)
    yield Services(**parts)
    database.close()


def test_the_certified_one_that_may_answer_most_is_moved_on_its_certificate(services: Services) -> None:
    move = move_task(services, "sort", to=None, stage=Stage.CANARY)
    assert (move.candidate_id, move.certificate_id, move.stage) == ("head-2", "cert-2", Stage.CANARY)
    assert (move.gate, move.serves) == (0.25, ("repeats",)), "no more than was certified"
    assert services.registry.moves() == [move]
    (event,) = services.registry.events()
    assert (event.kind, event.task_id) == ("moved", "t1")
    assert "cert-2" in event.text
    assert move_task(services, "sort", to="head-1", stage=Stage.LIVE).certificate_id == "cert-1"
    assert move_task(services, "sort", to="head", stage=Stage.LIVE).certificate_id == "cert-2", "the last one measured"


@pytest.mark.parametrize("to", ["prompt", "prompt-1", "lora"])
@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.LIVE])
def test_what_is_not_certified_answers_nobody_unless_told_so(services: Services, to: str, stage: Stage) -> None:
    with pytest.raises(NotCertified, match="no certificate"):
        move_task(services, "sort", to=to, stage=stage)
    assert services.registry.moves() == []
    assert services.registry.events() == []
    shadow = move_task(services, "sort", to=to, stage=Stage.SHADOW)
    assert (shadow.certificate_id, shadow.stage) == (None, Stage.SHADOW)
    by_hand = move_task(services, "sort", to=to, stage=stage, without_certificate=True)
    assert (by_hand.certificate_id, by_hand.gate, by_hand.stage) == (None, 0.0, stage)
    assert "without a certificate" in by_hand.reason
    assert "no certificate" in services.registry.events()[-1].text


def test_what_is_not_there_is_not_moved(services: Services) -> None:
    with pytest.raises(UnknownTask):
        move_task(services, "nowhere", to=None, stage=Stage.LIVE)
    with pytest.raises(UsageError, match="no candidate 'span'"):
        move_task(services, "sort", to="span", stage=Stage.SHADOW)
    with pytest.raises(UsageError, match="never moved"):
        rollback_task(services, "sort")


def test_back_again_with_the_pin_and_with_what_happened(services: Services) -> None:
    move_task(services, "sort", to=None, stage=Stage.LIVE)
    pin_task(services, "sort")
    done = rollback_task(services, "sort", reason="it got worse")
    assert done.unpinned
    assert done.move is not None
    assert (done.move.stage, done.move.candidate_id) == (Stage.ROLLED_BACK, "head-2")
    assert services.registry.pins() == []
    assert [event.kind for event in services.registry.events()] == ["moved", "pinned", "rolled back", "unpinned"]
    assert "it got worse" in services.registry.events(kind="rolled back")[0].text
    again = rollback_task(services, "sort")
    assert again.move is not None, "rolled back stays rolled back"
    assert services.registry.moves()[0].stage is Stage.ROLLED_BACK
