"""A request on its way through the handler: what is known of it, and what follows from that. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from insource.core.errors import (
    BadInput,
    EngineFailed,
    InsourceError,
    PinnedUnavailable,
    RefusedByPolicy,
    UnknownModel,
    UsageError,
)
from insource.core.headers import Headers, header, with_header
from insource.core.ports import Call
from insource.core.scanning import ScanJob
from insource.core.values import Marks, Route
from insource.routing.decide import LOCAL_PREFIX, Decision, RequestFacts
from insource.workflows.asking import Local
from insource.workflows.serve.check_privacy import Checked
from insource.workflows.serve.conversations import Side
from insource.workflows.serve.incoming import Asked, Incoming, demands, description, understand
from insource.workflows.serve.live_routing import RoutingState
from insource.workflows.serve.record_exchange import Underway


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request on its way: what arrived, what it asks for, what is known of it."""

    incoming: Incoming
    asked: Asked
    body: bytes | None
    """None: its bytes are still coming, and go on as they come."""
    headers: Headers
    """Those that would go to the provider."""
    underway: Underway
    checked: Checked
    facts: RequestFacts
    state: RoutingState

    @property
    def may_leave(self) -> bool:
        """Neither a policy nor a pin keeps the request on this machine."""
        kept = self.checked.action in ("local", "refuse") or self.facts.task_id in self.state.table.pinned_tasks
        return self.facts.task_known and not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """The local side did not answer: one of the two says why."""

    reason: str
    confidence: float | None = None
    """Of an answer that was not sure enough."""
    error: InsourceError | None = None

    def added_to(self, marks: Marks) -> Marks:
        fallback = marks.fallback if self.error is None else type(self.error).__name__
        return replace(marks, escalated=marks.escalated or self.error is None, fallback=fallback)


def asked_of(incoming: Incoming, body: bytes | None) -> Asked:
    if body is None:
        length = header(incoming.headers, "content-length") or "0"
        size_bytes = int(length) if length.isdecimal() else 0
        return Asked(request=description(incoming.headers, size_bytes), readable=False)
    return understand(incoming.headers, body) if body else Asked(request={}, readable=False)


def facts_of(
    incoming: Incoming, asked: Asked, job: ScanJob, *, checked: Checked, began: Side | None = None
) -> RequestFacts:
    is_chat = incoming.is_chat and asked.readable
    return RequestFacts(
        exchange_id=incoming.exchange_id,
        model=asked.model if asked.readable else "",
        is_chat=is_chat,
        task_id=job.task_id,
        task_known=job.task_known,
        action=checked.action,
        privacy_reason=checked.reason,
        demands=demands(asked.request) if is_chat else frozenset(),
        began=began,
    )


def call_of(case: Case) -> Call:
    """What the provider gets: the client's own bytes, or the masked ones."""
    masked, body = case.checked.masked, case.body
    headers = case.headers
    if case.checked.placeholders is not None:
        headers = with_header(headers, "accept-encoding", "identity")
    return Call(
        method=case.incoming.method,
        path=case.incoming.target,
        headers=headers,
        body=(body or b"") if masked is None else masked.body,
        stream=case.incoming.body.chunks() if body is None else None,
    )


def route_of(decision: Decision, asked: Asked) -> Route:
    return Route(
        upstream="none",
        model=asked.model,
        reason=decision.reason,
        task_id=decision.task_id,
        candidate_id=decision.candidate_id,
        certificate_id=decision.certificate_id,
        pinned=decision.stays_here,
    )


def local_of(state: RoutingState, decision: Decision) -> Local:
    key = decision.candidate_id if decision.model is None else LOCAL_PREFIX + decision.model
    local = state.locals.get(key or "")
    if local is None:
        raise EngineFailed(
            f"{key!r} could not be loaded.",
            next_step="`insource models list` shows what is on disk; pull what is missing.",
        )
    return local


def error_status(error: InsourceError) -> int:
    """For the record: what kind of failure it was. What the client gets is said in `gateway/errors.py`."""
    if isinstance(error, UnknownModel):
        return 404
    if isinstance(error, RefusedByPolicy):
        return 403
    if isinstance(error, BadInput | UsageError):
        return 400
    return 503 if isinstance(error, EngineFailed | PinnedUnavailable) else 502


def refusal_of(decision: Decision, error: InsourceError | None = None, *, by_policy: bool = False) -> InsourceError:
    """What a client is told whose request is neither answered here nor sent on."""
    if by_policy:
        return RefusedByPolicy(
            f"The privacy policy refuses this request ({decision.reason}).",
            next_step="Take it out of the request, or change the policy: `insource privacy show`.",
        )
    if decision.by_name and error is not None:
        return error
    if decision.by_name:
        kind = UnknownModel if decision.model is None else UsageError
        said = f"{decision.reason[:1].upper()}{decision.reason[1:]}."
        return kind(said, next_step="GET /insource/models lists what this machine has.")
    why = "" if error is None else f" {error.message}"
    return PinnedUnavailable(
        f"This request may not leave this machine ({decision.reason}), and nothing here may answer it.{why}",
        next_step="Name a model for them (INSOURCE_PRIVATE_MODEL), or change the policy: `insource privacy show`.",
    )
