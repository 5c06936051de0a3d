"""The plan: private tasks are measured like all others, and only the user pins one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.evidence import Verdict
from insource.core.fakes import FakeEngine
from insource.core.hashing import file_sha256
from insource.core.ports import Call, Reply
from insource.core.values import ModelFile, Pin
from insource.wiring import open_services
from insource.workflows.plan import make_plan, plan_json
from insource.workflows.services import Services
from tests.fakes.evidence import START
from tests.fakes.traffic import LABELS, engine_that, exchange, exchanges, label_of, message, reply

KNOWING = engine_that(label_of)


def unwilling(call: Call) -> Reply:
    return reply("?")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    file = ModelFile(ref="fake", path=path, sha256=file_sha256(path), size_bytes=13, source="file")
    given: dict[str, Any] = {"home": tmp_path / "home"}
    with open_services(Settings(**given)) as opened:
        yield replace(opened, find_model=lambda ref: file)


def with_engine(services: Services, answer: Callable[[Call], Reply], *, recipes: tuple[str, ...]) -> Services:
    kept = {name: recipe for name, recipe in services.recipes.items() if name in recipes}
    return replace(services, recipes=kept, make_engine=lambda model, settings: FakeEngine(answer))


async def test_a_task_full_of_private_data_is_measured_like_any_other(services: Services) -> None:
    services = with_engine(services, KNOWING, recipes=("prompt",))
    services.exchanges.append(exchanges(1_000, private_kinds=("email",)))
    plan = await make_plan(services)
    (row,) = plan.rows
    assert row.verdict in (Verdict.MOVE, Verdict.MOVE_PART)
    assert row.evaluation is not None
    shown = plan_json(plan)
    assert (shown["private_share"], shown["tasks"][0]["private_share"]) == (1.0, 1.0)
    assert shown["tasks"][0]["verdict"] == row.verdict
    assert shown["tasks"][0]["criterion"]["kind"] == "label"
    assert {each["label"] for each in shown["tasks"][0]["labels"]} == set(LABELS)
    assert shown["moved_share"] == row.coverage > 0


async def test_requests_that_nobody_scanned_are_scanned_before_the_share_is_told(services: Services) -> None:
    services = with_engine(services, unwilling, recipes=("prompt",))
    asked = exchanges(100, private_kinds=None)
    for number in range(0, 100, 4):
        asked[number] = exchange(number, text=f"{message(number)[0]}, write to a@b.com", private_kinds=None)
    services.exchanges.append(asked)
    assert (await make_plan(services)).private_share == 0.25
    assert {exchange.private_kinds for exchange in services.exchanges.read()} == {(), ("email",)}


@pytest.mark.parametrize(
    ("answer", "said"),
    [(KNOWING, "You pinned it; prompt may answer "), (unwilling, "nothing certified answers it here")],
    ids=["certified", "not certified"],
)
async def test_a_task_that_the_user_pinned_says_what_answers_it_here(
    services: Services, answer: Callable[[Call], Reply], said: str
) -> None:
    services = with_engine(services, answer, recipes=("prompt",))
    services.exchanges.append(exchanges(1_000))
    (free,) = (await make_plan(services)).rows
    assert free.verdict is not Verdict.PIN
    services.registry.put_pin(Pin(task_id=free.report.task.id, changed=START, reason="by hand"))
    (pinned,) = (await make_plan(services)).rows
    assert pinned.verdict is Verdict.PIN
    assert said in pinned.reason
    assert pinned.spend_after_usd == 0.0, "nothing of it goes to the provider"
