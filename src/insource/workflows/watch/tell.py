"""Events to a webhook: in their order, each at least once. Which was told last is kept in the store."""

from __future__ import annotations

from urllib.parse import urlsplit

from insource.core.errors import UpstreamError
from insource.core.evidence import Event
from insource.core.headers import JSON
from insource.core.ports import Call
from insource.wire import json_text
from insource.wire.client import Client, Timeouts
from insource.workflows.services import Services
from insource.workflows.watch.story import message

TOLD = "webhook_told"
QUIET = ("privacy",)
"""Kinds of events that come with every request."""


def untold(services: Services) -> list[tuple[int, Event]]:
    """Those not told yet; the first time nothing of before is."""
    told = services.registry.fact(TOLD)
    if told is None:
        known = services.registry.events_after(0, without=QUIET)
        services.registry.put_fact(TOLD, str(known[-1][0] if known else 0))
        return []
    return services.registry.events_after(int(told), without=QUIET)


class Webhook:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
        self._client = Client(f"{parts.scheme}://{parts.netloc}", timeouts=Timeouts(first_byte_seconds=10.0))

    async def tell(self, event: Event) -> None:
        """Raises UpstreamError unless it was taken."""
        call = Call(path=self._path, body=json_text.encode(message(event)), headers=JSON)
        reply = await self._client.send(call)
        await reply.read()
        if not 200 <= reply.status < 300:
            raise UpstreamError(
                f"The webhook answered {reply.status}.", next_step="Check INSOURCE_WEBHOOK_URL; it is sent again."
            )

    async def close(self) -> None:
        await self._client.close()
