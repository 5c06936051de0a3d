"""What the gateway adds to a hosted call: with the log written, the privacy scan and decide() on.

Four processes on one machine: this client, a mock provider, the gateway before it. Direct calls and calls through the
gateway alternate in one run, so that both see the same busy machine. The client is bare asyncio with its own few lines
of HTTP, because an HTTP library's own time would hide what is measured.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from insource.core.values import Exchange, JsonObject, Matcher, Move, OutputKind, OutputProfile, Stage, Task
from insource.gateway.app import Surface, build_app
from insource.gateway.metrics import Metrics
from insource.gateway.server import bind, make_server
from insource.providers.openai_compatible import OpenAICompatible
from insource.providers.prices import price_usd
from insource.routing.decide import RoutingTable
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.store.writer import BatchingWriter
from insource.traffic.matcher import compile_matchers
from insource.traffic.privacy import PatternDetector
from insource.traffic.request_scan import live_scan
from insource.wire import chat
from insource.workflows.serve.handle_request import Joints, RequestHandler
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.serve.price_rates import PriceRates
from insource.workflows.serve.record_exchange import Recorder
from insource.workflows.serve.shadow import Shadows

OUT = Path(__file__).parent / "results" / "gateway.txt"
ROUNDS = 12
SEQUENTIAL = 250  # requests per round and side
CONCURRENT = 600
PROMPT = "You sort customer messages of a bank into intents. Answer with the name of one intent and nothing else. "
INTENTS = "card_arrival lost_or_stolen_card top_up_failed exchange_rate pending_cash_withdrawal request_refund "
REQUEST: JsonObject = {
    "model": "gpt-4o-mini",
    "temperature": 0,
    "messages": [
        {"role": "system", "content": PROMPT + INTENTS * 3},
        {"role": "user", "content": "I ordered my new card over a week ago and it has not come yet. Yours, unchanged"},
    ],
}
VARIED = b"unchanged"
ANSWER = msgspec.json.encode(
    chat.completion(
        id="chatcmpl-bench",
        created=1,
        model="gpt-4o-mini",
        text="card_arrival",
        usage={"prompt_tokens": 90, "completion_tokens": 4, "total_tokens": 94},
    )
)


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def mock_provider(port: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    _serve(app, port)


def gateway(port: Any, provider_url: str, folder: str) -> None:
    database = open_database(f"sqlite:///{folder}/bench.db")
    writer = BatchingWriter(SqlExchangeStore(database))
    metrics = Metrics(waiting=lambda: writer.health().waiting)

    def record(exchange: Exchange) -> None:
        writer.record(exchange)
        metrics.observe(exchange)

    routing = LiveRouting(routing_state, revision=lambda: 1, clock=RealClock())
    provider, detector = OpenAICompatible(provider_url, key="sk-bench"), PatternDetector()
    handler = RequestHandler(
        Joints(
            provider=provider,
            routing=routing,
            recorder=Recorder(clock=RealClock(), record=record, price=PriceRates(price_usd)),
            scan=live_scan(detector, seconds=1.0, clock=RealClock()),
            scan_here_bytes=16 * 1024,
            shadows=Shadows(),
        )
    )
    price_usd("gpt-4o-mini", input_tokens=1, output_tokens=1, when=datetime.now(UTC))
    surface = Surface(handler=handler, routing=routing, provider=provider, metrics=metrics)
    _serve(build_app(surface), port)
    health = writer.close()
    assert health.dropped == 0, health
    database.close()


def routing_state() -> RoutingState:
    """Twenty tasks, of which the one that is asked for has a move that does not answer yet."""
    texts = [PROMPT, *(f"Task number {n} begins with these words of its own" for n in range(19))]
    tasks = [
        Task(
            id=f"task-{n}",
            name=f"task {n}",
            matchers=(Matcher(kind="contains", value=text),),
            output=OutputProfile(kind=OutputKind.LABEL),
        )
        for n, text in enumerate(texts)
    ]
    move = Move(
        task_id="task-0",
        candidate_id="none",
        stage=Stage.OBSERVE,
        gate=0.5,
        certificate_id=None,
        canary_share=0.1,
        changed=datetime(2026, 1, 1, tzinfo=UTC),
        reason="bench",
    )
    table = RoutingTable(moves={"task-0": move}, pinned_tasks=frozenset({"task-7"}))
    return RoutingState(revision=1, table=table, match=compile_matchers(tasks), locals={})


def _serve(app: Any, port: Any) -> None:
    listener = bind("127.0.0.1", 0)
    number = listener.getsockname()[1]
    make_server(app, on_ready=lambda: port.send(number)).run(sockets=[listener])


class Connection:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        body = msgspec.json.encode(REQUEST)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n"
        self._request = head.encode() + b"content-type: application/json\r\nauthorization: Bearer x\r\n\r\n" + body

    async def ask(self) -> None:
        """No two customers write the same: a text that was scanned before would be too easy."""
        name = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=len(VARIED)))
        self._writer.write(self._request.replace(VARIED, name.encode()))
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert await self._reader.readexactly(length) == ANSWER

    def close(self) -> None:
        self._writer.close()


async def connect(port: int) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port))


async def timed(ask: Callable[[], Awaitable[None]], seconds: list[float]) -> None:
    start = time.perf_counter()
    await ask()
    seconds.append(time.perf_counter() - start)


async def round_of(port: int, requests: int, concurrency: int) -> tuple[list[float], float]:
    """Latencies, and the duration of the round."""
    connections = [await connect(port) for _ in range(concurrency)]
    for connection in connections:
        await connection.ask()
    seconds: list[float] = []

    async def work(connection: Connection) -> None:
        for _ in range(requests // concurrency):
            await timed(connection.ask, seconds)

    start = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    duration = time.perf_counter() - start
    for connection in connections:
        connection.close()
    return seconds, duration


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


async def measure(direct: int, through: int) -> str:
    lines = ["", f"{'':24}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'requests/s':>12}"]
    for name, requests, concurrency in (("sequential", SEQUENTIAL, 1), ("concurrency 10", CONCURRENT, 10)):
        latencies: dict[int, list[float]] = {direct: [], through: []}
        durations = {direct: 0.0, through: 0.0}
        for port in (direct, through):
            await round_of(port, requests, concurrency)  # to warm up
        for number in range(ROUNDS):
            for port in (direct, through) if number % 2 else (through, direct):
                seconds, duration = await round_of(port, requests, concurrency)
                latencies[port] += seconds
                durations[port] += duration
        shown = {"direct": direct, "through the gateway": through}
        figures = {
            key: [percentile(latencies[port], share) for share in (0.5, 0.9, 0.99)] for key, port in shown.items()
        }
        lines.append(f"{name}, n = {len(latencies[direct])} each")
        for key, port in shown.items():
            rate = len(latencies[port]) / durations[port]
            lines.append(f"  {key:22}" + "".join(f"{value:9.2f}" for value in figures[key]) + f"{rate:12.0f}")
        added = [b - a for a, b in zip(figures["direct"], figures["through the gateway"], strict=True)]
        ratio = figures["through the gateway"][0] / figures["direct"][0]
        lines.append(f"  {'added':22}" + "".join(f"{value:9.2f}" for value in added) + f"   ({ratio:.1f} x at p50)")
    return "\n".join(lines)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    processes: list[Any] = []

    def start(target: Callable[..., None], *args: object) -> int:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *args))
        process.start()
        processes.append(process)
        return ours.recv()

    with tempfile.TemporaryDirectory() as folder:
        provider = start(mock_provider)
        through = start(gateway, f"http://127.0.0.1:{provider}", folder)
        try:
            table = uvloop.run(measure(provider, through))
        finally:
            for process in reversed(processes):
                process.terminate()
                process.join(20)
        logged = open_database(f"sqlite:///{folder}/bench.db")
        recorded = SqlExchangeStore(logged).count()
        logged.close()
    load = os.getloadavg()[0]
    head = f"Gateway overhead: log, privacy scan (patterns) and decide() on; {len(ANSWER)} byte answers; "
    head += f"{os.cpu_count()} cores, load {load:.1f} at the end; {recorded} exchanges in the log."
    text = f"{head}\nTargets: at most 1.5 ms added at p50 sequential, 4 ms at concurrency 10.\n{table}\n"
    print(text)
    if "--no-save" not in sys.argv:
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(text)


if __name__ == "__main__":
    main()
