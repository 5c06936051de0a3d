"""What a dashboard over a large log costs: milliseconds a page, the size of the store, and the processor while idle.

`python bench/dashboard.py [EXCHANGES]` (default 1,000,000) makes a store in a temporary folder and asks the ASGI
application in this process for each page. Then `insource serve` runs over that store, and the overview is asked for
again as often as an open one asks for itself; counted is the processor time of the gateway and of all it started.
Writes bench/results/dashboard_EXCHANGES.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
from tests.fakes.dashboard import Browser, client_of, task
from tests.fakes.evidence import START, candidate, evaluation
from tests.fakes.serving import completion, request

from insource.cli.session import load_settings
from insource.core.evidence import Event
from insource.core.values import Exchange, Route
from insource.wiring import open_services
from insource.workflows.services import Services

PAGES = ("", "?days=365", "tasks", "tasks/t1", "review", "requests", "requests?where=private", "requests?task=t1",
         "requests?text=number 999", "requests/e0000010", "privacy", "plan")  # fmt: skip
OPENINGS = 7
TASKS = 8
IDLE_SECONDS = 90
"""Six times the overview asks for itself."""
_BATCH = 20_000


def fill(services: Services, n: int) -> None:
    """90 days of traffic, a tenth of it answered here."""
    here = Route(upstream="engine:head", model="head", reason="above the gate", task_id="t1", candidate_id="head-1")
    hosted = Route(upstream="provider:openai", model="gpt-4o", reason="observed")
    step = timedelta(days=90) / n
    for start in range(0, n, _BATCH):
        services.exchanges.append(
            Exchange(
                id=f"e{number:07}",
                created=START + number * step,
                request=request(f"number {number}: " + "some words of a customer " * 12),
                response=completion("an answer of a few words"),
                latency_seconds=0.4,
                cost_usd=0.0004,
                private_kinds=("email",) if number % 50 == 0 else (),
                route=here if number % 10 == 0 else hosted,
            )
            for number in range(start, min(start + _BATCH, n))
        )
    services.registry.put_tasks([task(f"t{number}", name=f"Task {number}") for number in range(TASKS)])
    services.exchanges.assign({f"e{number:07}": f"t{number % TASKS}" for number in range(n)})
    services.registry.put_candidate(candidate("head-1"))
    services.evidence.put_evaluation(evaluation("head-1", certificate_id=None))
    services.registry.put_events(
        Event(created=START, task_id="t1", kind="privacy", text=f"Request {number} was masked.")
        for number in range(2_000)
    )


async def measure(services: Services) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    async with client_of(services) as client:
        client.timeout = httpx.Timeout(600)
        browser = Browser(client)
        for path in PAGES:
            times: list[float] = []
            for _ in range(OPENINGS):
                started = time.perf_counter()
                await browser.get(path)
                times.append(1000 * (time.perf_counter() - started))
            rows.append(
                {"page": path, "first_ms": times[0], "median_ms": statistics.median(times), "worst_ms": max(times)}
            )
            print(f"{path or 'overview':<28} first {times[0]:9.1f}  median {statistics.median(times):8.1f} ms")
    return rows


def payload_bytes(services: Services) -> int:
    """Of requests and answers as compact JSON."""
    kept = (part for each in services.exchanges.read() for part in (each.request, each.response) if part is not None)
    return sum(len(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode()) for part in kept)


def store_bytes(home: Path) -> int:
    """Of the database with its journal."""
    return sum(file.stat().st_size for file in home.glob("*.db*"))


@contextmanager
def serving(home: Path) -> Generator[tuple[psutil.Process, str]]:
    """The gateway's process and the address of its dashboard, token included."""
    command = [sys.executable, "-m", "insource.cli.main", "serve", "--port", "0", "--json"]
    environment = {**os.environ, "INSOURCE_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield psutil.Process(process.pid), str(json.loads(process.stdout.readline())["dashboard"])
        finally:
            process.terminate()


def cpu_seconds(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(times.user + times.system for times in (each.cpu_times() for each in family))


def idle_share(home: Path) -> tuple[float, float]:
    """Of one core: nobody looking, and the overview open."""
    shares: list[float] = []
    with serving(home) as (process, address), httpx.Client(follow_redirects=True, timeout=600) as client:
        page = client.get(address).raise_for_status()
        every = int(re.findall(r'data-live="(\d+)"', page.text)[0])
        for is_open in (False, True):
            time.sleep(every)
            before, started = cpu_seconds(process), time.perf_counter()
            while time.perf_counter() - started < IDLE_SECONDS:
                time.sleep(every)
                if is_open:
                    client.get(page.url).raise_for_status()
            shares.append((cpu_seconds(process) - before) / (time.perf_counter() - started))
    closed, opened = shares
    return closed, opened


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_services(load_settings(home=home)) as services:
            started = time.perf_counter()
            fill(services, n)
            print(f"{n:,} exchanges written in {time.perf_counter() - started:.0f} s")
            payload, stored = payload_bytes(services), store_bytes(home)
            print(f"store {stored / 1e6:,.1f} MB, payload {payload / 1e6:,.1f} MB: {stored / payload:.2f} times")
            rows = asyncio.run(measure(services))
        closed, opened = idle_share(home)
        print(f"idle: {closed:.2%} of a core; with the overview open: {opened:.2%}")
    document = {
        "exchanges": n,
        "payload_bytes": payload,
        "store_bytes": stored,
        "idle_core_share": closed,
        "open_core_share": opened,
        "openings": OPENINGS,
        "pages": rows,
    }
    results = Path(__file__).with_name("results")
    results.joinpath(f"dashboard_{n}.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
