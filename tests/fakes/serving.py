"""The gateway and its neighbours for tests: scripted upstreams, a scripted recipe, a log that can be waited for, and
real loopback servers in threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from insource.core.errors import UpstreamError
from insource.core.fakes import FakeClock, FakeEngine, FakeUpstream, json_reply
from insource.core.ports import Ask, Call, Reply
from insource.core.values import Exchange, JsonObject, LocalAnswer
from insource.gateway.app import Asgi, Surface, build_app
from insource.gateway.metrics import Metrics
from insource.gateway.server import bind, make_server
from insource.routing.decide import RoutingTable
from insource.wire import chat
from insource.wire.sse import completion_to_sse
from insource.workflows.serve.answer_locally import Local
from insource.workflows.serve.handle_request import Answer, Incoming, Joints, RequestHandler
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.serve.record_exchange import Recorder
from insource.workflows.serve.shadow import Shadows

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
    return Reply(status=200, headers={"content-type": "text/event-stream"}, chunks=_chunks(chunks))


def says(text: str, *, model: str = "gpt-4o-2024") -> Answerer:
    """An upstream that always says the same, as a stream when asked for one."""

    def answer(call: Call) -> Reply:
        body = completion(text, model=model)
        if msgspec.json.decode(call.body).get("stream"):
            return stream_reply(*completion_to_sse(body, include_usage=True))
        return json_reply(body)

    return answer


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

    def record(self, exchange: Exchange) -> None:
        with self._changed:
            self.exchanges.append(exchange)
            self._changed.notify_all()

    def wait(self, n: int = 1) -> list[Exchange]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.exchanges) >= n, timeout=10), "nothing was recorded"
            return list(self.exchanges)


def flat_price(model: str, *, input_tokens: int, output_tokens: int, when: object) -> float | None:
    return 0.001 * (input_tokens + output_tokens)


def no_private_data(request: JsonObject) -> tuple[str, ...]:
    return ()


@dataclass(slots=True, kw_only=True)
class Bench:
    """A handler with everything around it scripted."""

    provider: FakeUpstream = field(default_factory=lambda: FakeUpstream(says("hosted")))
    table: RoutingTable = field(default_factory=RoutingTable)
    locals: Mapping[str | None, Local] = field(default_factory=dict[str | None, Local])
    scan: Callable[[JsonObject], tuple[str, ...]] = no_private_data
    match: Callable[[JsonObject, str | None], str | None] = lambda request, declared: "task-a"
    scan_seconds: float = 10.0
    forward_key: bool = False
    bodies: bool = True
    log: Log = field(default_factory=Log)
    clock: FakeClock = field(default_factory=FakeClock)
    routing: LiveRouting = field(init=False)
    handler: RequestHandler = field(init=False)
    revision: int = 1

    def __post_init__(self) -> None:
        self.routing = LiveRouting(self._load, revision=lambda: self.revision, clock=self.clock)
        recorder = Recorder(clock=self.clock, record=self.log.record, price=flat_price, bodies=self.bodies)
        self.handler = RequestHandler(
            Joints(
                provider=self.provider,
                routing=self.routing,
                recorder=recorder,
                scan=self.scan,
                scan_seconds=self.scan_seconds,
                forward_key=self.forward_key,
                shadows=Shadows(most=1),
            )
        )

    def _load(self) -> RoutingState:
        return RoutingState(revision=self.revision, table=self.table, match=self.match, locals=self.locals)

    async def ask(self, body: JsonObject | bytes, headers: Mapping[str, str] | None = None) -> Answer:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.handler.handle(Incoming(exchange_id="ex-1", body=data, headers=headers or {}))

    async def read(self, body: JsonObject | bytes, headers: Mapping[str, str] | None = None) -> tuple[Answer, bytes]:
        """The answer with its bytes, read and closed as the gateway does."""
        answer = await self.ask(body, headers)
        assert isinstance(answer.reply, Reply), answer.reply
        return answer, await answer.reply.read()

    async def settle(self) -> None:
        """Until the background work (shadows, engine starts) of this loop is done."""
        while len(tasks := asyncio.all_tasks() - {asyncio.current_task()}):
            await asyncio.wait(tasks)

    def app(self) -> Asgi:
        return build_app(
            Surface(
                handler=self.handler,
                routing=self.routing,
                provider=self.provider,
                metrics=Metrics(),
                forward_key=self.forward_key,
                max_body_bytes=100_000,
                refresh_seconds=0.01,
            )
        )


async def ready_engine(answer: Answerer) -> FakeEngine:
    engine = FakeEngine(answer)
    await engine.start()
    return engine


class ServerThread:
    """An ASGI application on a loopback port, served by the gateway's own server in a thread."""

    def __init__(self, app: Asgi) -> None:
        self._ready = threading.Event()
        self._socket = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = make_server(app, on_ready=self._ready.set)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


@dataclass(slots=True, kw_only=True)
class FakeProvider:
    """A hosted API as a loopback application. `answer(path, body) -> (status, headers, chunks)`; it keeps what it got.
    An answer whose last chunk is None is cut there."""

    answer: Callable[[str, bytes], tuple[int, dict[str, str], list[bytes | None]]]
    calls: list[tuple[str, dict[str, str], bytes]] = field(
        default_factory=list[tuple[str, dict[str, str], bytes]], init=False
    )
    client_left: threading.Event = field(default_factory=threading.Event, init=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        body, message = b"", await receive()
        body += message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append((scope["path"], headers, body))
        status, answer_headers, chunks = self.answer(scope["path"], body)
        encoded = [(name.encode(), value.encode()) for name, value in answer_headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        for chunk in chunks:
            if chunk is None:
                return
            if chunk == b"wait":
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.client_left.set()
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
