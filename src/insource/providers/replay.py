"""The provider that answers from recorded exchanges and calls nobody: for the demo, for tests, and for a look at what
a change would do to yesterday's traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

import msgspec

from insource.core.hashing import canonical_json, content_address
from insource.core.headers import EVENT_STREAM, JSON
from insource.core.ports import Call, Reply
from insource.core.values import Exchange, JsonObject
from insource.wire import json_text
from insource.wire.sse import completion_to_sse

_VOLATILE = frozenset(
    {
        *("stream", "stream_options", "user", "metadata", "store"),
        *("service_tier", "safety_identifier", "prompt_cache_key"),
    }
)
"""Fields that choose how an answer is delivered, billed or kept, not what it says."""


def replay_key(request: JsonObject) -> str:
    """`sha256:<hex>` of what decides the answer."""
    return content_address({key: value for key, value in request.items() if key not in _VOLATILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    response: bytes
    """Encoded: a tenth of the memory of the objects."""
    latency_seconds: float


class Replay:
    """Serves the first recorded answer to an equal request; a request that was never recorded gets a 404."""

    def __init__(
        self,
        exchanges: Iterable[Exchange],
        *,
        latency: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`latency`: answer after the recorded time. Failed and unanswered exchanges are not served."""
        self._answers: dict[str, _Recorded] = {}
        self._models: dict[str, None] = {}
        self._latency = latency
        self._sleep = sleep
        for exchange in exchanges:
            if not exchange.is_whole:
                continue
            recorded = _Recorded(
                response=json_text.encode(exchange.response), latency_seconds=exchange.latency_seconds or 0.0
            )
            self._answers.setdefault(replay_key(exchange.request), recorded)
            self._models[str(exchange.request.get("model", ""))] = None

    @property
    def name(self) -> str:
        return "provider:replay"

    async def send(self, call: Call) -> Reply:
        if call.method == "GET" and call.path == "/v1/models":
            rows = [{"id": model, "object": "model", "created": 0, "owned_by": "replay"} for model in self._models]
            return _json(200, canonical_json({"object": "list", "data": rows}))
        try:
            request = msgspec.json.decode(call.body)
        except msgspec.DecodeError:
            request = None
        if not isinstance(request, dict):
            return _error(400, "The body is not a JSON object. Send an OpenAI chat request.", "bad_input")
        recorded = self._answers.get(replay_key(request))
        if recorded is None:
            return _error(
                404,
                f"No recorded answer among {len(self._answers)} fits this request. Import an exchange with the same "
                "request, or turn provider_replay off to call the hosted API.",
                "not_recorded",
            )
        if self._latency:
            await self._sleep(recorded.latency_seconds)
        if request.get("stream") is not True:
            return _json(200, recorded.response)
        options = request.get("stream_options")
        include_usage = isinstance(options, dict) and options.get("include_usage") is True
        chunks = completion_to_sse(msgspec.json.decode(recorded.response), include_usage=include_usage)
        return Reply(status=200, headers=EVENT_STREAM, chunks=_iterate(chunks))

    async def close(self) -> None:
        return None


async def _iterate(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _json(status: int, body: bytes) -> Reply:
    return Reply(status=status, headers=JSON, chunks=_iterate([body]))


def _error(status: int, message: str, code: str) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": None}
    return _json(status, canonical_json({"error": error}))
