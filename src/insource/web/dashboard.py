"""The dashboard: pages under /insource/ui/ for whoever has the token. Blocking work runs beside the event loop.

A page reads and a form changes only what the command line reads and changes too, by the same functions of `workflows/`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from insource.core.errors import InsourceError, UsageError
from insource.web.access import ROOT, SECURITY_HEADERS, TOKEN, Access
from insource.web.desk import Ask, Desk, Page
from insource.web.pages import boss, ecosystem, machine, models, overview, playground, privacy, requests, review, tasks
from insource.workflows.services import Services

_LOG = logging.getLogger(__name__)
_MOST_BYTES = 1 << 20
_STATIC = (
    ("dashboard.css", "text/css"),
    ("dashboard.js", "text/javascript"),
    ("playground.js", "text/javascript"),
    ("icon.svg", "image/svg+xml"),
)
_Endpoint = Callable[[Request], Awaitable[Response]]

_PAGES: tuple[tuple[str, Page], ...] = (
    ("", overview.show),
    ("tasks", tasks.listed),
    ("tasks/{task}", tasks.show),
    ("tasks/{task}/move", tasks.ask_move),
    ("tasks/{task}/rollback", tasks.ask_rollback),
    ("review", review.listed),
    ("review/{task}", review.show),
    ("requests", requests.listed),
    ("requests/{exchange:path}", requests.show),
    ("privacy", privacy.show),
    ("models", models.listed),
    ("models/{model:path}", models.show),
    ("ecosystem", ecosystem.show),
    ("ecosystem/{figure}", ecosystem.download),
    ("machine", machine.show),
    ("playground", playground.show),
    ("plan", boss.show),
)
_FORMS: tuple[tuple[str, Page], ...] = (
    ("tasks/{task}/move", tasks.move),
    ("tasks/{task}/rollback", tasks.rollback),
    ("tasks/{task}/criterion", tasks.set_criterion),
    ("review/{task}", review.decide),
    ("replay/{exchange:path}", requests.replayed),
    ("privacy/test", privacy.try_it),
    ("privacy", privacy.set_it),
)


def dashboard_app(services: Services, token: str) -> ASGIApp:
    """An ASGI application for all paths under ROOT."""
    desk = Desk(services, Access(token))
    routes = [Route(ROOT + path, _form(desk, page), methods=["POST"]) for path, page in _FORMS]
    routes += [Route(ROOT + path, _page(desk, page)) for path, page in _PAGES]
    routes += [Route(f"{ROOT}static/{name}", _static(name, kind)) for name, kind in _STATIC]

    async def missing(request: Request, error: Exception) -> Response:
        sentence = f"There is no page {request.url.path[:200]!r}."
        return desk.page("problem", here="none", status=404, message=sentence, next_step="Choose one above.")

    app = Starlette(routes=routes, exception_handlers={404: missing, 405: missing})
    return _protected(app, desk)


def _protected(app: ASGIApp, desk: Desk) -> ASGIApp:
    """The token is asked for, and every answer carries the headers that keep a page to itself."""

    async def protected(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        refusal = _refusal(Request(scope), desk)
        await (refusal or app)(scope, receive, send_safely)

    return protected


def _refusal(request: Request, desk: Desk) -> Response | None:
    """None: it may be answered."""
    if request.url.path.startswith(f"{ROOT}static/"):
        return None  # the same for everybody, and the page that asks for the token needs it
    given = request.query_params.get(TOKEN)
    if given is not None and request.method == "GET":
        if not desk.access.is_token(given):
            return desk.page("locked", here="none", status=403, wrong=True)
        # Away from the URL, which stays in the browser's history.
        response = RedirectResponse(request.url.path, status_code=303)
        response.headers["set-cookie"] = desk.access.set_cookie()
        return response
    if not desk.access.knows(request.headers.get("cookie")):
        return desk.page("locked", here="none", status=401, wrong=False)
    return None


def _page(desk: Desk, page: Page) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        ask = Ask(path=_texts(request), query=dict(request.query_params))
        return await run_in_threadpool(_answered, desk, page, ask)

    return endpoint


def _form(desk: Desk, page: Page) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        form = _fields(await _body(request))
        objection = desk.access.form_objection(
            origin=request.headers.get("origin"), host=request.headers.get("host"), form=form
        )
        if objection is not None:
            return desk.page("problem", here="none", status=403, message=objection, next_step="Nothing was changed.")
        ask = Ask(path=_texts(request), query=dict(request.query_params), form=form)
        return await run_in_threadpool(_answered, desk, page, ask)

    return endpoint


def _fields(body: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return {}


def _texts(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in request.path_params.items()}


async def _body(request: Request) -> str:
    """Of a form; what is too long or no form is an empty one, which is refused for its missing token."""
    data = b""
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > _MOST_BYTES:
                return ""
    except ClientDisconnect:
        return ""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        return ""
    return data.decode("utf-8", "replace")


def _answered(desk: Desk, page: Page, ask: Ask) -> Response:
    try:
        return page(desk, ask)
    except InsourceError as error:
        status = 404 if isinstance(error, UsageError) and not ask.form else 400
        return desk.page("problem", here="none", status=status, message=error.message, next_step=error.next_step)
    except Exception:
        _LOG.exception("A page of the dashboard failed.")
        message = "This page failed. This is a bug: report it with the gateway's log."
        return desk.page("problem", here="none", status=500, message=message, next_step="Other pages work on.")


def _static(name: str, kind: str) -> _Endpoint:
    data = (files("insource.web") / "static" / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(data, media_type=kind)

    return endpoint
