"""One request through the gateway (DESIGN §2): parse, facts, decide, engine or provider, answer, record.

The provider gets the client's own bytes. A local answer is made whole before the client sees any of it, unless the
recipe streams; until the first byte went out a failing engine falls back, afterwards never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from insource.core.errors import BadInput, EngineFailed, InsourceError, PinnedUnavailable
from insource.core.ports import Call, Reply, Upstream
from insource.core.values import JsonObject, LocalAnswer, Route
from insource.routing.decide import UNSCANNED, Decision, RequestFacts, after_answer, after_failure, decide
from insource.traffic.matcher import declared_task
from insource.workflows.serve.answer_locally import (
    CHAT_PATH,
    ask_engine,
    client_completion,
    prepare,
    stream_locally,
)
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.serve.record_exchange import CLIENT_LEFT, OpenExchange, Recorder
from insource.workflows.serve.relay import relay_answer, relay_stream, relay_whole
from insource.workflows.serve.shadow import Shadows

_LOG = logging.getLogger(__name__)
TASK_HEADER = "x-insource-task"
"""By which an application declares the task of a request; kept in the exchange's metadata as `task`."""
_NOT_FORWARDED = frozenset(
    {
        *("host", "content-length", "accept-encoding", "cookie", "expect"),
        *("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"),
        *("proxy-authorization", "proxy-authenticate", "proxy-connection"),
    }
)
_KEY_HEADERS = frozenset({"authorization", "x-api-key", "api-key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request as it arrived; header names are in lower case."""

    exchange_id: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply to relay, or the error to tell; and where it came from. The reply must be closed, also when unread."""

    reply: Reply | InsourceError
    route: Route | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joints:
    """What the handler works with."""

    provider: Upstream
    routing: LiveRouting
    recorder: Recorder
    scan: Callable[[JsonObject], tuple[str, ...]]
    """Kinds of private data in a request. Slow or raising counts as private."""
    scan_seconds: float = 0.25
    scan_here_bytes: int = 0
    """Bodies up to this size are scanned on the event loop, because handing over to a thread costs several times the
    scan. Only for a detector whose time is known to be linear in the text: any other could stop the gateway."""
    forward_key: bool = False
    """Hand the client's own key to the provider: only when no provider key is configured. Never to an engine."""
    shadows: Shadows


class RequestHandler:
    def __init__(self, joints: Joints) -> None:
        self._joints = joints
        self._scanners = ThreadPoolExecutor(max_workers=4, thread_name_prefix="insource-scan")

    async def handle(self, incoming: Incoming) -> Answer:
        """Raises only what is a bug here (and asyncio's cancellation); both are recorded before."""
        try:
            request = parse(incoming.body)
        except BadInput as error:
            return Answer(reply=error, route=None)
        state = self._joints.routing.current
        exchange = self._open(incoming, request)
        try:
            facts = await self._facts(exchange, state, len(incoming.body))
            decision = decide(facts, state.table)
            exchange.private_kinds = facts.private_kinds
            exchange.reroute(
                reason=decision.reason,
                task_id=decision.task_id,
                candidate_id=decision.candidate_id,
                certificate_id=decision.certificate_id,
                pinned=decision.pinned,
            )
            reply = await self._answer(incoming, exchange, decision=decision, state=state)
        except InsourceError as error:
            exchange.finish(error_status(error), None)
            return Answer(reply=error, route=exchange.route)
        except asyncio.CancelledError:
            exchange.finish(CLIENT_LEFT, None, incomplete="the client left before the answer")
            raise
        except Exception:
            exchange.finish(500, None)
            raise
        return Answer(reply=reply, route=exchange.route)

    async def close(self) -> None:
        self._scanners.shutdown(wait=False, cancel_futures=True)
        await self._joints.shadows.close()

    def _open(self, incoming: Incoming, request: JsonObject) -> OpenExchange:
        declared = incoming.headers.get(TASK_HEADER)
        return OpenExchange(
            recorder=self._joints.recorder,
            id=incoming.exchange_id,
            request=request,
            route=Route(upstream="none", model=str(request.get("model", "")), reason="not decided"),
            metadata={} if declared is None else {"task": declared},
        )

    async def _facts(self, exchange: OpenExchange, state: RoutingState, size_bytes: int) -> RequestFacts:
        """Both may fail, and then say so: an unscanned request is private, an unmatched one perhaps pinned."""
        request, task_id, task_known = exchange.request, None, True
        try:
            task_id = state.match(request, declared_task(request, exchange.metadata))
        except Exception:
            _LOG.exception("The task of exchange %s could not be found.", exchange.id)
            task_known = False
        try:
            private_kinds = await self._scan(request, size_bytes)
        except Exception as error:
            # Without the traceback: a detector's frames and messages may quote what it found.
            _LOG.error("Exchange %s was not scanned (%s), so it is pinned.", exchange.id, type(error).__name__)
            private_kinds = (UNSCANNED,)
        return RequestFacts(
            exchange_id=exchange.id,
            model=str(request.get("model", "")),
            task_id=task_id,
            task_known=task_known,
            private_kinds=private_kinds,
            demands=demands(request),
        )

    async def _scan(self, request: JsonObject, size_bytes: int) -> tuple[str, ...]:
        if size_bytes <= self._joints.scan_here_bytes:
            return self._joints.scan(request)
        scanning = asyncio.get_running_loop().run_in_executor(self._scanners, self._joints.scan, request)
        async with asyncio.timeout(self._joints.scan_seconds):
            return await scanning

    async def _answer(
        self, incoming: Incoming, exchange: OpenExchange, *, decision: Decision, state: RoutingState
    ) -> Reply:
        if decision.route == "refuse":
            raise PinnedUnavailable(
                f"This request must stay on this machine ({decision.reason}), and no local model is there.",
                next_step="Get one with `insource models pull`, and restart the gateway.",
            )
        if decision.route == "local":
            try:
                reply = await self._locally(exchange, decision, state)
            except InsourceError as error:
                if after_failure(decision) == "refuse":
                    raise _refusal(decision, error) from error
                exchange.metadata["fallback"] = type(error).__name__
                exchange.reroute(reason=f"fell back to the provider: {error.message}")
                reply = None
            if reply is not None:
                return reply
        return await self._by_provider(incoming, exchange, decision=decision, state=state)

    async def _locally(self, exchange: OpenExchange, decision: Decision, state: RoutingState) -> Reply | None:
        """None: the answer is below the gate."""
        request = exchange.request
        local = state.locals.get(decision.candidate_id)
        if local is None:
            raise EngineFailed(
                f"The candidate {decision.candidate_id or 'of the default model'!r} could not be loaded.",
                next_step="`insource models list` shows what is on disk; pull what is missing.",
            )
        if decision.local_only:
            exchange.reroute(upstream=local.upstream, model=local.model)
        try:
            prepared = prepare(local, request)
            if not isinstance(prepared, LocalAnswer):
                if request.get("stream") is True and local.streams and (decision.gate <= 0 or decision.local_only):
                    reply = await stream_locally(local, prepared, request)
                    exchange.reroute(upstream=local.upstream, model=local.model)
                    return relay_stream(exchange, reply)
                prepared = await ask_engine(local, prepared)
        except EngineFailed:
            if local.engine is not None:
                self._joints.routing.wake(local.engine)
            raise
        exchange.reroute(confidence=prepared.confidence)
        if after_answer(decision, prepared.confidence) == "escalate":
            exchange.metadata["escalated"] = True
            exchange.reroute(
                reason=f"escalated: confidence {prepared.confidence:.4g} is below the gate {decision.gate:.4g}"
            )
            return None
        exchange.reroute(upstream=local.upstream, model=local.model)
        created = int(exchange.created.timestamp())
        return relay_answer(exchange, client_completion(prepared, local, request, id=exchange.id, created=created))

    async def _by_provider(
        self, incoming: Incoming, exchange: OpenExchange, *, decision: Decision, state: RoutingState
    ) -> Reply:
        if decision.pinned:  # decide() and after_failure() have seen to it; a bug there must not become a leak
            raise pinned_unavailable(decision.reason, "it may not leave this machine")
        provider = self._joints.provider
        exchange.reroute(upstream=provider.name)
        headers = forwarded_headers(incoming.headers, with_key=self._joints.forward_key)
        reply = await provider.send(Call(path=CHAT_PATH, body=incoming.body, headers=headers))

        def then() -> None:
            shadow = state.locals.get(decision.shadow_candidate_id) if decision.shadow_candidate_id else None
            if shadow is not None:
                self._joints.shadows.offer(exchange, shadow, decision)

        if is_stream(reply):
            return relay_stream(exchange, reply, then=then)
        data = await reply.read()
        return relay_whole(exchange, data, status=reply.status, headers=reply.headers, then=then)


# ---------------------------------------------------------------------------------------------- pure helpers


def parse(body: bytes) -> JsonObject:
    """The body as an object; the bytes stay what is sent on. Raises BadInput."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(
            f"The body is not JSON: {error}.", next_step="Send a JSON object with `model` and `messages`."
        ) from error
    if not isinstance(request, dict):
        raise BadInput(
            f"The body is a JSON {type(request).__name__}, not an object.",
            next_step="Send a JSON object with `model` and `messages`.",
        )
    return request


def demands(request: JsonObject) -> tuple[str, ...]:
    """What the client asks for and a recipe does not give; dropping it silently would break promise 2."""
    found: list[str] = []
    if request.get("n") not in (None, 1):
        found.append("several choices")
    if request.get("logprobs"):
        found.append("log probabilities")
    if request.get("audio") is not None or "audio" in (request.get("modalities") or ()):
        found.append("audio")
    return tuple(found)


def forwarded_headers(headers: Mapping[str, str], *, with_key: bool) -> dict[str, str]:
    """The client's headers without those of the connection, without ours, and without keys unless told."""
    return {
        name: value
        for name, value in headers.items()
        if name not in _NOT_FORWARDED and not name.startswith("x-insource-") and (with_key or name not in _KEY_HEADERS)
    }


def is_stream(reply: Reply) -> bool:
    return reply.status == 200 and reply.headers.get("content-type", "").lower().startswith("text/event-stream")


def error_status(error: InsourceError) -> int:
    """For the record: what kind of failure it was. What the client gets is said in `gateway/errors.py`."""
    return 400 if isinstance(error, BadInput) else 503 if isinstance(error, EngineFailed | PinnedUnavailable) else 502


def pinned_unavailable(reason: str, why: str) -> PinnedUnavailable:
    return PinnedUnavailable(
        f"This request must stay on this machine ({reason}), and {why}.",
        next_step="Send it again in a few seconds: a stopped engine is being started. `insource doctor` says more.",
    )


def _refusal(decision: Decision, error: InsourceError) -> InsourceError:
    """A request that is itself at fault (too long, malformed) is told so, also when it is pinned."""
    if isinstance(error, BadInput) or not decision.pinned:
        return error
    return pinned_unavailable(decision.reason, f"nothing local can answer it: {error.message}")
