"""What the gateway answers about itself: /health, /metrics, /insource/models, and where the dashboard is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from insource.core.errors import BadInput, InsourceError
from insource.core.policy import WATCH, Policy
from insource.core.values import JsonObject
from insource.gateway.errors import body_of, error_body, status_of
from insource.gateway.http import Asgi, Receive, Scope, Send, send_bytes, send_json
from insource.gateway.metrics import Metrics
from insource.routing.decide import LOCAL_PREFIX
from insource.wire import json_text
from insource.workflows.serve.live_routing import LiveRouting

OWN_PREFIX = "/insource/"
DASHBOARD_PREFIX = "/insource/ui/"
_FEEDBACK = "/insource/feedback"
_MOST_BYTES = 1 << 20
_HTML = b"text/html; charset=utf-8"
_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPages:
    routing: LiveRouting
    metrics: Metrics
    policy: Callable[[], Policy] = lambda: WATCH
    log_health: Callable[[], JsonObject] = dict
    dashboard: Asgi | None = None
    """Answers all below DASHBOARD_PREFIX, and asks by itself who is there."""
    feedback: Callable[[JsonObject], Awaitable[None]] | None = None
    """Takes what an application says of an answer; raises BadInput."""

    def find(self, method: str, path: str) -> Asgi | None:
        """The page of a path of ours, also for those that are not there; None: the path is the provider's."""
        pages: Mapping[str, Asgi] = {
            "/": self._front,
            "/health": self._health,
            "/metrics": self._metrics,
            "/insource/models": self._models,
        }
        if path == _FEEDBACK and method == "POST":
            return self._take_feedback
        if self.dashboard is not None and path.startswith(DASHBOARD_PREFIX):
            return self.dashboard
        if path in pages:
            return pages[path] if method in ("GET", "HEAD") else _unknown
        return _unknown if path.startswith(OWN_PREFIX) else None

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        state, log, policy = self.routing.current, self.log_health(), self.policy()
        engines = [{"name": e.name, "model": e.model, "state": str(e.state)} for e in self.routing.engines()]
        body: JsonObject = {
            "status": "degraded" if log.get("error") or any(e["state"] == "failed" for e in engines) else "ok",
            "privacy": "enforce" if policy.acts else "observe",
            "policy": {kind: rule.action for kind, rule in policy.kinds.items()},
            "engines": engines,
            "log": log,
            "exchanges": self.metrics.exchanges,
            "routing": {
                "revision": state.revision,
                "moves": {task: str(move.stage) for task, move in state.table.moves.items()},
                "pinned_tasks": sorted(state.table.pinned_tasks),
            },
        }
        await send_json(send, 200, body=body)

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_bytes(send, 200, data=self.metrics.text(), content_type=_METRICS_TYPE)

    async def _take_feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _json_body(receive)
        try:
            if self.feedback is None:
                raise BadInput("This gateway takes no feedback.", next_step="Start it with a store.")
            await self.feedback(body)
        except InsourceError as error:
            await send_json(send, status_of(error), body=body_of(error, path=_FEEDBACK))
            return
        await send_json(send, 200, body={"taken": True})

    async def _models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """In the shape of OpenAI's list; a request asks for one of them by its id."""
        names = sorted(self.routing.current.table.local_models)
        rows = [{"id": LOCAL_PREFIX + name, "object": "model", "created": 0, "owned_by": "insource"} for name in names]
        await send_json(send, 200, body={"object": "list", "data": rows})

    async def _front(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.dashboard is None:
            await send_bytes(send, 200, data=_NO_DASHBOARD.encode(), content_type=_HTML)
            return
        there = [(b"location", DASHBOARD_PREFIX.encode())]
        await send_bytes(send, 303, data=b"", content_type=_HTML, extra=there)


async def _json_body(receive: Receive) -> Any:
    """Of a short request; None for what is too long or no JSON."""
    data = b""
    while True:
        message = await receive()
        data += message.get("body") or b""
        if message["type"] != "http.request" or len(data) > _MOST_BYTES or not message.get("more_body"):
            break
    try:
        return json_text.decode(data) if len(data) <= _MOST_BYTES else None
    except ValueError:
        return None


_NO_DASHBOARD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>insource</title>
<p>The insource gateway runs here, without its dashboard: <code>insource serve</code> starts both.</p></html>
"""


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    message = (
        f"There is no {scope['method']} {scope['path'][:100]!r}. insource's own paths are GET /, /health, /metrics, "
        "/insource/ui/, /insource/models and POST /insource/feedback; all others are sent on to the provider."
    )
    await send_json(send, 404, body=error_body(message, status=404, code="unknown_path"))
