"""The gateway over real HTTP, with a provider behind it and the official SDK in front, each in a thread."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import openai

from insource.core.values import Exchange
from insource.providers.openai_compatible import OpenAICompatible
from insource.wire.sse import completion_to_sse, format_event
from tests.fakes.servers import FakeProvider, ServerThread
from tests.fakes.serving import Bench, completion

MESSAGES: Any = [{"role": "user", "content": "hello"}]
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


HALF = [next(iter(completion_to_sse(completion("half"), include_usage=False))), b'data: {"choices": [{"ind']
"""What is there of an answer that is cut."""


def hosted(path: str, body: bytes) -> tuple[int, dict[str, str], list[bytes | None]]:
    if path == "/v1/models":
        return 200, JSON, [b'{"object": "list", "data": [{"id": "gpt-4o", "object": "model"}], "novel": 1}']
    if path != "/v1/chat/completions":
        return 418, {"x-path": path}, [b"teapot ", body]
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return 400, JSON, [b'{"error":  {"message": "We could not parse the JSON body of your request."}}']
    if asked["model"] == "wrong-key":
        return 401, JSON, [b'{"error": {"message": "Incorrect API key", "type": "x", "code": "k", "param": null}}']
    if asked["model"] == "cut":
        return 200, SSE, [*HALF, None]
    if asked["model"] == "error-event":
        return 200, SSE, [format_event({"error": {"message": "overloaded", "code": 529}})]
    if asked["model"] == "endless":
        return 200, SSE, [HALF[0], b"wait"]
    if asked.get("stream"):
        return 200, SSE, list(completion_to_sse(completion("hosted"), include_usage=True))
    return 200, {**JSON, "x-request-id": "req-1"}, [json.dumps({**completion("hosted"), "novel": [1]}).encode()]


class Setup:
    """The three processes' worth of it, in threads."""

    def __init__(self, bench: Bench, provider: FakeProvider, url: str) -> None:
        self.bench, self.provider, self.url = bench, provider, url
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-client", max_retries=0)

    def ask(self, **more: Any) -> Any:
        asked: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, **more}
        return self.sdk.chat.completions.create(**asked)


@contextmanager
def gateway(**more: Any) -> Generator[Setup]:
    provider = FakeProvider(answer=hosted)
    with ServerThread(provider) as upstream:
        given: dict[str, Any] = {
            "provider": OpenAICompatible(upstream.url),
            "provider_url": upstream.url,
            "forward_key": True,
            **more,
        }
        bench = Bench(**given)
        with ServerThread(bench.app()) as server:
            setup = Setup(bench, provider, server.url)
            yield setup
            setup.sdk.close()


def new_exchange(setup: Setup, before: int) -> Exchange:
    return setup.bench.log.wait(before + 1)[before]


def count(setup: Setup) -> int:
    return len(setup.bench.log.exchanges)


def wait_for_health(setup: Setup, state: str) -> dict[str, Any]:
    """Until all engines are in this state."""
    deadline = time.monotonic() + 30
    while True:
        health: dict[str, Any] = httpx.get(f"{setup.url}/health").json()
        if all(engine["state"] == state for engine in health["engines"]):
            return health
        assert time.monotonic() < deadline, health
        time.sleep(0.01)
