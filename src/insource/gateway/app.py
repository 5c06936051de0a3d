"""The HTTP surface as one plain ASGI application: no framework on the request path, because each layer costs time.

What it does itself is HTTP: bodies, headers, errors, the client that hangs up. Everything else is
`workflows/serve/handle_request.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from insource.core.errors import InsourceError
from insource.core.ports import Call, Reply, Upstream
from insource.core.values import JsonObject, Route
from insource.gateway.errors import body_of, error_body, error_event, status_of
from insource.gateway.metrics import Metrics
from insource.workflows.serve.handle_request import Incoming, RequestHandler, forwarded_headers
from insource.workflows.serve.live_routing import LiveRouting

_LOG = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_NOT_RELAYED = frozenset({"set-cookie", "server", "date", "connection", "keep-alive", "transfer-encoding"})
_LONGEST_IN_HEADER = 300
_JSON = b"application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What is served."""

    handler: RequestHandler
    routing: LiveRouting
    provider: Upstream
    metrics: Metrics
    log_health: Callable[[], JsonObject] = dict
    page: Callable[[], str | None] = lambda: None
    """HTML at `/`."""
    extra: Asgi | None = None
    """Gets every path that is not ours (a dashboard); None: they are 404."""
    forward_key: bool = False
    max_body_bytes: int = 64 * 2**20
    refresh_seconds: float = 0.5


def build_app(surface: Surface) -> Asgi:
    routes: Mapping[tuple[str, str], Asgi] = {
        ("POST", "/v1/chat/completions"): _Chat(surface),
        ("GET", "/v1/models"): _models(surface),
        ("GET", "/health"): _health(surface),
        ("GET", "/metrics"): _metrics(surface),
        ("GET", "/"): _page(surface),
    }
    paths = {path for _, path in routes}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(surface, receive, send)
            return
        if scope["type"] != "http":
            return
        route = routes.get((scope["method"], scope["path"]))
        if route is not None:
            await route(scope, receive, send)
        elif surface.extra is not None and scope["path"] not in paths:
            await surface.extra(scope, receive, send)
        else:
            await _unknown(scope, send, paths)

    return app


class _Chat:
    """POST /v1/chat/completions"""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read_body(headers, receive, self._surface.max_body_bytes)
        if body is None:
            limit = self._surface.max_body_bytes
            self._surface.metrics.reject(413)
            message = f"The body is larger than {limit} bytes. Send less, or raise the limit of the gateway."
            await _send_json(send, 413, body=error_body(message, status=413, code="body_too_large"), close=True)
            return
        incoming = Incoming(exchange_id=f"ex-{random.getrandbits(128):032x}", body=body, headers=headers)
        client = _Client(receive)
        try:
            await self._exchange(incoming, client, send)
        except asyncio.CancelledError:
            if not client.left:
                raise
            client.forgive()
        finally:
            client.unwatch()

    async def _exchange(self, incoming: Incoming, client: _Client, send: Send) -> None:
        """Returning before a body is whole makes the server cut the connection: a cut answer never ends cleanly."""
        try:
            answer = await self._surface.handler.handle(incoming)
        except Exception:
            _LOG.exception("Exchange %s failed by a fault of the gateway.", incoming.exchange_id)
            message = "The gateway failed. This is a bug: report it with the gateway's log."
            await _send_json(send, 500, body=error_body(message, status=500, code="internal_error"))
            return
        extra = _exchange_headers(incoming.exchange_id, answer.route)
        if isinstance(answer.reply, InsourceError):
            if answer.route is None:
                self._surface.metrics.reject(status_of(answer.reply))
            await _send_json(send, status_of(answer.reply), body=body_of(answer.reply), headers=extra)
            return
        await _relay(answer.reply, client, send, extra=extra)


class _Client:
    """Watches for the client's leaving while its request is worked on, and then cancels that work."""

    def __init__(self, receive: Receive) -> None:
        self.left = False
        self._over = False
        self._working = asyncio.current_task()
        self._watching = asyncio.create_task(self._watch(receive))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self._over and self._working is not None:
            self.left = True
            self._working.cancel()

    def unwatch(self) -> None:
        """From here on nothing is cancelled; no await may lie between the last byte and this."""
        self._over = True
        self._watching.cancel()

    def forgive(self) -> None:
        if self._working is not None:
            self._working.uncancel()


async def _relay(reply: Reply, client: _Client, send: Send, *, extra: Headers) -> None:
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply) + extra})
        try:
            async for chunk in reply.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except InsourceError as error:
            _LOG.warning("An answer was cut. %s", error)
            await send({"type": "http.response.body", "body": error_event(error), "more_body": True})
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        client.unwatch()
    finally:
        client.unwatch()
        await reply.close()


# ------------------------------------------------------------------------------------------- the other routes


