"""The dashboard, loaded when somebody opens it: a gateway that nobody looks at does without its pages and drawings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from insource.workflows.services import Services


class LateDashboard:
    """An ASGI application for all paths of the dashboard."""

    def __init__(self, services: Services, token: str) -> None:
        self._services, self._token = services, token
        self._app: ASGIApp | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._loading:
            if self._app is None:
                self._app = await asyncio.to_thread(self._load)
        await self._app(scope, receive, send)

    def _load(self) -> ASGIApp:
        from insource.web.dashboard import dashboard_app

        return dashboard_app(self._services, self._token)
