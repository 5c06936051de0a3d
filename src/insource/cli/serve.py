"""`insource serve`: the gateway and the report page on loopback."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.output import Output
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.core.values import JsonObject
    from insource.workflows.services import Services

PortOption = Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")]
HostOption = Annotated[str | None, typer.Option(help="Address to listen on; default: loopback.")]


def serve(host: HostOption = None, port: PortOption = None) -> None:
    """Serve the gateway: point your application's OpenAI base URL at it."""
    with session(host=host, port=port) as (services, out):
        run(services, out, page=latest_page(services))


def latest_page(services: Services) -> str | None:
    """The report that `insource plan` wrote last, if any."""
    path = services.settings.home / "plan.html"
    return path.read_text("utf-8") if path.is_file() else None


def _example(services: Services) -> JsonObject:
    """A request to try: a replay knows only what was recorded, so there it is a recorded one."""
    if services.settings.provider_replay:
        for exchange in services.exchanges.read():
            if exchange.response is not None and exchange.private_kinds == ():
                return exchange.request
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}


def run(services: Services, out: Output, *, page: str | None) -> None:
    """Serves until interrupted."""
    from insource.gateway.server import serve_until_stopped

    def ready(url: str) -> None:
        out.say(f"Gateway: {url}/v1   Report: {url}/   Metrics: {url}/metrics   (Ctrl-C ends)")
        data = shlex.quote(json.dumps(_example(services), ensure_ascii=False))
        out.say(f"Try: curl -i {url}/v1/chat/completions -H 'content-type: application/json' -d {data}")

    serve_until_stopped(services, page=page, on_ready=ready)