def _models(surface: Surface) -> Asgi:
    async def models(scope: Scope, receive: Receive, send: Send) -> None:
        """The provider's list as it came, with the local models after it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        table = surface.routing.current.table
        names = [] if table.local_default is None else [table.local_default]
        ours = [{"id": name, "object": "model", "created": 0, "owned_by": "insource"} for name in names]
        kept = forwarded_headers(headers, with_key=surface.forward_key)
        kept.pop("content-type", None)
        try:
            reply = await surface.provider.send(Call(method="GET", path="/v1/models", body=b"", headers=kept))
            data = await reply.read()
        except InsourceError as error:
            if ours:
                await _send_json(send, 200, body={"object": "list", "data": ours})
            else:
                await _send_json(send, status_of(error), body=body_of(error))
            return
        listed: Any = None
        with suppress(msgspec.DecodeError):
            listed = msgspec.json.decode(data)
        if reply.status == 200 and isinstance(listed, dict) and isinstance(listed.get("data"), list):
            data = msgspec.json.encode({**listed, "data": [*listed["data"], *ours]})
        await _send_bytes(send, reply.status, data=data, content_type=_JSON)

    return models


def _health(surface: Surface) -> Asgi:
    async def health(scope: Scope, receive: Receive, send: Send) -> None:
        state, log = surface.routing.current, surface.log_health()
        engines = [{"name": e.name, "model": e.model, "state": str(e.state)} for e in surface.routing.engines()]
        body: JsonObject = {
            "status": "degraded" if log.get("error") or any(e["state"] == "failed" for e in engines) else "ok",
            "engines": engines,
            "log": log,
            "exchanges": surface.metrics.exchanges,
            "routing": {
                "revision": state.revision,
                "moves": {task: str(move.stage) for task, move in state.table.moves.items()},
                "pinned_tasks": sorted(state.table.pinned_tasks),
            },
        }
        await _send_json(send, 200, body=body)

    return health


def _metrics(surface: Surface) -> Asgi:
    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await _send_bytes(
            send, 200, data=surface.metrics.text(), content_type=b"text/plain; version=0.0.4; charset=utf-8"
        )

    return metrics


def _page(surface: Surface) -> Asgi:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        html = surface.page()
        if html is None:
            await _unknown(scope, send, {"/v1/chat/completions", "/v1/models", "/health", "/metrics"})
        else:
            await _send_bytes(send, 200, data=html.encode(), content_type=b"text/html; charset=utf-8")

    return page


async def _unknown(scope: Scope, send: Send, paths: set[str]) -> None:
    method, path = scope["method"], scope["path"][:_LONGEST_IN_HEADER]
    status, code = (405, "method_not_allowed") if path in paths else (404, "unknown_path")
    message = f"There is no {method} {path!r} here. Use one of: {', '.join(sorted(paths))}."
    await _send_json(send, status, body=error_body(message, status=status, code=code), close=True)


async def _lifespan(surface: Surface, receive: Receive, send: Send) -> None:
    await receive()
    watching = asyncio.create_task(surface.routing.watch(every_seconds=surface.refresh_seconds))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await surface.handler.close()
    await surface.routing.close()
    await surface.provider.close()
    await send({"type": "lifespan.shutdown.complete"})


# -------------------------------------------------------------------------------------------------- HTTP bits


async def _read_body(headers: Mapping[str, str], receive: Receive, most_bytes: int) -> bytes | None:
    """None: larger than `most_bytes`. Up to as much again is read and thrown away, because a client that is still
    sending does not see an answer."""
    message = await receive()
    if not message.get("more_body"):
        body: bytes = message.get("body", b"")
        return body if len(body) <= most_bytes else None
    declared = headers.get("content-length", "0")
    size = len(message.get("body", b""))
    too_large = declared.isdecimal() and int(declared) > most_bytes
    whole = bytearray(message.get("body", b""))
    while message.get("more_body") and size <= 2 * most_bytes:
        message = await receive()
        size += len(message.get("body", b""))
        if too_large or size > most_bytes:
            too_large = True
            whole.clear()
        else:
            whole += message.get("body", b"")
    return None if too_large else bytes(whole)


def _exchange_headers(exchange_id: str, route: Route | None) -> Headers:
    headers = [(b"x-insource-exchange", exchange_id.encode())]
    if route is not None:
        # ASCII with everything else escaped: a model name or an upstream's sentence can't break out of the header.
        said = {
            "upstream": route.upstream,
            "model": route.model[:_LONGEST_IN_HEADER],
            "reason": route.reason[:_LONGEST_IN_HEADER],
            "certificate_id": route.certificate_id,
        }
        headers.append((b"x-insource-route", json.dumps(said).encode()))
    return headers


def _headers(reply: Reply) -> Headers:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in reply.headers.items()
        if name.lower() not in _NOT_RELAYED and not name.lower().startswith("x-insource-")
    ]


async def _send_json(
    send: Send, status: int, *, body: JsonObject, headers: Headers | None = None, close: bool = False
) -> None:
    extra = [*(headers or []), *([(b"connection", b"close")] if close else [])]
    await _send_bytes(send, status, data=msgspec.json.encode(body), content_type=_JSON, extra=extra)


async def _send_bytes(
    send: Send, status: int, *, data: bytes, content_type: bytes, extra: Headers | None = None
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(data)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data, "more_body": False})
