"""A dashboard to open in tests: the ASGI application in front of a store, and a browser that has the token."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

from insource.core.values import OutputKind, OutputProfile, Task
from insource.gateway.server import gateway_app
from insource.web.access import FORM_FIELD, ROOT, Access
from insource.web.dashboard import dashboard_app
from insource.workflows.services import Services

TOKEN = "a-token-of-this-start"
ACCESS = Access(TOKEN)
BASE = "http://127.0.0.1:8000"
COOKIE = {"cookie": f"{ACCESS.cookie}={TOKEN}"}


@asynccontextmanager
async def client_of(services: Services) -> AsyncGenerator[httpx.AsyncClient]:
    app = gateway_app(services, dashboard=dashboard_app(services, TOKEN))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, follow_redirects=False) as client:
        yield client


class Browser:
    """One that was opened by the printed URL."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, *, status: int = 200) -> str:
        answer = await self._client.get(ROOT + path, headers=COOKIE)
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of one of its pages."""
        form = {FORM_FIELD: ACCESS.form_token, **{name.replace("_", "-"): value for name, value in fields.items()}}
        return await self._client.post(ROOT + path, headers={**COOKIE, "origin": BASE}, data=form)


def task(id: str = "t1", *, name: str = "Sort the mail") -> Task:
    return Task(id=id, name=name, matchers=(), output=OutputProfile(kind=OutputKind.LABEL, labels=("no", "yes")))
