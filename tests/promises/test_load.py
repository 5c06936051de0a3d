"""Load changes no decision: 96 requests of 24,000 words at concurrency 32."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from insource.cli.session import load_settings
from insource.core.headers import JSON
from insource.core.ports import Call
from insource.gateway.server import gateway_app
from insource.wire.client import Client
from insource.wiring import open_services
from tests.fakes.servers import ServerThread
from tests.faults.scripts import GOOD, answer
from tests.faults.upstream import FaultyUpstream

REQUESTS, AT_ONCE, WORDS = 96, 32, 24_000
pytestmark = pytest.mark.slow


def body(number: int) -> bytes:
    """Every third holds an e-mail address, at its very end."""
    words = " ".join(f"word{(number * 7919 + n) % 5003}" for n in range(WORDS))
    private = " Write to mara.okon@shop-mail.org." if number % 3 == 0 else ""
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": words + private}]}).encode()


async def statuses(url: str, numbers: Sequence[int], at_once: int) -> list[int]:
    client, slots = Client(url), asyncio.Semaphore(at_once)

    async def ask(number: int) -> int:
        async with slots:
            headers = (*JSON, ("x-fault", "good"))
            reply = await client.send(Call(path="/v1/chat/completions", headers=headers, body=body(number)))
            await reply.read()
            return reply.status

    found = await asyncio.gather(*(ask(number) for number in numbers))
    await client.close()
    return found


@pytest.mark.parametrize("privacy", ["observe", "enforce"])
def test_long_requests_at_once_are_decided_as_on_an_idle_machine(tmp_path: Path, privacy: str) -> None:
    with FaultyUpstream({"good": (answer(GOOD),)}) as upstream:
        settings = load_settings(
            home=tmp_path,
            model_cache=tmp_path / "models",
            provider_url=upstream.url,
            privacy=privacy,
            forward_headers="x-fault",
        )
        with open_services(settings) as services, ServerThread(gateway_app(services)) as server:
            found = asyncio.run(statuses(server.url, range(REQUESTS), AT_ONCE))
    private = [number % 3 == 0 for number in range(REQUESTS)]
    expected = [503 if privacy == "enforce" and each else 200 for each in private]
    assert found == expected
    assert len(upstream.got) == expected.count(200)
