"""Where a request goes: a pure function of what is known of the request and of the table of moves and pins.

Three questions, three functions: `decide` before anything is asked, `after_answer` when a local answer has its
confidence, `after_failure` when the local side did not answer. No other code chooses an upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from insource.core.hashing import unit_interval
from insource.core.values import Move, Stage

UNSCANNED = "unscanned"
"""The private kind of a request that the detector could not scan: it counts as private (promise 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """All that a decision may depend on."""

    exchange_id: str
    model: str = ""
    """What the client asked for; "" when it named none."""
    task_id: str | None = None
    task_known: bool = True
    """False: the matching itself failed, so the request may belong to a pinned task."""
    private_kinds: tuple[str, ...] = ()
    demands: tuple[str, ...] = ()
    """What a recipe can't give (see `workflows/handle_request.demands`): such a request is not moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Moves and pins in force."""

    moves: Mapping[str, Move] = field(default_factory=dict[str, Move])
    pinned_tasks: frozenset[str] = frozenset()
    local_default: str | None = None
    """Name of the local model that answers without a recipe; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    route: Literal["local", "provider", "refuse"]
    reason: str
    task_id: str | None = None
    candidate_id: str | None = None
    """With route `local`: None is the default local model without a recipe."""
    gate: float = 0.0
    shadow_candidate_id: str | None = None
    """Answers too, after the client has its answer."""
    pinned: bool = False
    local_only: bool = False
    """The provider may not answer instead: pinned, or the client asked for the local model by its name."""
    certificate_id: str | None = None


def decide(facts: RequestFacts, table: RoutingTable) -> Decision:
    """Pins first, then the client's own wish, then the task's move; everything else goes where it always went."""
    pin = _pin_reason(facts, table)
    move = table.moves.get(facts.task_id) if facts.task_id is not None else None
    if pin is not None:
        return _stay_local(facts, table, move=move, reason=pin)
    if table.local_default is not None and facts.model == table.local_default:
        return Decision(route="local", reason="the local model was asked for", task_id=facts.task_id, local_only=True)
    if move is None:
        return Decision(route="provider", reason="no move", task_id=facts.task_id)
    return _by_stage(facts, move)


def after_answer(decision: Decision, confidence: float) -> Literal["keep", "escalate"]:
    """Below the gate (or with a confidence that is no number) a request escalates, unless it must stay."""
    if decision.local_only or confidence >= decision.gate:
        return "keep"
    return "escalate"


def after_failure(decision: Decision) -> Literal["provider", "refuse"]:
    """The local side did not answer."""
    return "refuse" if decision.local_only else "provider"


def _pin_reason(facts: RequestFacts, table: RoutingTable) -> str | None:
    if facts.private_kinds:
        return "private: " + ", ".join(facts.private_kinds)
    if facts.task_id in table.pinned_tasks:
        return "pinned task"
    if not facts.task_known and table.pinned_tasks:
        return "task not recognised, and some tasks are pinned"
    return None


def _stay_local(facts: RequestFacts, table: RoutingTable, *, move: Move | None, reason: str) -> Decision:
    """The task's candidate answers whatever its stage, since the other choice is a model without a recipe; not a
    candidate that was rolled back, because that one was measured to be bad."""
    usable = move is not None and move.stage is not Stage.ROLLED_BACK and not facts.demands
    if not usable and table.local_default is None:
        return Decision(route="refuse", reason=reason, task_id=facts.task_id, pinned=True, local_only=True)
    return Decision(
        route="local",
        reason=reason,
        task_id=facts.task_id,
        candidate_id=move.candidate_id if usable and move is not None else None,
        certificate_id=move.certificate_id if usable and move is not None else None,
        pinned=True,
        local_only=True,
    )


def _by_stage(facts: RequestFacts, move: Move) -> Decision:
    hosted = Decision(route="provider", reason=f"stage {move.stage}", task_id=move.task_id)
    if facts.demands:
        return Decision(route="provider", reason="asks for " + ", ".join(facts.demands), task_id=move.task_id)
    if move.stage is Stage.SHADOW:
        return Decision(
            route="provider", reason="stage shadow", task_id=move.task_id, shadow_candidate_id=move.candidate_id
        )
    drawn = unit_interval("canary", move.task_id, facts.exchange_id) < move.canary_share
    if move.stage is Stage.LIVE or (move.stage is Stage.CANARY and drawn):
        return Decision(
            route="local",
            reason=f"stage {move.stage}",
            task_id=move.task_id,
            candidate_id=move.candidate_id,
            gate=move.gate,
            certificate_id=move.certificate_id,
        )
    return hosted
