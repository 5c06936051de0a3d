"""What a faulty upstream does, to a client of its own and to one behind a fresh gateway: the same for both, and in the
log never an answer that was none. The table of all of it is docs/faults.md (`make faults` writes it).
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from insource.cli.session import load_settings
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange
from insource.evals.examples import to_example
from insource.gateway.server import gateway_app
from insource.wiring import open_services
from insource.workflows.services import Services
from tests.fakes.servers import ServerThread
from tests.faults.scripts import WHOLE_ANSWERS, Fault
from tests.faults.stream_scripts import STREAMS
from tests.faults.upstream import FaultyUpstream

STALL_SECONDS = 1.0
ENCODINGS = "gzip, deflate, br, zstd"
FAULTS: Mapping[str, Fault] = {
    **{f"answer: {name}": fault for name, fault in WHOLE_ANSWERS.items()},
    **{f"stream: {name}": fault for name, fault in STREAMS.items()},
}
TABLE = Path(__file__).parents[2] / "docs" / "faults.md"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client got."""

    status: int | None
    """None: no answer."""
    body: bytes
    error: bool
    """The answer did not come to its end."""

    def __str__(self) -> str:
        if self.status is None:
            return "no answer"
        return f"{self.status}, {'cut' if self.error else 'as sent'}"


@dataclass(slots=True)
class World:
    upstream: FaultyUpstream
    gateway_url: str
    services: Services

    def log(self, exchange_id: str) -> Exchange:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = list(self.services.exchanges.read(ExchangeFilter(ids=frozenset({exchange_id}))))
            if found:
                return found[0]
            time.sleep(0.02)
        raise AssertionError("the exchange was not recorded")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home = tmp_path_factory.mktemp("home")
    with FaultyUpstream({name: fault.script for name, fault in FAULTS.items()}) as upstream:
        settings = load_settings(
            home=home,
            model_cache=home / "models",
            provider_url=upstream.url,
            first_byte_seconds=STALL_SECONDS,
            between_chunks_seconds=STALL_SECONDS,
        )
        with open_services(settings) as services, ServerThread(gateway_app(services)) as server:
            yield World(upstream, server.url, services)


def ask(base_url: str, name: str, fault: Fault, *, timeout: float) -> tuple[Heard, httpx.Headers]:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    body = {"model": "gpt-4o", "messages": question, **({"stream": True} if fault.stream else {})}
    got, headers, status = bytearray(), httpx.Headers(), None
    try:
        with (
            httpx.Client(timeout=timeout) as client,
            client.stream(
                "POST",
                f"{base_url}/v1/chat/completions",
                json=body,
                headers={
                    "x-fault": name,
                    "authorization": "Bearer sk-test",
                    "accept-encoding": ENCODINGS,
                },
            ) as answer,
        ):
            status, headers = answer.status_code, answer.headers
            for piece in answer.iter_raw():
                got += piece
    except httpx.HTTPError:
        return Heard(status, bytes(got), error=True), headers
    return Heard(status, bytes(got), error=False), headers


@pytest.fixture(scope="module")
def rows() -> Generator[dict[str, str]]:
    """The table's rows; written where the run asks for it, else compared with what is written."""
    found: dict[str, str] = {}
    yield found
    if os.environ.get("INSOURCE_TEST_WRITE_FAULTS"):
        TABLE.write_text(_table(found), "utf-8")


@pytest.mark.parametrize("name", FAULTS)
def test_the_client_hears_the_same_and_the_log_says_what_it_was(world: World, name: str, rows: dict[str, str]) -> None:
    fault = FAULTS[name]
    # Whoever asks directly waits as long as the gateway does before it gives a stalled upstream up.
    direct, _ = ask(world.upstream.url, name, fault, timeout=STALL_SECONDS)
    through, headers = ask(world.gateway_url, name, fault, timeout=30)
    if direct.status is None:
        assert (through.status, through.error) == (502, False), "where no answer comes at all, 502 stands for it"
    else:
        assert through == direct

    exchange = world.log(headers["x-insource-exchange"])
    assert exchange.status == fault.status
    assert exchange.is_whole is fault.whole, exchange.incomplete
    spend = {None: "none", "list price": "counted", "estimate": "estimated"}[exchange.cost_source]
    assert spend == fault.spend
    assert isinstance(to_example(exchange), str) is not fault.whole, "only a whole answer may become a reference"
    evidence = "yes" if fault.whole else "no"
    state = (exchange.incomplete or "whole") if exchange.status == 200 else "no answer"
    rows[name] = f"| {name} | {through} | {exchange.status}, {state} | {spend} | {evidence} |"


def _table(rows: Mapping[str, str]) -> str:
    head = [
        "<!-- Generated by tests/faults/test_faults.py (`make faults`); change the code instead. -->",
        "# What a faulty upstream does",
        "",
        "Each line is a fault that a server written for the tests plays, once to a client of its own and once to one",
        "behind a fresh gateway. Both hear the same; where no answer comes at all, the gateway answers 502. *Log* is",
        "what the exchange log holds, *spend* where its cost comes from, *evidence* whether it may be compared with.",
        "",
        "| fault | client | log | spend | evidence |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows.values()]) + "\n"
