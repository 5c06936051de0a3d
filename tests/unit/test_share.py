"""The permanent share of a move: who is asked a second time, what it costs, and what never leaves this machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import UpstreamError
from insource.core.fakes import FakeClock, FakeUpstream
from insource.core.policy import KEEP_HERE, Policy, Rule
from insource.core.values import Exchange, Marks, Route, Stage
from insource.routing.share import UNPRICED_USD, DaySpend, SharePlan, is_drawn
from insource.workflows.serve.share import Shares
from tests.fakes.serving import Bench, FixedRecipe, candidate, fails, finds, moved, ready_engine, request, says
from tests.fakes.traffic import exchange

ALL = SharePlan(share=1.0, usd_per_day=1.0)


async def bench_with(plan: SharePlan = ALL, **more: object) -> Bench:
    engine = await ready_engine(says("local"))
    return Bench(plan=plan, locals={"cand": candidate(engine, FixedRecipe())}, **{"table": moved(), **more})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_provider_is_asked_after_the_client_has_its_answer(stream: bool) -> None:
    bench = await bench_with()
    answer = await bench.ask(request(stream=stream))
    assert bench.provider.calls == []
    data = await answer.reply.read()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
    assert b"local" in data
    await bench.settle()
    here, share = bench.log.exchanges
    assert (share.marks, here.marks) == (Marks(share_of=here.id), Marks())
    assert share.id == "ex-1-share"
    assert share.route == Route(
        upstream="provider:fake", model="gpt-4o", reason="share of a move", task_id="task-a", candidate_id="cand"
    )
    assert share.is_whole
    assert share.cost_usd == pytest.approx(0.007)
    assert share.request == here.request


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.OBSERVE, Stage.ROLLED_BACK])
async def test_only_what_was_answered_here_has_a_share(stage: Stage) -> None:
    bench = await bench_with(table=moved(stage))
    await bench.read(request())
    await bench.settle()
    assert len(bench.provider.calls) == 1
    assert not any(exchange.marks.share_of for exchange in bench.log.exchanges)


@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "private"])
async def test_what_must_stay_here_has_no_share(pinned: bool) -> None:
    bench = await bench_with(table=moved(pinned=pinned), scan=None if pinned else finds("secret"), policy=KEEP_HERE)
    _, data = await bench.read(request("my secret"))
    assert b"local" in data
    await bench.settle()
    assert bench.provider.calls == []


async def test_under_mask_the_share_is_masked_too() -> None:
    mask = Policy(kinds={"word": Rule(action="mask")})
    bench = await bench_with(scan=finds("secret"), policy=mask)
    await bench.read(request("my secret"))
    await bench.settle()
    assert len(bench.provider.calls) == 1
    assert b"secret" not in bench.provider.calls[0].body


async def test_a_provider_that_fails_is_recorded_and_costs_nothing() -> None:
    error = UpstreamError("It is gone.", next_step="Wait.")
    bench = await bench_with(provider=FakeUpstream(fails(error)))
    await bench.read(request())
    await bench.settle()
    _, share = bench.log.exchanges
    assert (share.status, share.is_whole, share.marks.share_of) == (502, False, "ex-1")
    assert bench.shares.today.spent_usd == 0


async def test_the_cap_is_exceeded_by_no_more_than_what_is_in_flight() -> None:
    bench = await bench_with(SharePlan(share=1.0, usd_per_day=0.02))
    for number in range(20):
        await bench.read(request(), exchange_id=f"ex-{number}")
        await bench.settle()
    shares = [e for e in bench.log.exchanges if e.marks.share_of]
    assert len(shares) == 3, "0.7 cents each: the third begins below 2 cents"
    bench.clock.advance(86_400)
    await bench.read(request(), exchange_id="next day")
    await bench.settle()
    assert bench.log.exchanges[-1].marks.share_of == "next day"


# --------------------------------------------------------------------------------------------------- the draw


def test_about_the_share_is_drawn_and_every_task_at_least_once_a_day() -> None:
    today = DaySpend(day=1)
    plan = SharePlan(share=0.02, usd_per_day=1.0)
    assert is_drawn("rare", "any", plan=plan, today=today)
    today = today.with_task("often")
    drawn = sum(is_drawn("often", f"x{n}", plan=plan, today=today) for n in range(20_000))
    assert 320 <= drawn <= 480


@given(st.floats(0, 0.1), st.lists(st.none() | st.floats(0, 0.5), max_size=30))
def test_nothing_is_drawn_above_the_cap(cap: float, costs: list[float | None]) -> None:
    today, spent = DaySpend(day=1), 0.0
    plan = SharePlan(share=1.0, usd_per_day=cap)
    for cost in costs:
        if not is_drawn("t", "x", plan=plan, today=today):
            assert spent >= cap
            return
        today = today.with_cost(cost, answered=True)
        spent += UNPRICED_USD if cost is None else cost
        assert today.spent_usd == pytest.approx(spent)


def test_off_means_off() -> None:
    assert not is_drawn("t", "x", plan=SharePlan(share=0.0, usd_per_day=1.0), today=DaySpend(day=1))


# ------------------------------------------------------------------------------------- across starts and gateways


def _paid(id: str, clock: FakeClock, cost: float = 0.6) -> Exchange:
    route = Route(upstream="provider:x", model="m", reason="", task_id="task-a")
    return exchange(1, id=id, created=clock.now(), cost_usd=cost, route=route, marks=Marks(share_of="a"))


def test_what_was_spent_before_a_start_counts_once() -> None:
    clock = FakeClock()
    shares = Shares(SharePlan(share=1.0, usd_per_day=1.0), clock)
    yesterday = replace(_paid("old", clock, 5.0), created=clock.now() - timedelta(days=1))
    shares.recall([_paid("a", clock), yesterday, exchange(3)])
    shares.recall([_paid("a", clock)])
    assert shares.today.spent_usd == pytest.approx(0.6)
    assert shares.today.asked == {"task-a"}
    assert shares.draws("task-a", "x1")
    shares.recall([_paid("b", clock)])
    assert not shares.draws("task-a", "x2")
    clock.advance(86_400)
    assert shares.draws("task-a", "x3")
