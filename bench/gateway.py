"""What the gateway adds to a hosted call as it is served by default: the log written, decide() on, requests scanned off
the way by processes of their own.

Three processes on one machine and the gateway's scanners: this client, a mock provider, `insource serve` before it.
Direct calls and calls through the gateway alternate in one run, so that both see the same busy machine. The client is
bare asyncio with its own few lines of HTTP, because an HTTP library's own time would hide what is measured.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import uvloop

from insource.config import Settings
from insource.core.evidence import Event
from insource.core.stores import Registry
from insource.core.values import JsonObject, Matcher, Move, OutputKind, OutputProfile, Pin, Stage, Task
from insource.gateway.server import bind, make_server
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.wire import chat
from insource.wire.sse import completion_to_sse
from insource.wiring import open_services

OUT = Path(__file__).parent / "results" / "gateway.txt"
ROUNDS = 12
LONG_REQUESTS, SHORT_REQUESTS = 600, 100_000
_GATEWAY = re.compile(r"Gateway: http://127\.0\.0\.1:(\d+)/v1")
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
COMPLETION = chat.completion(
    id="chatcmpl-bench",
    created=1,
    model="gpt-4o-mini",
    text="card_arrival",
    usage={"prompt_tokens": 90, "completion_tokens": 4, "total_tokens": 94},
)
ANSWER = msgspec.json.encode(COMPLETION)
EVENTS = list(completion_to_sse(COMPLETION, include_usage=False))
LONG_PROMPT = "word " * 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    request: JsonObject
    requests: int
    """A round and side."""
    concurrency: int = 1

    @property
    def streams(self) -> bool:
        return self.request.get("stream") is True


SCENARIOS = (
    Scenario(name="sequential", request=REQUEST, requests=250),
    Scenario(name="concurrency 10", request=REQUEST, requests=600, concurrency=10),
    Scenario(name="first byte of a stream", request={**REQUEST, "stream": True}, requests=250),
    Scenario(
        name="32,000-token prompt",
        request={**REQUEST, "messages": [{"role": "user", "content": LONG_PROMPT + "unchanged"}]},
        requests=50,
    ),
)
TARGETS = (
    "Targets at p50 on a quiet machine: sequential 0.27 ms, concurrency 10 1.6 ms, first byte 0.6 ms, long prompt 2 ms."
)


def mock_provider(port: Any) -> None:
    whole = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
    stream = [(b"content-type", b"text/event-stream")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        message = await receive()
        body: bytes = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        if b'"stream":true' not in body:
            await send({"type": "http.response.start", "status": 200, "headers": whole})
            await send({"type": "http.response.body", "body": ANSWER})
            return
        await send({"type": "http.response.start", "status": 200, "headers": stream})
        for event in EVENTS:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    _serve(app, port)


class Gateway:
    """`insource serve` as its users run it, in a process of its own."""

    def __init__(self, home: Path, provider_url: str) -> None:
        with open_services(Settings(home=home)) as services:  # pyright: ignore[reportCallIssue] - defaults
            put_moves(services.registry)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "insource.cli.main", "serve", "--port", "0"],
            env={**os.environ, **environment(home), "INSOURCE_PROVIDER_URL": provider_url, "BENCH_KEY": "sk-bench"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.port = next(int(found[1]) for line in self._process.stderr if (found := _GATEWAY.search(line)))
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._known = psutil.Process(self._process.pid)
        times = self._known.cpu_times()
        self.start_seconds = times.user + times.system

    def megabytes(self) -> float:
        return self._known.memory_info().rss / 1e6

    def scanners_megabytes(self) -> list[float]:
        return [child.memory_info().rss / 1e6 for child in self._known.children()]

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0


def environment(home: Path) -> dict[str, str]:
    return {
        "INSOURCE_HOME": str(home),
        "INSOURCE_PROVIDER_KEY_ENV": "BENCH_KEY",
        "INSOURCE_MODEL": "file:/there/is/none",
        "INSOURCE_PRIVACY": "observe",
    }


def moves_seconds(home: Path) -> float:
    """Processor time of `insource moves`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "insource.cli.main", "moves"]
    subprocess.run(command, env={**os.environ, **environment(home)}, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def put_moves(registry: Registry) -> None:
    """Twenty tasks, of which the one that is asked for has a move that does not answer yet."""
    texts = [PROMPT, *(f"Task number {n} begins with these words of its own" for n in range(19))]
    registry.put_tasks(
        Task(
            id=f"task-{n}",
            name=f"task {n}",
            matchers=(Matcher(kind="contains", value=text),),
            output=OutputProfile(kind=OutputKind.LABEL),
        )
        for n, text in enumerate(texts)
    )
    when = datetime(2026, 1, 1, tzinfo=UTC)
    registry.put_move(
        Move(
            task_id="task-0",
            candidate_id="none",
            stage=Stage.OBSERVE,
            gate=0.5,
            certificate_id=None,
            canary_share=0.1,
            changed=when,
            reason="bench",
        ),
        Event(created=when, task_id="task-0", kind="move", text="bench"),
    )
    registry.put_pin(Pin(task_id="task-7", changed=when, reason="bench"))


def _serve(app: Any, port: Any) -> None:
    listener = bind("127.0.0.1", 0)
    number = listener.getsockname()[1]
    make_server(app, on_ready=lambda: port.send(number)).run(sockets=[listener])


class Connection:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scenario: Scenario) -> None:
        self._reader, self._writer, self._streams = reader, writer, scenario.streams
        body = msgspec.json.encode(scenario.request)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
        self._request = head.encode() + b"content-type: application/json\r\nauthorization: Bearer x\r\n\r\n" + body

    async def ask(self) -> float:
        """Seconds until the answer is here, or the first byte of its body when it is a stream.

        No two customers write the same: a text that was scanned before would be too easy."""
        name = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=len(VARIED)))
        request = self._request.replace(VARIED, name.encode())
        start = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        if self._streams:
            await self._reader.readuntil(b"data: ")
            seconds = time.perf_counter() - start
            await self._reader.readuntil(b"\r\n0\r\n\r\n")
            return seconds
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert await self._reader.readexactly(length) == ANSWER
        return time.perf_counter() - start

    def close(self) -> None:
        self._writer.close()


