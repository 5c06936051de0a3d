"""Promise 0: until it is told otherwise a fresh gateway changes nothing. `make promises` tries 10,000 requests."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

from insource.cli.session import load_settings
from insource.core.ports import Call
from insource.core.values import Exchange
from insource.gateway.server import gateway_app
from insource.wire.client import Client
from insource.wiring import open_services
from tests.fakes.servers import ServerThread
from tests.faults.scripts import GOOD, answer
from tests.faults.upstream import FaultyUpstream
from tests.promises.requests import drawn

CASES = int(os.environ.get("INSOURCE_PROMISE_CASES", "300"))
AT_ONCE = 8


async def ask_all(url: str, headers_of: dict[int, str]) -> None:
    """Every request, eight at a time; each must get the provider's answer byte for byte."""
    client = Client(url)
    seeds = iter(range(CASES))

    async def ask_next() -> None:
        for seed in seeds:
            path, headers, body = drawn(seed)
            reply = await client.send(
                Call(path=path, headers=(*headers, ("x-fault", "good"), ("x-seed", str(seed))), body=body)
            )
            got = await reply.read()
            assert (reply.status, got) == (200, GOOD), (seed, path, got[:300])
            headers_of[seed] = path

    await asyncio.gather(*(ask_next() for _ in range(AT_ONCE)))
    await client.close()


def test_every_request_arrives_byte_for_byte_and_none_is_answered_here(tmp_path: Path) -> None:
    asked: dict[int, str] = {}
    with FaultyUpstream({"good": (answer(GOOD),)}) as upstream:
        settings = load_settings(home=tmp_path, model_cache=tmp_path / "models", provider_url=upstream.url)
        with open_services(settings) as services:
            with ServerThread(gateway_app(services)) as server:
                asyncio.run(ask_all(server.url, asked))
            arrived = {_seed(got.head): got for got in upstream.got}
        with open_services(settings) as services:
            recorded = list(services.exchanges.read())
    assert len(arrived) == len(asked) == CASES
    for seed, path in asked.items():
        _, _, body = drawn(seed)
        assert arrived[seed].body == body, seed
        assert arrived[seed].head.startswith(f"POST {path} HTTP/1.1\r\n".encode()), seed
    _all_are_recorded(recorded)


def _seed(head: bytes) -> int:
    return int(head.lower().partition(b"x-seed: ")[2].split(b"\r\n")[0])


def _all_are_recorded(recorded: list[Exchange]) -> None:
    assert len(recorded) == CASES
    upstreams = Counter(exchange.route.upstream for exchange in recorded if exchange.route is not None)
    assert upstreams == {"provider:openai": CASES}
