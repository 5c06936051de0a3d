"""One request through the gateway (DESIGN §2): read, facts, decide, engine or provider, answer, record.

The provider gets the client's own bytes, and the client the provider's, but for what a privacy policy masks. A local
answer is made whole before the client sees any of it, unless the recipe streams; until the first byte went out a
failing engine falls back, afterwards never.
"""

from __future__ import annotations

import asyncio
import logging
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
from insource.core.ports import Call, Reply, Upstream
from insource.core.scanning import ScanJob
from insource.core.values import LocalAnswer, Marks, Route
from insource.routing.decide import (
    LOCAL_PREFIX,
    Decision,
    RequestFacts,
    after_answer,
    decide,
    otherwise,
)
from insource.traffic.matcher import declared_task
from insource.workflows.asking import Local, ask_engine, prepare
from insource.workflows.serve.answer_locally import client_completion, stream_locally
from insource.workflows.serve.check_privacy import Checked, PrivacyCheck
from insource.workflows.serve.incoming import (
    Asked,
    Incoming,
    demands,
    description,
    has_body,
    states_short_body,
    understand,
)
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.serve.pass_through import only_known, to_client, to_provider
from insource.workflows.serve.record_exchange import CLIENT_LEFT, Ending, Recorder, Underway
from insource.workflows.serve.relay import Relayed, relay, relay_completion, relay_local_stream
from insource.workflows.serve.restore_answer import NOTE, restore_answer
from insource.workflows.serve.scans import Scans
from insource.workflows.serve.shadow import Shadows

_LOG = logging.getLogger(__name__)
TASK_HEADER = "x-insource-task"
"""By which an application declares the task of a request; kept in the exchange's metadata as `task`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply to relay, or the error to tell; and where it came from. The reply must be closed, also when unread."""

    reply: Reply | InsourceError
    route: Route
    authored: bool
    """insource itself wrote it: a cut is told in it. False: it is the provider's, and nothing is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joints:
    """What the handler works with."""

    provider: Upstream
    provider_url: str = ""
    """Under which a redirect is led back to the gateway."""
    routing: LiveRouting
    recorder: Recorder
    privacy: PrivacyCheck
    forward_key: bool = False
    """Hand the client's own key to the provider: only when no provider key is configured. Never to an engine."""
    shadows: Shadows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
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


