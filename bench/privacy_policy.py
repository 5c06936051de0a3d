"""What a privacy policy adds to a hosted call of 4 kB, beside a gateway that only observes, in the same run.

Four gateways before one mock provider: observe, and a policy of local, refuse and mask. The requests of local and
refuse hold nothing that the policy names, those of mask an e-mail address, so that all of them reach the provider. The
client asks each gateway in turn; no two requests are alike. Also: how fast `insource privacy test` goes through a log.

    python bench/privacy_policy.py [--no-save] [--log EXCHANGES]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from bench.gateway import mock_provider, percentile

from insource.config import Settings
from insource.core.policy import ALL, UNREADABLE, Action, Policy, Rule
from insource.core.values import Exchange, JsonObject
from insource.gateway.server import bind, gateway_app, make_server
from insource.wiring import open_services
from insource.workflows.serve.rehearse import rehearse
from insource.workflows.serve.save_policy import save_policy

OUT = Path(__file__).parent / "results" / "privacy_policy.txt"
ROUNDS, REQUESTS = 12, 60
WORDS = (
    "could you check whether the parcel that I sent to the shop last week has arrived and tell me why nobody answers"
)
TARGETS = "Targets, added p50 beside observe: mask at most 3 ms, local and refuse at most 1.5 ms."
LOG_EXCHANGES = 100_000


def text(rng: random.Random, size_bytes: int) -> str:
    words = WORDS.split()
    return " ".join(rng.choice(words) for _ in range(size_bytes // 5))[:size_bytes]


def body(rng: random.Random, *, private: bool) -> bytes:
    """Three messages, 4 kB in all."""
    mine = f" Write to ada{rng.randrange(10**6)}@lovelace-mail.org." if private else ""
    messages = [
        {"role": "system", "content": "You answer the customers of a shop. " + WORDS * 4},
        {"role": "user", "content": text(rng, 1700)},
        {"role": "user", "content": text(rng, 1700) + mine},
    ]
    return msgspec.json.encode({"model": "gpt-4o-mini", "temperature": 0, "messages": messages})


def gateway(port: Any, provider_url: str, folder: str, action: str) -> None:
    if action != "observe":
        rule = Rule(action=action)  # pyright: ignore[reportArgumentType] - one of the actions
        save_policy(Path(folder) / "privacy.toml", Policy(kinds={ALL: rule, UNREADABLE: rule}))
    given: dict[str, Any] = {"home": Path(folder), "provider_url": provider_url, "model": "file:/there/is/none"}
    with open_services(Settings(**given)) as services:
        listener = bind("127.0.0.1", 0)
        number = listener.getsockname()[1]
        make_server(gateway_app(services), on_ready=lambda: port.send(number)).run(sockets=[listener])


class Client:
    """One kept-alive connection; bare, because an HTTP library's own time would hide what is measured."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, data: bytes) -> float:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n"
        start = time.perf_counter()
        self._writer.write(head.encode() + b"content-type: application/json\r\nauthorization: Bearer x\r\n\r\n" + data)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return time.perf_counter() - start


async def measure(ports: dict[str, int]) -> dict[str, list[float]]:
    rng = random.Random(1)
    seconds: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(ROUNDS + 1):
        for name in sorted(ports, key=lambda _: rng.random()):
            async with Client(ports[name]) as client:
                bodies = [body(rng, private=name == "mask") for _ in range(REQUESTS)]
                found = [await client.ask(data) for data in bodies]
            if number:  # the first round warms up
                seconds[name] += found
    return seconds


def table(seconds: dict[str, list[float]]) -> str:
    lines = [f"{'p50, p90, p99 in ms; added p50':32}{'p50':>8}{'p90':>8}{'p99':>8}{'added':>8}"]
    base = percentile(seconds["observe"], 0.5)
    for name, values in seconds.items():
        p50, p90, p99 = (percentile(values, share) for share in (0.5, 0.9, 0.99))
        lines.append(f"  {name:30}{p50:8.2f}{p90:8.2f}{p99:8.2f}{p50 - base:8.2f}")
    return "\n".join(lines)


def exchanges(number: int) -> list[Exchange]:
    """Of a help desk: a system prompt that comes again, and a message of its own; one in ten holds an address."""
    rng = random.Random(2)
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    made: list[Exchange] = []
    for n in range(number):
        mine = f" I am at ada{n}@lovelace-mail.org." if n % 10 == 0 else ""
        request: JsonObject = {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You answer the customers of a shop. " + WORDS * 2},
                {"role": "user", "content": text(rng, 600) + mine},
            ],
        }
        response: JsonObject = {"choices": [{"message": {"content": text(rng, 200)}}]}
        made.append(Exchange(id=f"e{n}", created=begin + timedelta(seconds=n), request=request, response=response))
    return made


def replay(folder: Path, number: int) -> str:
    actions: dict[str, Action] = {"email": "mask", "secret": "refuse", "card": "local"}
    policy = Policy(kinds={kind: Rule(action=action) for kind, action in actions.items()})
    with open_services(Settings(home=folder)) as services:  # pyright: ignore[reportCallIssue]
        services.exchanges.append(exchanges(number))
        start, used = time.perf_counter(), _processor_seconds()
        found = rehearse(services, policy)
        seconds, used = time.perf_counter() - start, _processor_seconds() - used
    assert found.requests == number
    assert found.actions["mask"] == number // 10
    took = f"{seconds:.1f} s, {used:.1f} s of processor time"
    return f"privacy test: {number:,} exchanges of 1.1 kB in {took} (target: 100,000 in 60 s)."


def _processor_seconds() -> float:
    """Of this process and of its scanners, which have ended."""
    own, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime


def main() -> None:
    wanted = int(sys.argv[sys.argv.index("--log") + 1]) if "--log" in sys.argv else LOG_EXCHANGES
    context = multiprocessing.get_context("spawn")
    processes: list[Any] = []

    def start(target: Any, *args: object) -> int:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *args))
        process.start()
        processes.append(process)
        return ours.recv()

    with tempfile.TemporaryDirectory() as folder:
        provider = start(mock_provider)
        try:
            ports = {
                action: start(gateway, f"http://127.0.0.1:{provider}", f"{folder}/{action}", action)
                for action in ("observe", "local", "refuse", "mask")
            }
            found = table(uvloop.run(measure(ports)))
        finally:
            for process in reversed(processes):
                process.terminate()
                process.join(20)
        log = replay(Path(folder) / "log", wanted) if wanted else ""
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    head = f"A privacy policy's cost on requests of 4 kB; {machine}."
    shown = f"{head}\n{TARGETS}\nn = {ROUNDS * REQUESTS} each\n\n{found}\n\n{log}\n"
    print(shown)
    if "--no-save" not in sys.argv:
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(shown)


if __name__ == "__main__":
    main()
