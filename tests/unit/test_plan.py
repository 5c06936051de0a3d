"""The plan: private tasks are measured like all others, and only the user pins one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.evidence import Verdict
from insource.core.fakes import FakeEngine, json_reply
from insource.core.hashing import file_sha256
from insource.core.ports import Call, Reply
from insource.core.values import CostSource, Exchange, ModelFile, Pin
from insource.wiring import open_services
from insource.workflows.plan import make_plan, plan_json, spend_of
from insource.workflows.services import Services

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = {"card": ["card", "chip", "plastic"], "loan": ["loan", "mortgage", "credit"]}
SYSTEM = {"role": "system", "content": "Sort the message of a customer: card or loan."}


def log(size: int, *, private_every: int = 0, **changes: Any) -> list[Exchange]:
    made: list[Exchange] = []
    for number in range(size):
        drawn = random.Random(number)
        label = drawn.choice(list(WORDS))
        text = f"{number}: about my {drawn.choice(WORDS[label])}"
        if private_every and number % private_every == 0:
            text += ", write to a@b.com"
        made.append(
            Exchange(
                id=f"x{number:05}",
                created=START + timedelta(minutes=number),
                request={"model": "gpt-4", "messages": [SYSTEM, {"role": "user", "content": text}]},
                reference=label,
                reference_kind="label",
                cost_usd=0.5,
                cost_source="recorded",
                **changes,
            )
        )
    return made


def knowing(call: Call) -> Reply:
    text = json.loads(call.body)["messages"][-1]["content"]
    label = next(label for label, words in WORDS.items() if any(word in text for word in words))
    choice = {
        "message": {"role": "assistant", "content": label},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": label, "logprob": -0.1}]},
    }
    return json_reply({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})


def unwilling(call: Call) -> Reply:
    return json_reply({"choices": [{"message": {"role": "assistant", "content": "?"}, "finish_reason": "stop"}]})


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
    services = with_engine(services, knowing, recipes=("prompt",))
    services.exchanges.append(log(700, private_kinds=("email",)))
    plan = await make_plan(services)
    (row,) = plan.rows
    assert row.verdict is Verdict.MOVE
    assert row.evaluation is not None
    shown = plan_json(plan)
    assert (shown["private_share"], shown["tasks"][0]["private_share"]) == (1.0, 1.0)
    assert shown["tasks"][0]["verdict"] == "MOVE"
    assert shown["moved_share"] == row.coverage > 0


async def test_requests_that_nobody_scanned_are_scanned_before_the_share_is_told(services: Services) -> None:
    services = with_engine(services, unwilling, recipes=("prompt",))
    services.exchanges.append(log(100, private_every=4))
    assert (await make_plan(services)).private_share == 0.25
    assert {exchange.private_kinds for exchange in services.exchanges.read()} == {(), ("email",)}


@pytest.mark.parametrize(
    ("answer", "said"),
    [(knowing, "You pinned it; prompt may answer 100% of it here."), (unwilling, "nothing certified answers it here")],
    ids=["certified", "not certified"],
)
async def test_a_task_that_the_user_pinned_says_what_answers_it_here(
    services: Services, answer: Callable[[Call], Reply], said: str
) -> None:
    services = with_engine(services, answer, recipes=("prompt",))
    services.exchanges.append(log(700, private_kinds=()))
    (free,) = (await make_plan(services)).rows
    assert free.verdict is not Verdict.PIN
    services.registry.put_pin(Pin(task_id=free.report.task.id, changed=START, reason="by hand"))
    (pinned,) = (await make_plan(services)).rows
    assert pinned.verdict is Verdict.PIN
    assert said in pinned.reason
    assert pinned.spend_after_usd == 0.0, "nothing of it goes to the provider"


def test_only_a_recorded_cost_is_shown_as_one() -> None:
    def cost(usd: float | None, source: CostSource | None) -> Exchange:
        return Exchange(id="x", created=START, request={}, cost_usd=usd, cost_source=source)

    spend = spend_of([cost(1.0, "recorded"), cost(0.5, "list price"), cost(0.25, "estimate"), cost(None, None)])
    assert (spend.total_usd, spend.estimated_usd) == (1.75, 0.75)
