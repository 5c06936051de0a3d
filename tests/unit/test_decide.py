"""Where a request goes, for every stage and for tables that nobody would write."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.policy import ACTIONS
from insource.core.ports import Demand
from insource.core.values import Move, Stage
from insource.routing.decide import (
    LOCAL_PREFIX,
    Decision,
    RequestFacts,
    RoutingTable,
    after_answer,
    decide,
    otherwise,
)

TASKS = ("task-a", "task-b")
TOOLS: frozenset[Demand] = frozenset({"tools"})
CHOICES: frozenset[Demand] = frozenset({"several choices"})


def a_move(
    stage: Stage = Stage.LIVE,
    *,
    task_id: str = "task-a",
    gate: float = 0.7,
    share: float = 0.3,
    certificate: str | None = "cert-1",
) -> Move:
    return Move(
        task_id=task_id,
        candidate_id=f"prompt-{task_id}",
        stage=stage,
        gate=gate,
        certificate_id=certificate,
        canary_share=share,
        changed=datetime(2026, 1, 1, tzinfo=UTC),
        reason="test",
    )


def table_with(*moves: Move, pinned: frozenset[str] = frozenset(), private_model: str | None = "small") -> RoutingTable:
    return RoutingTable(
        moves={m.task_id: m for m in moves},
        pinned_tasks=pinned,
        private_model=private_model,
        local_models=frozenset({"small", "other"}),
        honours={"small": TOOLS, "prompt-task-a": TOOLS},
    )


def facts_of(task_id: str | None = "task-a", **other: object) -> RequestFacts:
    return RequestFacts(exchange_id=str(other.pop("exchange_id", "e1")), task_id=task_id, **other)  # pyright: ignore[reportArgumentType] - fields by name


moves_drawn = st.builds(
    a_move,
    st.sampled_from(list(Stage)),
    task_id=st.sampled_from(TASKS),
    gate=st.floats(0, 1),
    share=st.floats(0, 1),
    certificate=st.sampled_from([None, "cert-1"]),
)
tables_drawn = st.builds(
    lambda moves, pinned, private_model, elsewhere: replace(
        table_with(*moves, pinned=pinned, private_model=private_model), elsewhere=elsewhere
    ),
    st.lists(moves_drawn, max_size=3),
    st.frozensets(st.sampled_from(TASKS)),
    st.sampled_from([None, "small", "other"]),
    st.frozensets(st.sampled_from(["small", "other", "prompt-task-a", "prompt-task-b"])),
)
facts_drawn = st.builds(
    RequestFacts,
    exchange_id=st.text(max_size=8),
    model=st.sampled_from(["", "gpt-4o", "small", "local/small", "local/other", "local/", "local/nobody"]),
    is_chat=st.booleans(),
    task_id=st.sampled_from([None, *TASKS]),
    task_known=st.booleans(),
    action=st.sampled_from(ACTIONS),
    privacy_reason=st.just("private: email"),
    demands=st.frozensets(st.sampled_from([*TOOLS, *CHOICES])),
)


def has_to_stay(facts: RequestFacts, table: RoutingTable) -> bool:
    private = facts.action in ("local", "refuse") or facts.task_id in table.pinned_tasks
    return private or (not facts.task_known and bool(table.pinned_tasks))


def all_decisions(facts: RequestFacts, table: RoutingTable) -> list[Decision]:
    """The first one, and those that follow when whoever was to answer here does not. They come to an end."""
    decisions = [decide(facts, table)]
    while decisions[-1].route == "local":
        decisions.append(otherwise(decisions[-1], facts, table))
        assert len(decisions) <= 3
    return decisions


@given(facts_drawn, tables_drawn)
def test_a_private_or_pinned_request_never_reaches_a_provider(facts: RequestFacts, table: RoutingTable) -> None:
    named = facts.is_chat and facts.model.startswith(LOCAL_PREFIX)
    stays = has_to_stay(facts, table) or named
    for decision in all_decisions(facts, table):
        assert decision.stays_here is (stays if decision.route != "provider" else False)
        if stays:
            assert decision.route in ("local", "refuse")
            assert decision.shadow_candidate_id is None


@given(facts_drawn, tables_drawn)
def test_what_stays_is_answered_only_by_who_is_certified_or_was_named(facts: RequestFacts, table: RoutingTable) -> None:
    for decision in all_decisions(facts, table):
        if not decision.stays_here or decision.route != "local":
            continue
        if decision.candidate_id is not None:
            move = table.moves[facts.task_id or ""]
            assert move.stage is not Stage.ROLLED_BACK
            assert move.certificate_id is not None or move.stage is Stage.LIVE, "certified, or moved by the user's hand"
            assert (decision.candidate_id, decision.gate) == (move.candidate_id, move.gate)
            assert decision.certificate_id == move.certificate_id
        elif decision.by_name:
            assert facts.model == LOCAL_PREFIX + (decision.model or "")
        else:
            assert decision.model == table.private_model


@given(facts_drawn, tables_drawn)
def test_nobody_here_is_asked_for_more_than_he_honours(facts: RequestFacts, table: RoutingTable) -> None:
    for decision in all_decisions(facts, table):
        if decision.route == "local":
            assert facts.is_chat
            assert facts.demands <= table.honours.get(decision.model or decision.candidate_id or "", frozenset())


@given(facts_drawn, tables_drawn)
def test_an_engine_elsewhere_gets_nothing_private(facts: RequestFacts, table: RoutingTable) -> None:
    if facts.action == "watch" and not has_to_stay(facts, table):
        return
    for decision in all_decisions(facts, table):
        if decision.route == "local":
            assert (decision.model or decision.candidate_id) not in table.elsewhere


@given(facts_drawn, tables_drawn)
def test_what_is_refused_is_refused_whatever_is_here(facts: RequestFacts, table: RoutingTable) -> None:
    named = facts.is_chat and facts.model.startswith(LOCAL_PREFIX)
    if facts.action == "refuse" and not named:
        assert decide(facts, table).route == "refuse"


@given(facts_drawn, tables_drawn)
def test_a_decision_can_be_repeated_by_any_process(facts: RequestFacts, table: RoutingTable) -> None:
    assert decide(facts, table) == decide(facts, table)


@given(facts_drawn, tables_drawn)
def test_only_moves_that_answer_make_a_public_request_local(facts: RequestFacts, table: RoutingTable) -> None:
    decision = decide(facts, table)
    if decision.stays_here or decision.route != "local":
        return
    move = table.moves[facts.task_id or ""]
    assert move.stage in (Stage.CANARY, Stage.LIVE)
    assert (decision.candidate_id, decision.gate) == (move.candidate_id, move.gate)
    assert otherwise(decision, facts, table).route == "provider"


@given(facts_drawn)
def test_an_empty_table_changes_nothing_of_an_unscanned_request(facts: RequestFacts) -> None:
    """Promise 0: without a move, a pin and a policy every request goes to the provider."""
    unscanned = replace(facts, action="watch")
    if not (facts.is_chat and facts.model.startswith(LOCAL_PREFIX)):
        assert decide(unscanned, RoutingTable()) == Decision(route="provider", reason="no move", task_id=facts.task_id)


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
    assert decide(facts_of(is_chat=False), table_with(a_move())).route == "provider"


# ------------------------------------------------------------------------------------------ what has to stay here

PRIVATE = facts_of(action="local", privacy_reason="private: email")


@pytest.mark.parametrize(
    ("move", "answers"),
    [
        (a_move(Stage.OBSERVE), True),
        (a_move(Stage.SHADOW), True),
        (a_move(Stage.CANARY, share=0.0), True),
        (a_move(Stage.LIVE), True),
        (a_move(Stage.ROLLED_BACK), False),
        (a_move(Stage.LIVE, certificate=None), True),
        (a_move(Stage.CANARY, certificate=None), False),
        (a_move(Stage.SHADOW, certificate=None), False),
    ],
    ids=lambda given: f"{given.stage} {given.certificate_id}" if isinstance(given, Move) else "",
)
def test_a_private_request_is_answered_by_a_candidate_that_somebody_vouches_for(move: Move, answers: bool) -> None:
    decision = decide(PRIVATE, table_with(move, private_model=None))
    assert (decision.route, decision.candidate_id) == (("local", "prompt-task-a") if answers else ("refuse", None))
    assert "email" in decision.reason


def test_below_the_gate_a_private_request_falls_to_the_named_model_and_else_is_refused() -> None:
    for private_model, route in (("small", "local"), (None, "refuse")):
        table = table_with(a_move(), private_model=private_model)
        first = decide(PRIVATE, table)
        assert after_answer(first, 0.69) == "otherwise"
        then = otherwise(first, PRIVATE, table)
        assert (then.route, then.model, then.candidate_id) == (route, private_model, None)
        assert then.certificate_id is None, "the certificate is the candidate's, not the model's"
    assert "no certified candidate" in then.reason


def test_a_private_request_with_tools_is_only_answered_by_who_can_give_them() -> None:
    asks_tools = replace(PRIVATE, demands=TOOLS)
    asks_choices = replace(PRIVATE, demands=CHOICES)
    assert decide(asks_tools, table_with(a_move())).candidate_id == "prompt-task-a"
    elsewhere = decide(replace(asks_tools, task_id=None), table_with(private_model="other"))
    assert (elsewhere.route, "can't give tools" in elsewhere.reason) == ("refuse", True)
    refused = decide(asks_choices, table_with(a_move()))
    assert (refused.route, "can't give several choices" in refused.reason) == ("refuse", True)


def test_a_pinned_task_stays_like_a_private_request() -> None:
    pinned = frozenset({"task-a"})
    assert decide(facts_of(), table_with(pinned=pinned)).model == "small"
    assert decide(facts_of(), table_with(pinned=pinned, private_model=None)).route == "refuse"
    assert decide(facts_of("task-b"), table_with(pinned=pinned)).route == "provider"
    unknown = decide(facts_of(None, task_known=False), table_with(pinned=pinned))
    assert (unknown.route, unknown.stays_here) == ("local", True)
    assert decide(facts_of(None, task_known=False), table_with()).route == "provider"


def test_what_is_no_chat_and_has_to_stay_is_refused() -> None:
    decision = decide(replace(PRIVATE, is_chat=False), table_with(a_move()))
    assert (decision.route, "only chat completions" in decision.reason) == ("refuse", True)


# -------------------------------------------------------------------------------------------- demands, names, gates


def test_a_demand_that_a_candidate_cannot_meet_keeps_the_request_hosted() -> None:
    decision = decide(facts_of(demands=CHOICES), table_with(a_move()))
    assert (decision.route, decision.reason) == ("provider", "asks for several choices")
    assert decide(facts_of(demands=TOOLS), table_with(a_move())).route == "local"


def test_a_client_may_ask_for_a_local_model_by_name() -> None:
    table = table_with(a_move(), private_model=None)
    for action in ACTIONS:
        facts = facts_of(model="local/small", demands=TOOLS, action=action)
        decision = decide(facts, table)
        assert (decision.route, decision.candidate_id, decision.model, decision.by_name) == (
            "local",
            None,
            "small",
            True,
        )
        assert otherwise(decision, facts, table).route == "refuse", "never the provider: it has no such model"
    assert decide(facts_of(None, model="small"), table).route == "provider", "the provider may have one of this name"
    unknown = decide(facts_of(model="local/nobody"), table)
    assert (unknown.route, unknown.by_name, unknown.model) == ("refuse", True, None)
    assert "local/other, local/small" in unknown.reason
    refused = decide(facts_of(model="local/other", demands=TOOLS), table)
    assert (refused.route, refused.by_name, "can't give tools" in refused.reason) == ("refuse", True, True)


@pytest.mark.parametrize(("confidence", "then"), [(0.7, "keep"), (0.69, "otherwise"), (math.nan, "otherwise")])
def test_below_the_gate_a_request_escalates(confidence: float, then: str) -> None:
    facts, table = facts_of(), table_with(a_move())
    decision: Decision = decide(facts, table)
    assert after_answer(decision, confidence) == then
    hosted = otherwise(decision, facts, table)
    assert (hosted.route, hosted.candidate_id, hosted.certificate_id) == ("provider", None, None)
