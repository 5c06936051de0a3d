"""A moved task's evidence: its share narrows the bound week by week; what a move sent away for what it is does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from insource.core.fakes import FakeClock
from insource.core.values import Exchange, Marks, Route, Stage
from insource.traffic.discovery import DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers, routable
from insource.workflows.asking import Local
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.move import move_task
from insource.workflows.prove.task_log import read_task_log
from insource.workflows.services import Services
from insource.workflows.watch.look import watch_of
from insource.workflows.watch.renew import renew
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.evidence import START
from tests.fakes.traffic import exchange, exchanges, label_of, message

DAY = timedelta(days=1)


def live(services: Services, clock: FakeClock, numbers: range) -> list[Exchange]:
    """Requests that were answered here, each with its share; nobody labels them."""
    move = services.registry.moves()[0]
    here = Route(
        upstream="engine:fake", model="fake", reason="stage live", task_id=move.task_id, candidate_id=move.candidate_id
    )
    hosted = replace(here, upstream="provider:openai", model="gpt-4", reason="share of a move")
    rows: list[Exchange] = []
    for number in numbers:
        plain = exchange(number, created=clock.now(), reference=None, reference_kind=None)
        rows.append(replace(plain, route=here))
        rows.append(replace(plain, id=f"{plain.id}-share", route=hosted, marks=Marks(share_of=plain.id)))
    return rows


@pytest.mark.slow
async def test_the_bound_narrows_week_by_week_and_a_biased_log_changes_nothing(tmp_path: Path) -> None:
    clock = FakeClock(START + DAY)
    with evaluating(tmp_path) as (opened, engine):
        services = replace(opened, clock=clock)
        first = await evaluate(services, exchanges(1_000))
        assert first.best is not None
        task = only_task(services)
        move_task(services, task.id, to=None, stage=Stage.LIVE)
        await engine.start()
        local = Local(model="fake", engine=engine)
        bounds: list[float] = []
        samples: list[int] = []
        for week in range(3):
            clock.advance(7 * 86_400)
            if week:
                services.exchanges.append(live(services, clock, range(2_000 + 150 * week, 2_150 + 150 * week)))
            watch = watch_of(services, services.registry.moves()[0])
            assert watch is not None
            await renew(watch, local)
            (evaluation,) = services.evidence.evaluations(task.id)
            assert evaluation.loss_upper is not None
            bounds.append(evaluation.loss_upper)
            samples.append(evaluation.n)
        assert bounds[0] > bounds[1] > bounds[2]
        assert samples[0] < samples[1] < samples[2]
        (move,) = services.registry.moves()
        (evaluation,) = services.evidence.evaluations(task.id)
        assert move.certificate_id == evaluation.certificate_id
        assert move.stage is Stage.LIVE
        assert len(services.registry.events(kind="renewed")) == 3

        many = [replace(each, id=f"{each.id}-{n}") for n in range(40) for each in biased(task.id)]
        services.exchanges.append(many)
        services.exchanges.assign_more({each.id: task.id for each in many})
        watch = watch_of(services, move)
        assert watch is not None
        await renew(watch, local)
        (after,) = services.evidence.evaluations(task.id)
        assert (after.loss_upper, after.n) == (bounds[-1], samples[-1])


def biased(task_id: str) -> list[Exchange]:
    """What a move sent to the provider for what it is, and what says nothing of the hosted model."""
    here = Route(upstream="engine:fake", model="fake", reason="stage live", task_id=task_id)
    hosted = replace(here, upstream="provider:openai")
    wrong = {"label": "card", "text": "a loan"}
    return [
        exchange(3_000, route=hosted, marks=Marks(escalated=True), **wrong),
        exchange(3_001, route=hosted, marks=Marks(selected=True), **wrong),
        exchange(3_002, route=hosted, marks=Marks(fallback="EngineFailed"), **wrong),
        exchange(3_003, route=hosted, marks=Marks(anchor_of="x00001"), **wrong),
        exchange(3_004, route=here, text="a loan", reference=None, reference_kind=None),
        exchange(3_005, route=here, marks=Marks(shadow_of="x00001"), **wrong),
    ]


def test_feedback_on_an_answer_from_here_joins_its_share(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, _):
        here = Route(upstream="engine:fake", model="fake", reason="stage live")
        rows = [*exchanges(70)]
        wrong = exchange(500, label="loan", route=here, reference="card", reference_kind="feedback")
        share = exchange(
            501, id="share", label="card", request=wrong.request, reference=None, reference_kind=None,
            marks=Marks(share_of=wrong.id), route=replace(here, upstream="provider:openai"),
        )  # fmt: skip
        services.exchanges.append([*rows, wrong, share])
        find_tasks(services)
        log = read_task_log(services, only_task(services))
        assert wrong.id not in log.examples
        assert (log.examples["share"].reference, log.examples["share"].reference_kind) == ("card", "feedback")
        assert log.examples["share"].hosted_text == "card"


# ------------------------------------------------------------------------------------------------ agents


def test_an_agents_steps_are_steps_of_its_task() -> None:
    """Each step repeats what was called and found before it; the task stays, and the gateway recognises it."""
    tool = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}
    rows: list[DiscoveryInput] = []
    steps: dict[str, int] = {}
    for number in range(30):
        said, _ = message(number)
        talk = [{"role": "system", "content": "You handle orders. Look up the order before you answer."}]
        talk.append({"role": "user", "content": said})
        for step in range(3):
            request = {"model": "gpt-4", "messages": list(talk), "tools": [tool]}
            id = f"agent-{number}-{step}"
            rows.append(
                DiscoveryInput(id=id, request=request, tool_call=step < 2, answer=None if step < 2 else "Done.")
            )
            steps[id] = step
            call = {"id": f"c{step}", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}
            talk += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": f"c{step}", "content": f"order {label_of(said)} {number}"},
            ]
    found = discover(rows)
    assert len(found.tasks) == 1
    assert routable(found.tasks[0])
    match = compile_matchers(found.tasks)
    assert {match(row.request, None) for row in rows} == {found.tasks[0].id}
    assert set(steps.values()) == {0, 1, 2}