async def connect(port: int, scenario: Scenario) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port), scenario)


async def round_of(port: int, scenario: Scenario) -> tuple[list[float], float]:
    """Latencies, and the duration of the round."""
    connections = [await connect(port, scenario) for _ in range(scenario.concurrency)]
    for connection in connections:
        await connection.ask()
    seconds: list[float] = []

    async def work(connection: Connection) -> None:
        for _ in range(scenario.requests // scenario.concurrency):
            seconds.append(await connection.ask())

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
    for scenario in SCENARIOS:
        latencies: dict[int, list[float]] = {direct: [], through: []}
        durations = {direct: 0.0, through: 0.0}
        for port in (direct, through):
            await round_of(port, scenario)  # to warm up
        for number in range(ROUNDS):
            for port in (direct, through) if number % 2 else (through, direct):
                seconds, duration = await round_of(port, scenario)
                latencies[port] += seconds
                durations[port] += duration
        shown = {"direct": direct, "through the gateway": through}
        figures = {
            key: [percentile(latencies[port], share) for share in (0.5, 0.9, 0.99)] for key, port in shown.items()
        }
        lines.append(f"{scenario.name}, n = {len(latencies[direct])} each")
        for key, port in shown.items():
            rate = len(latencies[port]) / durations[port]
            lines.append(f"  {key:22}" + "".join(f"{value:9.2f}" for value in figures[key]) + f"{rate:12.0f}")
        added = [b - a for a, b in zip(figures["direct"], figures["through the gateway"], strict=True)]
        ratio = figures["through the gateway"][0] / figures["direct"][0]
        lines.append(f"  {'added':22}" + "".join(f"{value:9.2f}" for value in added) + f"   ({ratio:.1f} x at p50)")
    return "\n".join(lines)


async def load(port: int, scenario: Scenario, requests: int, concurrency: int) -> None:
    connections = [await connect(port, scenario) for _ in range(concurrency)]
    left = iter(range(requests))

    async def work(connection: Connection) -> None:
        for _ in left:
            await connection.ask()

    await asyncio.gather(*(work(connection) for connection in connections))
    for connection in connections:
        connection.close()


async def growth(gateway: Gateway) -> str:
    """How the gateway's memory grows with what went through it, in MB."""
    lines = ["", f"Memory: after the above {gateway.megabytes():.0f} MB (target 120)"]
    await load(gateway.port, SCENARIOS[-1], LONG_REQUESTS, 4)
    lines[-1] += f", after {LONG_REQUESTS:,} more long prompts {gateway.megabytes():.0f} MB"
    before = gateway.megabytes()
    await load(gateway.port, SCENARIOS[1], SHORT_REQUESTS, 10)
    grown = gateway.megabytes() - before
    lines.append(f"{SHORT_REQUESTS:,} short requests grow it by {grown:+.1f} MB (target: less than 10).")
    shown = ", ".join(f"{each:.0f}" for each in gateway.scanners_megabytes())
    lines.append(f"Scanners: {shown} MB (target 40).")
    return "\n".join(lines)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    provider = context.Process(target=mock_provider, args=(theirs,))
    provider.start()
    direct = ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        gateway = Gateway(home, f"http://127.0.0.1:{direct}")
        table = f"Processor time: to start {gateway.start_seconds:.2f} s (target 0.8)"
        table += f", `insource moves` {moves_seconds(home):.2f} s (target 0.4). Fresh: {gateway.megabytes():.0f} MB.\n"
        try:
            table += uvloop.run(measure(direct, gateway.port))
            table += "\n" + uvloop.run(growth(gateway))
        finally:
            gateway.close()
            provider.terminate()
            provider.join(20)
        logged = open_database(f"sqlite:///{home}/insource.db")
        kinds = [exchange.private_kinds for exchange in SqlExchangeStore(logged).read()]
        logged.close()
    busy = os.getloadavg()[0]
    scanned = sum(found is not None for found in kinds) / len(kinds)
    head = f"Gateway overhead under observe: log and decide() on, scans off the way; {len(ANSWER)} byte answers; "
    head += (
        f"{os.cpu_count()} cores, load {busy:.1f} at the end; {len(kinds)} exchanges in the log, {scanned:.0%} scanned."
    )
    text = f"{head}\n{TARGETS}\n{table}\n"
    print(text)
    if "--no-save" not in sys.argv:
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(text)


if __name__ == "__main__":
    main()
