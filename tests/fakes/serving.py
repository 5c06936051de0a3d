"""The gateway and its neighbours for tests: scripted upstreams, a scripted recipe, a log that can be waited for.
Not here: servers on loopback (servers.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from insource.core.errors import UpstreamError
from insource.core.evidence import Event
from insource.core.fakes import FakeClock, FakeDetector, FakeEngine, FakeUpstream, json_reply
from insource.core.headers import EVENT_STREAM, Headers, header
from insource.core.policy import KEEP_HERE, WATCH, Policy
from insource.core.ports import Ask, Call, Demand, Engine, Reply
from insource.core.scanning import Examined, ScanJob
from insource.core.values import (
    CHAT_ENDPOINT,
    EngineSettings,
    Exchange,
    JsonObject,
    LocalAnswer,
    Model,
    Move,
    Route,
    Stage,
)
from insource.gateway.app import Surface, build_app
from insource.gateway.guard import Guard
from insource.gateway.http import Asgi
from insource.gateway.metrics import Metrics
from insource.gateway.own_pages import OwnPages
from insource.routing.decide import LOCAL_PREFIX, RoutingTable
from insource.routing.share import SharePlan
from insource.traffic.request_scan import examine
from insource.wire import chat, json_text
from insource.wire.sse import completion_to_sse
from insource.workflows.asking import Local
from insource.workflows.serve.check_privacy import PrivacyCheck
from insource.workflows.serve.engine_pool import EnginePool
from insource.workflows.serve.handle_request import Answer, Joints, RequestHandler
from insource.workflows.serve.incoming import Incoming
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.serve.record_exchange import Recorder
from insource.workflows.serve.scans import Scans
from insource.workflows.serve.shadow import Shadows
from insource.workflows.serve.share import Shares

Answerer = Callable[[Call], Reply]


def completion(text: str, *, model: str = "gpt-4o-2024") -> JsonObject:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return chat.completion(id="chatcmpl-1", created=1, model=model, text=text, usage=usage)


def request(text: str = "hello", **more: Any) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


async def _chunks(chunks: Iterable[bytes | Exception]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


def stream_reply(*chunks: bytes | Exception) -> Reply:
    return Reply(status=200, headers=EVENT_STREAM, chunks=_chunks(chunks))


def says(text: str, *, model: str = "gpt-4o-2024") -> Answerer:
    """An upstream that always says the same, as a stream when asked for one."""

    def answer(call: Call) -> Reply:
        body = completion(text, model=model)
        if asks_for_stream(call.body):
            return stream_reply(*completion_to_sse(body, include_usage=True))
        return json_reply(body)

    return answer


def asks_for_stream(body: bytes) -> bool:
    try:
        asked = json_text.decode(body)
    except ValueError:
        return False
    return isinstance(asked, dict) and asked.get("stream") is True


def fails(error: Exception) -> Answerer:
    def answer(call: Call) -> Reply:
        raise error

    return answer


def cut_stream() -> Reply:
    events = list(completion_to_sse(completion("half an answer"), include_usage=False))
    return stream_reply(events[0], events[1][:20], UpstreamError("The answer was cut.", next_step="Send it again."))


@dataclass(slots=True, kw_only=True)
class FixedRecipe:
    """A fitted recipe with a set confidence; `needs_model=False` answers by itself."""

    confidence: float = 0.9
    needs_model: bool = True
    error: Exception | None = None
    asked: list[JsonObject] = field(default_factory=list[JsonObject])

    def prepare(self, request: JsonObject) -> Ask | LocalAnswer:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        if not self.needs_model:
            return LocalAnswer(text="by the recipe", confidence=self.confidence)
        return Ask(body={"messages": request["messages"], "logprobs": True, "stream": request.get("stream", False)})

    def read(self, completion: JsonObject) -> LocalAnswer:
        return LocalAnswer(text=chat.answer_text(completion) or "", confidence=self.confidence, completion=completion)

    def artifact(self) -> bytes:
        return b"{}"


class Log:
    """Recorded exchanges; `wait` blocks until there are `n`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.exchanges: list[Exchange] = []

    def record(self, exchange: Exchange, body: bytes) -> None:
        with self._changed:
            self.exchanges.append(exchange)
            self._changed.notify_all()

    def wait(self, n: int = 1) -> list[Exchange]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.exchanges) >= n, timeout=10), "nothing was recorded"
            return list(self.exchanges)


def flat_price(model: str, *, input_tokens: int, output_tokens: int, when: object) -> float | None:
    return 0.001 * (input_tokens + output_tokens)


def finds(word: str) -> Callable[[ScanJob], Examined]:
    """A scan of whole requests that finds one word, wherever it stands."""
    return lambda job: examine(job, FakeDetector(word))


@dataclass(frozen=True, slots=True)
class SentBody:
    """The bytes of a request, in pieces of a few bytes where they are read as they come."""

    data: bytes
    piece_bytes: int = 7

    async def whole(self) -> bytes:
        return self.data

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), self.piece_bytes):
            yield self.data[start : start + self.piece_bytes]


def _no_engine(model: Model, settings: EngineSettings) -> Engine:
    raise AssertionError("a bench brings its own engines")


