"""The HTTP surface as one plain ASGI application. Our own few paths are answered here; every other request, whatever
its method and path, is one exchange with the provider or what stands in for it (`workflows/serve/handle_request.py`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from insource.core.errors import InsourceError
from insource.core.headers import header
from insource.core.ports import Upstream
from insource.core.values import JsonObject
from insource.gateway.errors import body_of, error_body, error_event, status_of
from insource.gateway.guard import Guard
from insource.gateway.http import (
    Asgi,
    Client,
    RawHeaders,
    Receive,
    Scope,
    Send,
    exchange_headers,
    headers_of,
    raw,
    send_json,
    target_of,
)
from insource.gateway.metrics import Metrics
from insource.gateway.own_pages import OwnPages
from insource.workflows.serve.handle_request import Answer, RequestHandler
from insource.workflows.serve.incoming import Incoming
from insource.workflows.serve.live_routing import LiveRouting

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What is served."""

    handler: RequestHandler
    routing: LiveRouting
    provider: Upstream
    metrics: Metrics
    own: OwnPages
    guard: Guard = field(default_factory=Guard)
    refresh_seconds: float = 0.5
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """What runs beside the requests, until cancelled."""


def build_app(surface: Surface) -> Asgi:
    requests = _Requests(surface)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(surface, receive, send)
        elif scope["type"] == "http":
            await requests(scope, receive, send)

    return app


class _Requests:
    """Every HTTP request: refused, answered by a page of ours, or an exchange."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        objection = self._surface.guard.objection(headers)
        if objection is not None:
            await self._refuse(send, 403, error_body(objection, status=403, code="not_allowed_here"))
            return
        if (header(headers, "upgrade") or "").lower() == "websocket":
            message = (
                "WebSockets do not pass through insource yet. Use the HTTP API, or connect to the provider directly."
            )
            await self._refuse(send, 501, error_body(message, status=501, code="websocket_not_supported"))
            return
        page = self._surface.own.find(scope["method"], scope["path"])
        if page is not None:
            await page(scope, receive, send)
            return
        client = Client(receive)
        path, query = target_of(scope)
        incoming = Incoming(
            exchange_id=f"ex-{random.getrandbits(128):032x}",
            method=scope["method"],
            path=path,
            query=query,
            headers=headers,
            body=client,
        )
        try:
            await self._exchange(incoming, client, send)
        except asyncio.CancelledError:
            if not client.left:
                raise
            client.forgive()
        finally:
            client.unwatch()

    async def _refuse(self, send: Send, status: int, body: JsonObject) -> None:
        self._surface.metrics.reject(status)
        await send_json(send, status, body=body)

    async def _exchange(self, incoming: Incoming, client: Client, send: Send) -> None:
        try:
            answer = await self._surface.handler.handle(incoming)
        except Exception:
            _LOG.exception("Exchange %s failed by a fault of the gateway.", incoming.exchange_id)
            message = "The gateway failed. This is a bug: report it with the gateway's log."
            await send_json(send, 500, body=error_body(message, status=500, code="internal_error"))
            return
        extra = exchange_headers(incoming.exchange_id, answer.route)
        if isinstance(answer.reply, InsourceError):
            if not client.left:
                body = body_of(answer.reply, path=incoming.path)
                await send_json(send, status_of(answer.reply), body=body, headers=extra)
            return
        await _relay(answer, client, send, extra=extra)


async def _relay(answer: Answer, client: Client, send: Send, *, extra: RawHeaders) -> None:
    """Returning before a body is whole makes the server abort the connection: a cut answer never ends cleanly, and to
    the provider's bytes nothing is added."""
    reply = answer.reply
    assert not isinstance(reply, InsourceError)
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": raw(reply.headers) + extra})
        try:
            async for chunk in reply.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except InsourceError as error:
            _LOG.warning("An answer was cut. %s", error)
            if answer.authored:
                await send({"type": "http.response.body", "body": error_event(error), "more_body": True})
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        client.unwatch()
    finally:
        client.unwatch()
        await reply.close()


async def _lifespan(surface: Surface, receive: Receive, send: Send) -> None:
    await receive()
    running = [asyncio.create_task(surface.routing.watch(every_seconds=surface.refresh_seconds))]
    running += [asyncio.create_task(_kept_running(each)) for each in surface.background]
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await surface.handler.close()
    await surface.routing.close()
    await surface.provider.close()
    await send({"type": "lifespan.shutdown.complete"})


async def _kept_running(background: Callable[[], Awaitable[None]]) -> None:
    """A fault of ours is told, and ends nothing."""
    while True:
        try:
            await background()
        except Exception:
            _LOG.exception("What runs beside the requests failed. It begins again in a minute.")
        await asyncio.sleep(60)
