"""A request as it arrived, and what can be read of it. Nothing here changes or refuses anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from insource.core.headers import Headers, header
from insource.core.ports import Demand
from insource.core.values import CHAT_ENDPOINT, JsonObject
from insource.wire import chat, json_text

READ_BYTES = 1 << 20
"""Bodies of other endpoints are read whole before they are sent on when they state a length up to this."""
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_PARTS: Mapping[str, Demand] = {
    **dict.fromkeys(("image_url", "input_image", "image"), "images"),
    **dict.fromkeys(("input_audio", "audio"), "audio"),
    **dict.fromkeys(("tool_use", "tool_result"), "tools"),
}
"""Kinds of content parts that are no text, in the words of several dialects; any other is a file."""


class Body(Protocol):
    """The bytes of a request, read once."""

    async def whole(self) -> bytes:
        """All of it."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """As they come."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    exchange_id: str
    method: str
    path: str
    """Percent-encoded, as it was sent, without the query."""
    query: str
    """As it was sent; "" without one."""
    headers: Headers
    body: Body

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def is_chat(self) -> bool:
        """To the one endpoint that a local model can stand in for."""
        return self.method == "POST" and self.path.rstrip("/") == CHAT_ENDPOINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a body asks for."""

    request: JsonObject
    """The body where it is a JSON object; else a description of it: content type and size."""
    readable: bool

    @property
    def model(self) -> str:
        return str(self.request.get("model") or "")

    @property
    def streams(self) -> bool:
        return self.request.get("stream") is True


def understand(headers: Headers, body: bytes) -> Asked:
    try:
        request = json_text.decode(body)
    except ValueError:
        request = None
    if isinstance(request, dict):
        return Asked(request=request, readable=True)
    return Asked(request=description(headers, len(body)), readable=False)


def description(headers: Headers, size_bytes: int) -> JsonObject:
    """Of a body that is not kept."""
    return {"content_type": (header(headers, "content-type") or "")[:200], "bytes": size_bytes}


def has_body(headers: Headers) -> bool:
    """RFC 9112 §6.3: a request without either header has none."""
    return header(headers, "content-length") not in (None, "0") or header(headers, "transfer-encoding") is not None


def states_short_body(headers: Headers) -> bool:
    length = header(headers, "content-length")
    return length is not None and length.isdecimal() and int(length) <= READ_BYTES


def demands(request: JsonObject) -> frozenset[Demand]:
    """What the client asks for beyond one text. Dropping it silently would change the answer. Of any shape."""
    found: set[Demand] = {demand for demand, asks in _ASKS.items() if asks(request)}
    for message in chat.messages(request):
        if message.get("role") == "tool" or message.get("tool_calls"):
            found.add("tools")
        if message.get("role") == "function" or message.get("function_call"):
            found.add("functions")
        found |= _demands_of_content(message.get("content"))
    return frozenset(found)


def _asks_for_audio(request: JsonObject) -> bool:
    modalities = request.get("modalities")
    return request.get("audio") is not None or (isinstance(modalities, list) and "audio" in modalities)


_ASKS: Mapping[Demand, Callable[[JsonObject], bool]] = {
    "tools": lambda request: bool(request.get("tools")),
    "functions": lambda request: bool(request.get("functions")),
    "web search": lambda request: request.get("web_search_options") is not None,
    "several choices": lambda request: request.get("n") not in (None, 1),
    "log probabilities": lambda request: bool(request.get("logprobs") or request.get("top_logprobs")),
    "audio": _asks_for_audio,
}


def _demands_of_content(content: Any) -> set[Demand]:
    kinds = {part.get("type") for part in content if isinstance(part, dict)} if isinstance(content, list) else set()
    named = {kind for kind in kinds if isinstance(kind, str) and kind not in _TEXTS}
    return {_PARTS.get(kind, "files") for kind in named}
