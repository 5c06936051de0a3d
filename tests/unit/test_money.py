"""Money: what a month costs, what is estimated of it, and when a machine pays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import UsageError
from insource.core.values import CostSource, Exchange, Route
from insource.wire.chat import completion
from insource.workflows.choose.money import (
    DAYS_A_MONTH,
    AssumedPrice,
    Bill,
    MachineCost,
    assumed,
    bill_of,
    break_even,
    busiest_per_minute,
    parse_price,
    period_of,
)
from tests.fakes.evidence import START

SHARES = st.floats(0, 1)
AMOUNTS = st.floats(0.01, 1e6)
ENGINE = Route(upstream="engine:llamacpp", model="m", reason="moved")


def exchange(**changes: Any) -> Exchange:
    fields: dict[str, Any] = {"id": "x", "created": START, "request": {"model": "gpt-4.1"}}
    return Exchange(**{**fields, **changes})


# ------------------------------------------------------------------------------------------------ hosted calls


def test_only_a_recorded_cost_is_shown_as_one() -> None:
    def cost(usd: float | None, source: CostSource | None) -> Exchange:
        return exchange(cost_usd=usd, cost_source=source)

    bill = bill_of([cost(1.0, "recorded"), cost(0.5, "list price"), cost(0.25, "estimate"), cost(None, None)])
    assert (bill.total_usd, bill.estimated_usd, bill.unpriced, bill.exchanges) == (1.75, 0.75, 1, 4)
    assert bill_of([exchange(status=500)]).unpriced == 0, "a failed call costs nothing"


@given(total=AMOUNTS, exchanges=st.integers(1, 1000), local=st.integers(0, 1000), coverage=SHARES)
def test_a_move_never_costs_more_and_saves_what_it_covers(
    total: float, exchanges: int, local: int, coverage: float
) -> None:
    bill = Bill(exchanges=exchanges, total_usd=total, answered_here=min(local, exchanges))
    assert 0 <= bill.after(coverage) <= total
    assert bill.after(0.0) == total
    if local == 0:
        assert bill.after(coverage) == pytest.approx(total * (1 - coverage))


def test_what_is_answered_here_already_is_not_saved_twice() -> None:
    paid = [exchange(id=f"p{n}", cost_usd=1.0, cost_source="recorded") for n in range(10)]
    here = [exchange(id=f"h{n}", cost_usd=0.0, cost_source="recorded", route=ENGINE) for n in range(90)]
    bill = bill_of([*paid, *here])
    assert bill.after(0.9) == pytest.approx(10.0), "nine of ten were moved, and are still"
    assert bill.after(0.95) == pytest.approx(5.0)


# ------------------------------------------------------------------------------------------------------ prices


@pytest.mark.parametrize(
    "text", ["", "gpt-4.1", "gpt-4.1=2", "gpt-4.1=2/x", "gpt-4.1=-1/2", "=1/2", "m=inf/1", "m=nan/1"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a price"):
        parse_price(text)


@given(price_in=st.floats(0, 1e4), price_out=st.floats(0, 1e4))
def test_a_price_is_read_as_it_is_written(price_in: float, price_out: float) -> None:
    read = parse_price(f"org/model-1*={price_in}/{price_out}")
    assert (read.model, read.input_usd, read.output_usd) == ("org/model-1*", price_in, price_out)


def test_an_assumed_price_stands_for_what_the_log_says_and_is_marked() -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
    answered = exchange(
        response=completion(id="c", created=0, model="gpt-4.1", text="yes", usage=usage),
        cost_usd=99.0,
        cost_source="recorded",
    )
    price = AssumedPrice(model="GPT-4*", input_usd=2.0, output_usd=8.0)
    priced = assumed(answered, [price])
    assert (priced.cost_usd, priced.cost_source) == (6.0, "list price")
    labelled = exchange(
        request={"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello there"}]}, reference="yes"
    )
    assert assumed(labelled, [price]).cost_source == "estimate", "no tokens were counted, so they are estimated"
    other = AssumedPrice(model="claude-*", input_usd=1.0, output_usd=1.0)
    assert assumed(answered, [other]) == answered
    here = exchange(response=answered.response, route=ENGINE, cost_usd=0.0, cost_source="recorded")
    assert assumed(here, [price]) == here, "what was answered here costs no hosted price"


# ------------------------------------------------------------------------------------------------------ period


@given(days=st.floats(1, 4000), usd=AMOUNTS)
def test_a_month_is_scaled_from_the_days_that_the_log_covers(days: float, usd: float) -> None:
    period = period_of([START, START + timedelta(days=days)])
    assert period is not None
    assert period.a_month(usd) == pytest.approx(usd / period.days * DAYS_A_MONTH)


def test_a_log_that_is_too_short_or_states_no_times_has_no_month() -> None:
    short = period_of([START, START + timedelta(hours=23)])
    assert short is not None
    assert short.a_month(1.0) is None
    made_up = [datetime.fromtimestamp(second, tz=UTC) for second in range(10)]
    assert period_of(made_up) is None
    assert busiest_per_minute(made_up) is None
    mixed = period_of([*made_up, *(START + timedelta(days=day) for day in range(10))])
    assert mixed is not None
    assert (mixed.first, mixed.timed_share) == (START, 0.5)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=50))
def test_the_busiest_hour_is_no_less_than_the_mean(minutes: list[int]) -> None:
    busiest = busiest_per_minute(START + timedelta(minutes=each) for each in minutes)
    hours = (max(minutes) - min(minutes)) / 60 + 2
    assert busiest is not None
    assert len(minutes) / hours / 60 <= busiest <= len(minutes) / 60


# ----------------------------------------------------------------------------------------------------- machine


def test_a_machine_costs_its_rent_and_its_power_or_nobody_knows() -> None:
    assert MachineCost().total_usd_per_month is None
    assert MachineCost(watts=100).total_usd_per_month is None, "without a price of power"
    assert MachineCost(usd_per_month=0).total_usd_per_month == 0, "its owner says so"
    power = MachineCost(watts=100, usd_per_kwh=0.3)
    assert power.total_usd_per_month == pytest.approx(0.1 * 730.5 * 0.3)
    both = MachineCost(usd_per_month=50, watts=100, usd_per_kwh=0.3)
    assert both.total_usd_per_month == pytest.approx(50 + 0.1 * 730.5 * 0.3)


@given(saving=AMOUNTS, cost=AMOUNTS)
def test_at_break_even_the_saving_pays_for_the_machine(saving: float, cost: float) -> None:
    share = break_even(saving, cost)
    assert share is not None
    assert saving * share == pytest.approx(cost)
    assert break_even(0.0, cost) is None
