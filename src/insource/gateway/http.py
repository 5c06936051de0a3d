"""ASGI, as far as the gateway needs it: bodies, headers, the client that hangs up. No framework on the request path,
because each layer costs time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from insource.core.errors import UpstreamError
from insource.core.headers import Headers
from insource.core.values import JsonObject, Route
from insource.wire import json_text

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

JSON = b"application/json"
_LONGEST_IN_HEADER = 300


def headers_of(scope: Scope) -> Headers:
    """As text that the HTTP client turns into the same bytes again: it writes UTF-8."""
    return tuple((name.decode("latin-1"), _text(value)) for name, value in scope["headers"])


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def raw(headers: Headers) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


def target_of(scope: Scope) -> tuple[str, str]:
    """(path, query), percent-encoded as the client sent them."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.decode("latin-1").partition("?")[0], scope.get("query_string", b"").decode("latin-1")


class Client:
    """The client of one request: its body, and its leaving, which cancels the work on its request.

    Between the body's end and the answer's end nobody but this reads from the connection.
    """

    def __init__(self, receive: Receive) -> None:
        self.left = False
        self._receive = receive
        self._working = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._over = False

    async def whole(self) -> bytes:
        """`serve.incoming.Body`."""
        message = await self._next()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body += b"".join([chunk async for chunk in self.chunks()])
        else:
            self._watch()
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._next()
            more = bool(message.get("more_body"))
            if chunk := message.get("body", b""):
                yield chunk
        self._watch()

    async def _next(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            raise UpstreamError("The client left before its request was here.", next_step="Send it again.")
        return message

    def _watch(self) -> None:
        if not self._over:
            self._watching = asyncio.create_task(self._wait_for_leaving())

    async def _wait_for_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._over and self._working is not None:
            self.left = True
            self._working.cancel()

    def unwatch(self) -> None:
        """From here on nothing is cancelled; no await may lie between the last byte and this."""
        self._over = True
        if self._watching is not None:
            self._watching.cancel()

    def forgive(self) -> None:
        if self._working is not None:
            self._working.uncancel()


def exchange_headers(exchange_id: str, route: Route) -> RawHeaders:
    # ASCII with everything else escaped: a model name or an upstream's sentence can't break out of the header.
    said = {
        "upstream": route.upstream,
        "model": route.model[:_LONGEST_IN_HEADER],
        "reason": route.reason[:_LONGEST_IN_HEADER],
        "certificate_id": route.certificate_id,
    }
    return [(b"x-insource-exchange", exchange_id.encode()), (b"x-insource-route", json.dumps(said).encode())]


async def send_json(send: Send, status: int, *, body: JsonObject, headers: RawHeaders | None = None) -> None:
    await send_bytes(send, status, data=json_text.encode(body), content_type=JSON, extra=headers)


async def send_bytes(
    send: Send, status: int, *, data: bytes, content_type: bytes, extra: RawHeaders | None = None
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(data)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data, "more_body": False})