@dataclass(slots=True, kw_only=True)
class Bench:
    """A handler with everything around it scripted. It observes, unless `scan` or `scans` are set: then the policy is
    `policy`."""

    provider: FakeUpstream = field(default_factory=lambda: FakeUpstream(says("hosted")))
    provider_url: str = "https://provider.example"
    table: RoutingTable = field(default_factory=RoutingTable)
    locals: Mapping[str, Local] = field(default_factory=dict[str, Local])
    """Candidates by id and models by `local/NAME`. The table's names and demands are taken from here."""
    private_model: str | None = None
    """Name of the `local/NAME` that the user chose for private requests."""
    scan: Callable[[ScanJob], Examined] | None = None
    scans: Scans | None = None
    policy: Policy = KEEP_HERE
    forward_headers: frozenset[str] = frozenset()
    events: list[Event] = field(default_factory=list[Event])
    match: Callable[[JsonObject, str | None], str | None] = lambda request, declared: "task-a"
    forward_key: bool = False
    bodies: bool = True
    guard: Guard = field(default_factory=Guard)
    feedback: Callable[[JsonObject], Awaitable[None]] | None = None
    log: Log = field(default_factory=Log)
    clock: FakeClock = field(default_factory=FakeClock)
    plan: SharePlan = field(default_factory=lambda: SharePlan(share=0.0, usd_per_day=1.0))
    may_switch: bool = False
    shares: Shares = field(init=False)
    routing: LiveRouting = field(init=False)
    handler: RequestHandler = field(init=False)
    revision: int = 1

    def __post_init__(self) -> None:
        self.shares = Shares(self.plan, self.clock)
        pool = EnginePool(make=_no_engine, clock=self.clock)
        self.routing = LiveRouting(self._load, revision=lambda: self.revision, pool=pool, idle_seconds=0)
        recorder = Recorder(
            clock=self.clock, record=self.log.record, price=flat_price, bodies=self.bodies, note=self.events.append
        )
        scan = self._scan if self.scans is None else self.scans.examine
        self.handler = RequestHandler(
            Joints(
                provider=self.provider,
                provider_url=self.provider_url,
                routing=self.routing,
                recorder=recorder,
                privacy=PrivacyCheck(policy=self.in_force, scan=scan, forward_headers=self.forward_headers),
                forward_key=self.forward_key,
                shadows=Shadows(most=1),
                shares=self.shares,
                may_switch=self.may_switch,
            ),
            scans=self.scans,
        )

    def in_force(self) -> Policy:
        return WATCH if self.scan is None and self.scans is None else self.policy

    async def _scan(self, job: ScanJob) -> Examined:
        assert self.scan is not None
        return self.scan(job)

    def _load(self) -> RoutingState:
        models = {key.removeprefix(LOCAL_PREFIX) for key in self.locals if key.startswith(LOCAL_PREFIX)}
        table = replace(
            self.table,
            private_model=self.private_model,
            local_models=frozenset(models),
            honours={key.removeprefix(LOCAL_PREFIX): local.honours for key, local in self.locals.items()},
            elsewhere=frozenset(
                key.removeprefix(LOCAL_PREFIX)
                for key, local in self.locals.items()
                if local.engine is not None and not local.engine.is_here
            ),
        )
        return RoutingState(
            revision=self.revision, table=table, match=self.match, locals=self.locals, warm=frozenset(self.locals)
        )

    async def ask(
        self,
        body: JsonObject | bytes,
        headers: Headers = (),
        *,
        method: str = "POST",
        path: str = CHAT_ENDPOINT,
        query: str = "",
        exchange_id: str = "ex-1",
    ) -> Answer:
        """The body's length is stated, as a client would, unless a header says that it comes in chunks."""
        data = body if isinstance(body, bytes) else json_text.encode(body)
        if data and header(headers, "transfer-encoding") is None:
            headers = (*headers, ("content-length", str(len(data))))
        sent = SentBody(data)
        return await self.handler.handle(
            Incoming(exchange_id=exchange_id, method=method, path=path, query=query, headers=headers, body=sent)
        )

    async def read(self, body: JsonObject | bytes, headers: Headers = (), **more: str) -> tuple[Answer, bytes]:
        """The answer with its bytes, read and closed as the gateway does."""
        answer = await self.ask(body, headers, **more)
        assert isinstance(answer.reply, Reply), answer.reply
        return answer, await answer.reply.read()

    async def settle(self) -> None:
        """Until the background work (shadows, engine starts) of this loop is done."""
        while len(tasks := asyncio.all_tasks() - {asyncio.current_task()}):
            await asyncio.wait(tasks)

    def app(self) -> Asgi:
        metrics = Metrics()
        return build_app(
            Surface(
                handler=self.handler,
                routing=self.routing,
                provider=self.provider,
                metrics=metrics,
                own=OwnPages(routing=self.routing, metrics=metrics, policy=self.in_force, feedback=self.feedback),
                guard=self.guard,
                refresh_seconds=0.01,
            )
        )


def moved(
    stage: Stage = Stage.LIVE, *, gate: float = 0.5, certificate: str | None = "cert-1", pinned: bool = False
) -> RoutingTable:
    """A table in which `task-a` has a move to the candidate `cand`, and perhaps a pin."""
    move = Move(
        task_id="task-a",
        candidate_id="cand",
        stage=stage,
        gate=gate,
        certificate_id=certificate,
        canary_share=0.5,
        changed=datetime(2026, 1, 1, tzinfo=UTC),
        reason="test",
    )
    return RoutingTable(moves={"task-a": move}, pinned_tasks=frozenset({"task-a"} if pinned else ()))


def candidate(
    engine: FakeEngine | None,
    recipe: FixedRecipe,
    *,
    streams: bool = False,
    honours: frozenset[Demand] = frozenset(),
) -> Local:
    return Local(model="small", engine=engine, fitted=recipe, recipe="prompt", streams=streams, honours=honours)


def route_of(bench: Bench) -> Route:
    """Of the only exchange in the log."""
    (exchange,) = bench.log.exchanges
    assert exchange.route is not None
    return exchange.route


async def ready_engine(answer: Answerer) -> FakeEngine:
    engine = FakeEngine(answer)
    await engine.start()
    return engine
