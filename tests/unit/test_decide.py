"""Where a request goes, for every stage and for tables that nobody would write."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import Move, Stage
from insource.routing.decide import (
    UNSCANNED,
    Decision,
    RequestFacts,
    RoutingTable,
    after_answer,
    after_failure,
    decide,
)

TASKS = ("task-a", "task-b")


def a_move(stage: Stage = Stage.LIVE, *, task_id: str = "task-a", gate: float = 0.7, share: float = 0.3) -> Move:
    return Move(
        task_id=task_id,
        candidate_id=f"prompt-{task_id}",
        stage=stage,
        gate=gate,
        certificate_id="cert-1",
        canary_share=share,
        changed=datetime(2026, 1, 1, tzinfo=UTC),
        reason="test",
    )


def table_with(*moves: Move, pinned: frozenset[str] = frozenset(), default: str | None = "small") -> RoutingTable:
    return RoutingTable(moves={m.task_id: m for m in moves}, pinned_tasks=pinned, local_default=default)


def facts_of(task_id: str | None = "task-a", **other: object) -> RequestFacts:
    return RequestFacts(exchange_id=str(other.pop("exchange_id", "e1")), task_id=task_id, **other)  # pyright: ignore[reportArgumentType] - fields by name


moves_drawn = st.builds(
    a_move,
    st.sampled_from(list(Stage)),
    task_id=st.sampled_from(TASKS),
    gate=st.floats(0, 1),
    share=st.floats(0, 1),
)
tables_drawn = st.builds(
    lambda moves, pinned, default: table_with(*moves, pinned=pinned, default=default),
    st.lists(moves_drawn, max_size=3),
    st.frozensets(st.sampled_from(TASKS)),
    st.sampled_from([None, "small"]),
)
facts_drawn = st.builds(
    RequestFacts,
    exchange_id=st.text(max_size=8),
    model=st.sampled_from(["", "gpt-4o", "small"]),
    task_id=st.sampled_from([None, *TASKS]),
    task_known=st.booleans(),
    private_kinds=st.sampled_from([(), ("email",), (UNSCANNED,)]),
    demands=st.sampled_from([(), ("several choices",)]),
)


@given(facts_drawn, tables_drawn)
def test_a_private_or_pinned_request_never_reaches_a_provider(facts: RequestFacts, table: RoutingTable) -> None:
    private = bool(facts.private_kinds) or facts.task_id in table.pinned_tasks
    private = private or (not facts.task_known and bool(table.pinned_tasks))
    decision = decide(facts, table)
    assert decision.pinned is private
    if private:
        assert decision.route in ("local", "refuse")
        assert decision.shadow_candidate_id is None
        assert after_failure(decision) == "refuse"
        for confidence in (0.0, 1.0, math.nan):
            assert after_answer(decision, confidence) == "keep"


@given(facts_drawn, tables_drawn)
def test_a_decision_can_be_repeated_by_any_process(facts: RequestFacts, table: RoutingTable) -> None:
    assert decide(facts, table) == decide(facts, table)


@given(facts_drawn, tables_drawn)
def test_only_moves_that_answer_make_a_public_request_local(facts: RequestFacts, table: RoutingTable) -> None:
    decision = decide(facts, table)
    if decision.pinned or decision.route != "local" or decision.local_only:
        return
    move = table.moves[facts.task_id or ""]
    assert move.stage in (Stage.CANARY, Stage.LIVE)
    assert (decision.candidate_id, decision.gate) == (move.candidate_id, move.gate)
    assert not facts.demands


@pytest.mark.parametrize(
    ("stage", "route", "shadow"),
    [
        (Stage.OBSERVE, "provider", None),
        (Stage.SHADOW, "provider", "prompt-task-a"),
        (Stage.LIVE, "local", None),
        (Stage.ROLLED_BACK, "provider", None),
    ],
)
def test_every_stage(stage: Stage, route: str, shadow: str | None) -> None:
    decision = decide(facts_of(), table_with(a_move(stage)))
    assert (decision.route, decision.shadow_candidate_id) == (route, shadow)


def test_a_canary_answers_its_share() -> None:
    table = table_with(a_move(Stage.CANARY, share=0.3))
    routes = [decide(facts_of(exchange_id=f"e{n}"), table).route for n in range(4000)]
    assert abs(routes.count("local") / len(routes) - 0.3) < 0.03  # 4 standard errors


def test_no_task_or_no_move_goes_where_it_always_went() -> None:
    assert decide(facts_of(None), table_with(a_move())).route == "provider"
    assert decide(facts_of("task-b"), table_with(a_move())).route == "provider"


def test_a_pinned_request_is_answered_by_its_candidate_or_else_by_the_default_model() -> None:
    private = facts_of(private_kinds=("email",))
    assert decide(private, table_with(a_move(Stage.OBSERVE))).candidate_id == "prompt-task-a"
    rolled_back = decide(private, table_with(a_move(Stage.ROLLED_BACK)))
    assert (rolled_back.route, rolled_back.candidate_id) == ("local", None)
    assert decide(private, table_with(default=None)).route == "refuse"
    assert "email" in decide(private, table_with(default=None)).reason


def test_a_demand_that_a_recipe_cannot_meet_keeps_the_request_hosted() -> None:
    decision = decide(facts_of(demands=("several choices",)), table_with(a_move()))
    assert (decision.route, decision.reason) == ("provider", "asks for several choices")


def test_a_client_may_ask_for_the_local_model_by_name() -> None:
    decision = decide(facts_of(None, model="small"), table_with())
    assert (decision.route, decision.candidate_id, decision.local_only) == ("local", None, True)
    assert after_failure(decision) == "refuse"


@pytest.mark.parametrize(("confidence", "then"), [(0.7, "keep"), (0.69, "escalate"), (math.nan, "escalate")])
def test_below_the_gate_a_request_escalates(confidence: float, then: str) -> None:
    decision: Decision = decide(facts_of(), table_with(a_move()))
    assert after_answer(decision, confidence) == then
    assert after_failure(decision) == "provider"
