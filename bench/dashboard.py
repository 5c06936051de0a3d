"""How long each page of the dashboard takes over a large log: median and worst of several openings, in milliseconds.

`python bench/dashboard.py [EXCHANGES]` (default 1,000,000) makes a store in a temporary folder, by SQL for speed, and
asks the ASGI application in this process. Writes bench/results/dashboard.json.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx
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


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder, open_services(load_settings(home=Path(folder))) as services:
        started = time.perf_counter()
        fill(services, n)
        print(f"{n:,} exchanges written in {time.perf_counter() - started:.0f} s")
        rows = asyncio.run(measure(services))
    document = {"exchanges": n, "openings": OPENINGS, "pages": rows}
    Path(__file__).with_name("results").joinpath("dashboard.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