class RequestHandler:
    def __init__(self, joints: Joints, *, scans: Scans | None = None) -> None:
        """`scans` are ended with the handler."""
        self._joints = joints
        self._scans = scans

    async def handle(self, incoming: Incoming) -> Answer:
        """Raises only what is a bug here (and asyncio's cancellation); both are recorded before."""
        state, policy = self._joints.routing.current, self._joints.privacy.policy()
        try:
            body = await self._body(incoming, acts=policy.acts)
        except InsourceError as error:  # the client left while it sent: there was no exchange
            route = Route(upstream="none", model="", reason="the request did not arrive")
            return Answer(reply=error, route=route, authored=True)
        asked = _asked(incoming, body)
        underway = self._begin(incoming, asked, body)
        route = Route(upstream="none", model=asked.model, reason="not decided")
        try:
            task_id, task_known = self._task(incoming, asked, state=state)
            headers = to_provider(incoming.headers, with_key=self._joints.forward_key, length_known=bool(body))
            if policy.acts:
                headers = only_known(headers, self._joints.privacy.forward_headers)
            job = ScanJob(
                body=body or b"",
                target=incoming.target,
                headers=headers,
                policy=policy,
                task_id=task_id,
                task_known=task_known,
            )
            checked = await self._joints.privacy.check(job, asked.request, exchange_id=incoming.exchange_id)
            # Nothing to scan is scanned; what a policy did not ask for is found out later.
            underway.private_kinds = checked.names if body or checked.names else ()
            underway.checked = checked
            facts = _facts(incoming, asked, job, checked=checked)
            decision = decide(facts, state.table)
            route = _route_of(decision, asked)
            case = _Case(
                incoming=incoming,
                asked=asked,
                body=body,
                headers=headers,
                underway=underway,
                checked=checked,
                facts=facts,
                state=state,
            )
            return await self._answer(case, decision)
        except InsourceError as error:
            underway.end(route, Ending(status=error_status(error)))
            return Answer(reply=error, route=route, authored=True)
        except asyncio.CancelledError:
            underway.end(route, Ending(status=CLIENT_LEFT, incomplete="the client left before the answer"))
            raise
        except Exception:
            underway.end(route, Ending(status=500))
            raise

    async def close(self) -> None:
        await self._joints.shadows.close()
        if self._scans is not None:
            await asyncio.to_thread(self._scans.close)

    # --------------------------------------------------------------------------------------------- reading

    async def _body(self, incoming: Incoming, *, acts: bool) -> bytes | None:
        """Whole where it decides something, or where it is short; None: it goes on as it comes."""
        if not has_body(incoming.headers):
            return b""
        if acts or incoming.is_chat or states_short_body(incoming.headers):
            return await incoming.body.whole()
        return None

    def _begin(self, incoming: Incoming, asked: Asked, body: bytes | None) -> Underway:
        declared = header(incoming.headers, TASK_HEADER)
        return Underway(
            recorder=self._joints.recorder,
            id=incoming.exchange_id,
            endpoint=incoming.path,
            request=asked.request,
            body=body or b"",
            metadata={} if declared is None else {"task": declared},
        )

    def _task(self, incoming: Incoming, asked: Asked, *, state: RoutingState) -> tuple[str | None, bool]:
        """The task's id, and whether it is known: where the matching fails, the request may be of a pinned task."""
        if not (incoming.is_chat and asked.readable):
            return None, True
        try:
            declared = header(incoming.headers, TASK_HEADER)
            return state.match(asked.request, declared_task(asked.request, {"task": declared})), True
        except Exception:
            _LOG.exception("The task of exchange %s could not be found.", incoming.exchange_id)
            return None, False

    # ------------------------------------------------------------------------------------------- answering

    async def _answer(self, case: _Case, decision: Decision) -> Answer:
        marks, confidence, error = Marks(), None, None
        while decision.route == "local":
            answered = await self._locally(case, decision)
            if isinstance(answered, Answer):
                return answered
            marks, error = answered.added_to(marks), answered.error
            confidence = confidence if answered.confidence is None else answered.confidence
            if decision.otherwise == "refuse":
                break
            decision = replace(otherwise(decision, case.facts, case.state.table), reason=answered.reason)
            error = None  # it is part of the reason now
        route = replace(_route_of(decision, case.asked), confidence=confidence)
        if decision.stays_here or case.checked.action in ("local", "refuse"):
            refusal = _refusal(decision, error, by_policy=case.checked.action == "refuse")
            case.underway.end(route, Ending(status=error_status(refusal)), marks)
            raise refusal
        return await self._by_provider(case, decision, route=route, marks=marks)

    async def _locally(self, case: _Case, decision: Decision) -> Answer | _Missed:
        """The answer of a candidate or a model on this machine, or why it does not answer."""
        try:
            local = _local(case.state, decision)
            if local.engine is not None and decision.model is not None:
                await self._joints.routing.ensure(local.engine)
            return await self._by_local(case, decision, local)
        except InsourceError as error:
            return _Missed(reason=f"{decision.reason}; not answered here: {error.message}", error=error)

    async def _by_local(self, case: _Case, decision: Decision, local: Local) -> Answer | _Missed:
        request = case.asked.request
        route = replace(_route_of(decision, case.asked), upstream=local.upstream, model=local.model)
        stays = local.not_admitted(request)
        if stays is not None:
            return _Missed(reason=f"{decision.reason}; {stays}" if decision.stays_here else f"escalated: {stays}")
        try:
            prepared = prepare(local, request)
            if not isinstance(prepared, LocalAnswer):
                if case.asked.streams and local.streams and decision.gate <= 0:
                    reply = await stream_locally(local, prepared, request)
                    stream = relay_local_stream(Relayed(underway=case.underway, route=route), reply)
                    return Answer(reply=stream, route=route, authored=True)
                prepared = await ask_engine(local, prepared)
        except EngineFailed:
            if local.engine is not None:
                self._joints.routing.wake(local.engine)
            raise
        route = replace(route, confidence=prepared.confidence)
        if after_answer(decision, prepared.confidence) == "otherwise":
            below = f"confidence {prepared.confidence:.4g} is below the gate {decision.gate:.4g}"
            stays = f"{decision.reason}; {below}"
            reason = stays if decision.stays_here else f"escalated: {below}"
            return _Missed(reason=reason, confidence=prepared.confidence)
        created = int(case.underway.created.timestamp())
        completion = client_completion(prepared, local, request, id=case.underway.id, created=created)
        reply = relay_completion(Relayed(underway=case.underway, route=route), completion)
        return Answer(reply=reply, route=route, authored=True)

    async def _by_provider(self, case: _Case, decision: Decision, *, route: Route, marks: Marks) -> Answer:
        provider, incoming = self._joints.provider, case.incoming
        route = replace(route, upstream=provider.name)
        try:
            reply = await self._restored(case, await provider.send(_call(case)))
        except InsourceError as error:
            case.underway.end(route, Ending(status=error_status(error)), marks)
            raise

        def then() -> None:
            shadow = case.state.locals.get(decision.shadow_candidate_id) if decision.shadow_candidate_id else None
            if shadow is not None:
                self._joints.shadows.offer(case.underway, shadow, decision)

        host = header(incoming.headers, "host") or ""
        back = to_client(reply.headers, base_url=self._joints.provider_url, own_url=f"http://{host}")
        note = header(reply.headers, NOTE) if case.checked.placeholders is not None else None
        back = back if note is None else (*back, (NOTE, note))
        relayed = Relayed(underway=case.underway, route=route, marks=marks, then=then)
        return Answer(reply=relay(relayed, reply, headers=back), route=route, authored=False)

    async def _restored(self, case: _Case, reply: Reply) -> Reply:
        """The provider's reply with the user's own values, where any may be missing in it."""
        placeholders = case.checked.placeholders
        if placeholders is None:
            return reply
        kept, kinds = self._joints.privacy.kept, dict(case.checked.kinds or {})
        shown, case.underway.restored = await restore_answer(
            reply, placeholders, kinds=kinds, found=lambda answer: kept.keep_all(answer, placeholders)
        )
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Missed:
    """The local side did not answer: one of the two says why."""

    reason: str
    confidence: float | None = None
    """Of an answer that was not sure enough."""
    error: InsourceError | None = None

    def added_to(self, marks: Marks) -> Marks:
        fallback = marks.fallback if self.error is None else type(self.error).__name__
        return Marks(escalated=marks.escalated or self.error is None, fallback=fallback)


# ---------------------------------------------------------------------------------------------- pure helpers


def _asked(incoming: Incoming, body: bytes | None) -> Asked:
    if body is None:
        length = header(incoming.headers, "content-length") or "0"
        size_bytes = int(length) if length.isdecimal() else 0
        return Asked(request=description(incoming.headers, size_bytes), readable=False)
    return understand(incoming.headers, body) if body else Asked(request={}, readable=False)


def _facts(incoming: Incoming, asked: Asked, job: ScanJob, *, checked: Checked) -> RequestFacts:
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
    )


def _call(case: _Case) -> Call:
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


def _route_of(decision: Decision, asked: Asked) -> Route:
    return Route(
        upstream="none",
        model=asked.model,
        reason=decision.reason,
        task_id=decision.task_id,
        candidate_id=decision.candidate_id,
        certificate_id=decision.certificate_id,
        pinned=decision.stays_here,
    )


def _local(state: RoutingState, decision: Decision) -> Local:
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


def _refusal(decision: Decision, error: InsourceError | None = None, *, by_policy: bool = False) -> InsourceError:
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
