"""Where a request goes: a pure function of what is known of the request and of the table of moves, pins and policy.

Three questions, three functions: `decide` before anything is asked, `after_answer` when a local answer has its
confidence, `otherwise` when the local side did not answer. No other code chooses an upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from insource.core.hashing import unit_interval
from insource.core.policy import Action
from insource.core.ports import Demand
from insource.core.values import Move, Stage

LOCAL_PREFIX = "local/"
"""`local/NAME` as a request's model asks for a model on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """All that a decision may depend on."""

    exchange_id: str
    model: str = ""
    """What the client asked for; "" when it named none."""
    is_chat: bool = True
    """A chat completion whose body could be read: nothing else can be answered on this machine."""
    task_id: str | None = None
    task_known: bool = True
    """False: the matching itself failed, so the request may belong to a pinned task."""
    action: Action = "watch"
    """What the privacy policy does with what the scan found. `mask`: a provider gets the masked body, so the request
    may go there; an engine that is not here may not have it."""
    privacy_reason: str = ""
    """Why, as a part of a sentence."""
    demands: frozenset[Demand] = frozenset()
    """What the request asks for beyond one text."""
    began: Literal["here", "provider"] | None = None
    """Where its conversation was answered before; None: it is new, nobody knows, or it may change sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Moves, pins and policy in force."""

    moves: Mapping[str, Move] = field(default_factory=dict[str, Move])
    pinned_tasks: frozenset[str] = frozenset()
    private_model: str | None = None
    """Name of the model that the user chose for requests that must stay here; None: none."""
    local_models: frozenset[str] = frozenset()
    """Names that `local/NAME` may ask for."""
    honours: Mapping[str, frozenset[Demand]] = field(default_factory=dict[str, frozenset[Demand]])
    """Demands that a candidate (by id) or a model (by name) can meet; absent: none."""
    elsewhere: frozenset[str] = frozenset()
    """Candidates and models whose engine is neither on this machine nor trusted like it: to a policy and to a pin they
    are providers."""


