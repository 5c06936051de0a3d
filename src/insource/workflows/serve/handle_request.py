"""One request through the gateway (DESIGN §2): read, facts, decide, engine or provider, answer, record.

The provider gets the client's own bytes, and the client the provider's, but for what a privacy policy masks. A local
answer is made whole before the client sees any of it, unless the recipe streams; until the first byte went out a
failing engine falls back, afterwards never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from insource.core.errors import EngineFailed, InsourceError
from insource.core.headers import header
from insource.core.ports import Reply, Upstream
from insource.core.scanning import ScanJob
from insource.core.values import JsonObject, LocalAnswer, Marks, Route
from insource.routing.decide import Decision, after_answer, decide, otherwise
from insource.traffic.matcher import declared_task
from insource.workflows.asking import Local, ask_engine, prepare
from insource.workflows.serve.answer_locally import client_completion, stream_locally
from insource.workflows.serve.ask_again import restored
from insource.workflows.serve.case import (
    Case,
    Missed,
    asked_of,
    call_of,
    error_status,
    facts_of,
    local_of,
    refusal_of,
    route_of,
)
from insource.workflows.serve.check_privacy import PrivacyCheck
from insource.workflows.serve.conversations import Conversations, Side
from insource.workflows.serve.incoming import Asked, Incoming, has_body, states_short_body
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.serve.pass_through import only_known, to_client, to_provider
from insource.workflows.serve.record_exchange import CLIENT_LEFT, Ending, Recorder, Underway, replace_id
from insource.workflows.serve.relay import Relayed, relay, relay_completion, relay_local_stream
from insource.workflows.serve.restore_answer import NOTE
from insource.workflows.serve.scans import Scans
from insource.workflows.serve.shadow import Shadows
from insource.workflows.serve.share import Second, Shares

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
    shares: Shares
    conversations: Conversations = field(default_factory=Conversations)
    may_switch: bool = False
    """A conversation may go from one upstream to the other."""


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
        asked = asked_of(incoming, body)
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
            began = (
                None if self._joints.may_switch or task_id is None else self._joints.conversations.began(asked.request)
            )
            facts = facts_of(incoming, asked, job, checked=checked, began=began)
            decision = decide(facts, state.table)
            route = route_of(decision, asked)
            case = Case(
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
        await self._joints.shares.close()
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

    async def _answer(self, case: Case, decision: Decision) -> Answer:
        marks, confidence, error = Marks(selected=decision.selected), None, None
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
        route = replace(route_of(decision, case.asked), confidence=confidence)
        if decision.stays_here or case.checked.action in ("local", "refuse"):
            refusal = refusal_of(decision, error, by_policy=case.checked.action == "refuse")
            case.underway.end(route, Ending(status=error_status(refusal)), marks)
            raise refusal
        return await self._by_provider(case, decision, route=route, marks=marks)

    async def _locally(self, case: Case, decision: Decision) -> Answer | Missed:
        """The answer of a candidate or a model on this machine, or why it does not answer."""
        try:
            local = local_of(case.state, decision)
            if local.engine is not None and decision.model is not None:
                await self._joints.routing.ensure(local.engine)
            return await self._by_local(case, decision, local)
        except InsourceError as error:
            return Missed(reason=f"{decision.reason}; not answered here: {error.message}", error=error)

    async def _by_local(self, case: Case, decision: Decision, local: Local) -> Answer | Missed:
        request = case.asked.request
        route = replace(route_of(decision, case.asked), upstream=local.upstream, model=local.model)
        stays = local.not_admitted(request)
        if stays is not None:
            return Missed(reason=f"{decision.reason}; {stays}" if decision.stays_here else f"escalated: {stays}")
        try:
            prepared = prepare(local, request)
            if not isinstance(prepared, LocalAnswer):
                if case.asked.streams and local.streams and decision.gate <= 0:
                    reply = await stream_locally(local, prepared, request)
                    then = self._then_share(case, decision)
                    stream = relay_local_stream(Relayed(underway=case.underway, route=route, then=then), reply)
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
            return Missed(reason=reason, confidence=prepared.confidence)
        created = int(case.underway.created.timestamp())
        completion = client_completion(prepared, local, request, id=case.underway.id, created=created)
        then = self._then_share(case, decision)
        reply = relay_completion(Relayed(underway=case.underway, route=route, then=then), completion)
        return Answer(reply=reply, route=route, authored=True)

    async def _by_provider(self, case: Case, decision: Decision, *, route: Route, marks: Marks) -> Answer:
        provider, incoming = self._joints.provider, case.incoming
        route = replace(route, upstream=provider.name)
        try:
            reply = await self._restored(case, await provider.send(call_of(case)), case.underway)
        except InsourceError as error:
            case.underway.end(route, Ending(status=error_status(error)), marks)
            raise

        def then(response: JsonObject) -> None:
            self._remember(case, response, "provider")
            shadow = case.state.locals.get(decision.shadow_candidate_id) if decision.shadow_candidate_id else None
            if shadow is not None:
                self._joints.shadows.offer(case.underway, shadow, decision)

        host = header(incoming.headers, "host") or ""
        back = to_client(reply.headers, base_url=self._joints.provider_url, own_url=f"http://{host}")
        note = header(reply.headers, NOTE) if case.checked.placeholders is not None else None
        back = back if note is None else (*back, (NOTE, note))
        relayed = Relayed(underway=case.underway, route=route, marks=marks, then=then)
        return Answer(reply=relay(relayed, reply, headers=back), route=route, authored=False)

    # ----------------------------------------------------------------------------------- after the client's answer

    def _then_share(self, case: Case, decision: Decision) -> Callable[[JsonObject], None]:
        """After an answer from here: the provider may be asked too, for the permanent share of a move."""

        def then(response: JsonObject) -> None:
            self._remember(case, response, "here")
            task_id, shares = decision.task_id, self._joints.shares
            moved = decision.candidate_id is not None and not decision.stays_here and case.may_leave
            if task_id is None or not moved or not shares.draws(task_id, case.underway.id):
                return
            route = Route(
                upstream=self._joints.provider.name,
                model=case.asked.model,
                reason="share of a move",
                task_id=task_id,
                candidate_id=decision.candidate_id,
            )
            underway = replace_id(case.underway, f"{case.underway.id}-share")
            shares.offer(
                Second(
                    underway=underway,
                    route=route,
                    marks=Marks(share_of=case.underway.id),
                    send=lambda second: self._again(case, second),
                )
            )

        return then

    async def _again(self, case: Case, second: Underway) -> Reply:
        return await self._restored(case, await self._joints.provider.send(call_of(case)), second)

    def _remember(self, case: Case, response: JsonObject, side: Side) -> None:
        if case.facts.task_id is not None and not self._joints.may_switch:
            self._joints.conversations.note(case.asked.request, response, side)

    async def _restored(self, case: Case, reply: Reply, underway: Underway) -> Reply:
        """The provider's reply with the user's own values, where any may be missing in it."""
        return await restored(self._joints.privacy, case.checked, reply, underway=underway)
