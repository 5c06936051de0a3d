"""A request as it arrived, and what can be read of it. Nothing here changes or refuses anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from insource.core.headers import Headers, header
from insource.core.ports import Demand
from insource.core.values import CHAT_ENDPOINT, JsonObject
from insource.wire import chat, json_text

READ_BYTES = 1 << 20
"""Bodies of other endpoints are read whole before they are sent on when they state a length up to this."""
_PARTS: Mapping[str, Demand] = {
    **dict.fromkeys(("image_url", "input_image", "image"), "images"),
    **dict.fromkeys(("input_audio", "audio"), "audio"),
    **dict.fromkeys(("file", "input_file", "document"), "files"),
}
"""Kinds of content parts, in the words of several dialects."""


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
    found: set[Demand] = set()
    if request.get("tools") or request.get("functions"):
        found.add("tools")
    if request.get("n") not in (None, 1):
        found.add("several choices")
    if request.get("logprobs") or request.get("top_logprobs"):
        found.add("log probabilities")
    modalities = request.get("modalities")
    if request.get("audio") is not None or (isinstance(modalities, list) and "audio" in modalities):
        found.add("audio")
    for message in chat.messages(request):
        found |= _demands_of_content(message.get("content"))
    return frozenset(found)


def _demands_of_content(content: Any) -> set[Demand]:
    kinds = {part.get("type") for part in content if isinstance(part, dict)} if isinstance(content, list) else set()
    return {_PARTS[kind] for kind in kinds if isinstance(kind, str) and kind in _PARTS}