Otherwise = Literal["provider", "private model", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    route: Literal["local", "provider", "refuse"]
    reason: str
    task_id: str | None = None
    candidate_id: str | None = None
    """With route `local`: the candidate that answers; None: `model` does, without a recipe."""
    model: str | None = None
    gate: float = 0.0
    otherwise: Otherwise = "provider"
    """With route `local`: what happens where the candidate does not answer, or not surely enough."""
    shadow_candidate_id: str | None = None
    """Answers too, after the client has its answer."""
    stays_here: bool = False
    """No byte of it may leave this machine."""
    by_name: bool = False
    """The client itself asked for a local model."""
    certificate_id: str | None = None
    selected: bool = False
    """With route `provider`: what the request is sent it there, so that it is no sample of its task."""


def decide(facts: RequestFacts, table: RoutingTable) -> Decision:
    """The client's own wish, then what must stay here, then the task's move; all else goes where it always went."""
    if facts.is_chat and facts.model.startswith(LOCAL_PREFIX):
        return _by_name(facts, table)
    if facts.action == "refuse":
        return _refused(facts, facts.privacy_reason)
    reason = _stay_reason(facts, table)
    if reason is not None:
        return _stay_here(facts, table, reason)
    move = table.moves.get(facts.task_id) if facts.task_id is not None else None
    if move is None or not facts.is_chat:
        return Decision(route="provider", reason="no move", task_id=facts.task_id)
    return _by_stage(facts, move, table)


def after_answer(decision: Decision, confidence: float) -> Literal["keep", "otherwise"]:
    """Below the gate (or with a confidence that is not a number) the candidate does not answer."""
    return "keep" if confidence >= decision.gate else "otherwise"


def otherwise(decision: Decision, facts: RequestFacts, table: RoutingTable) -> Decision:
    """The decision after the local candidate did not answer."""
    if decision.otherwise == "private model":
        return _private_model(facts, table, decision.reason)
    route: Literal["provider", "refuse"] = "refuse" if decision.otherwise == "refuse" else "provider"
    return replace(decision, route=route, candidate_id=None, model=None, certificate_id=None)


def _by_name(facts: RequestFacts, table: RoutingTable) -> Decision:
    name = facts.model.removeprefix(LOCAL_PREFIX)
    if name not in table.local_models:
        known = ", ".join(LOCAL_PREFIX + each for each in sorted(table.local_models)) or "none"
        reason = f"there is no model {facts.model!r} on this machine (known: {known})"
        return replace(_refused(facts, reason), by_name=True)
    missing = facts.demands - table.honours.get(name, frozenset())
    if missing:
        reason = f"{facts.model!r} can't give {', '.join(sorted(missing))}"
        return replace(_refused(facts, reason), by_name=True, model=name)
    if name in table.elsewhere and (facts.action != "watch" or _stay_reason(facts, table) is not None):
        reason = facts.privacy_reason or _stay_reason(facts, table)
        return replace(_refused(facts, f"{reason}; the engine of {facts.model!r} is not on this machine"), model=name)
    return Decision(
        route="local",
        reason="the local model was asked for",
        task_id=facts.task_id,
        model=name,
        otherwise="refuse",
        stays_here=True,
        by_name=True,
    )


def _stay_reason(facts: RequestFacts, table: RoutingTable) -> str | None:
    if facts.action == "local":
        return facts.privacy_reason
    if facts.task_id in table.pinned_tasks:
        return "pinned task"
    if not facts.task_known and table.pinned_tasks:
        return "task not recognised, and some tasks are pinned"
    return None


def _stay_here(facts: RequestFacts, table: RoutingTable, reason: str) -> Decision:
    """By a candidate with a certificate, or one that the user moved the task to by hand; else by the model that the
    user chose for such requests; else not at all."""
    if not facts.is_chat:
        return _refused(facts, f"{reason}; only chat completions can be answered here")
    move = table.moves.get(facts.task_id) if facts.task_id is not None else None
    if move is None or not _vouched_for(move) or move.candidate_id in table.elsewhere:
        return _private_model(facts, table, reason)
    if facts.demands - table.honours.get(move.candidate_id, frozenset()):
        return _private_model(facts, table, reason)
    return Decision(
        route="local",
        reason=reason,
        task_id=facts.task_id,
        candidate_id=move.candidate_id,
        gate=move.gate,
        certificate_id=move.certificate_id,
        otherwise="private model",
        stays_here=True,
    )


def _vouched_for(move: Move) -> bool:
    if move.stage is Stage.ROLLED_BACK:
        return False
    return move.certificate_id is not None or move.stage is Stage.LIVE


def _private_model(facts: RequestFacts, table: RoutingTable, reason: str) -> Decision:
    name = table.private_model
    if name is None:
        return _refused(facts, f"{reason}; no certified candidate answers it, and no model was named for such requests")
    if name in table.elsewhere:
        return _refused(facts, f"{reason}; the engine of {name} is not on this machine, nor in trusted_engines")
    missing = facts.demands - table.honours.get(name, frozenset())
    if missing:
        return _refused(facts, f"{reason}; {name} can't give {', '.join(sorted(missing))}")
    return Decision(
        route="local", reason=reason, task_id=facts.task_id, model=name, otherwise="refuse", stays_here=True
    )


def _refused(facts: RequestFacts, reason: str) -> Decision:
    return Decision(route="refuse", reason=reason, task_id=facts.task_id, stays_here=True)


def _by_stage(facts: RequestFacts, move: Move, table: RoutingTable) -> Decision:
    hosted = Decision(route="provider", reason=f"stage {move.stage}", task_id=move.task_id)
    missing = facts.demands - table.honours.get(move.candidate_id, frozenset())
    if missing:
        return replace(hosted, reason="asks for " + ", ".join(sorted(missing)), selected=_answers(move))
    if facts.action == "mask" and move.candidate_id in table.elsewhere:
        reason = f"{facts.privacy_reason}; the candidate's engine is not on this machine"
        return replace(hosted, reason=reason, selected=_answers(move))
    if move.stage is Stage.SHADOW:
        return replace(hosted, shadow_candidate_id=move.candidate_id, gate=move.gate)
    if not _answers(move):
        return hosted
    if facts.began == "provider":
        return replace(hosted, reason="its conversation began at the provider", selected=True)
    drawn = unit_interval("canary", move.task_id, facts.exchange_id) < move.canary_share
    if move.stage is Stage.LIVE or facts.began == "here" or drawn:
        return Decision(
            route="local",
            reason=f"stage {move.stage}",
            task_id=move.task_id,
            candidate_id=move.candidate_id,
            gate=move.gate,
            certificate_id=move.certificate_id,
        )
    return replace(hosted, shadow_candidate_id=move.candidate_id, gate=move.gate)


def _answers(move: Move) -> bool:
    return move.stage in (Stage.CANARY, Stage.LIVE)
