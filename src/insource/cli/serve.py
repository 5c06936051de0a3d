"""`insource serve`: the gateway and the report page on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.output import Output
from insource.cli.session import session

if TYPE_CHECKING:
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


def run(services: Services, out: Output, *, page: str | None) -> None:
    """Serves until interrupted."""
    from insource.gateway.server import serve_until_stopped

    def ready(url: str) -> None:
        body = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Is 17077 a prime number?"}]}'
        out.say(f"Gateway: {url}/v1   Report: {url}/   Metrics: {url}/metrics   (Ctrl-C ends)")
        out.say(f"Try: curl -i {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'")

    serve_until_stopped(services, page=page, on_ready=ready)
