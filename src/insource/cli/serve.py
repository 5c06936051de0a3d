"""`insource serve`: the gateway and the dashboard, on loopback unless told otherwise."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import QuietOption
from insource.cli.output import Output
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.core.values import JsonObject
    from insource.workflows.services import Services

PortOption = Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")]
HostOption = Annotated[str | None, typer.Option(help="Address to listen on; default: loopback.")]
AllowNetworkOption = Annotated[
    bool, typer.Option("--allow-network", help="Allow --host to be an address that other machines can reach.")
]


def serve(
    host: HostOption = None,
    port: PortOption = None,
    allow_network: AllowNetworkOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Serve the gateway and the dashboard; point your application's base URL at it."""
    with session(as_json=as_json, quiet=quiet, host=host, port=port, allow_network=allow_network or None) as (
        services,
        out,
    ):
        run(services, out, addresses=as_json)


def _example(services: Services) -> JsonObject:
    """A request to try: a replay knows only what was recorded, so there it is a recorded one."""
    if services.settings.provider_replay:
        for exchange in services.exchanges.read():
            if exchange.is_whole and exchange.private_kinds == ():
                return exchange.request
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}


def run(services: Services, out: Output, *, addresses: bool = False) -> None:
    """Serves until interrupted. `addresses`: also as one line of JSON on stdout."""
    from insource.gateway.server import serve_until_stopped
    from insource.web.access import ROOT, TOKEN, new_token
    from insource.web.late import LateDashboard

    token = new_token()

    def ready(url: str) -> None:
        page = f"{url}{ROOT}?{TOKEN}={token}"
        if addresses:
            out.line({"gateway": f"{url}/v1", "metrics": f"{url}/metrics", "dashboard": page})
        out.say(f"Gateway: {url}/v1   Metrics: {url}/metrics   (Ctrl-C ends)")
        out.say(f"Dashboard: {page}")
        out.say(_mode_line(services))
        if services.settings.allow_network:
            out.say("Other machines may reach it, and only the dashboard asks who they are (docs/operate.md).")
        data = shlex.quote(json.dumps(_example(services), ensure_ascii=False))
        out.say(f"Try: curl -i {url}/v1/chat/completions -H 'content-type: application/json' -d {data}")

    serve_until_stopped(services, dashboard=LateDashboard(services, token), on_ready=ready)


def _mode_line(services: Services) -> str:
    """What the gateway does now, and what would change it."""
    from insource.workflows.services import policy_file, policy_in_force

    settings = services.settings
    found = policy_in_force(settings, services.registry)
    unused = f" INSOURCE_PRIVACY={settings.privacy} is not used." if settings.privacy and found.source == "file" else ""
    if not found.policy.acts:
        return (
            "Mode: observe. Every request goes to the provider unchanged; moves (`insource move`) and "
            f"a privacy policy (`insource privacy set`, or INSOURCE_PRIVACY=enforce) change that.{unused}"
        )
    if found.source == "file":
        actions = ", ".join(f"{kind} {rule.action}" for kind, rule in found.policy.kinds.items())
        return f"Mode: enforce, by the policy in {policy_file(settings)}: {actions}.{unused}"
    why = "" if settings.privacy else " because this store was begun by an older insource"
    who = f" or {settings.private_model}" if settings.private_model else ""
    return (
        f"Mode: enforce{why}. Private requests are answered by a certified candidate{who}, or refused; "
        "INSOURCE_PRIVACY=observe lets them pass."
    )
