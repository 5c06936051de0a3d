"""`insource doctor`: what is in place and what is missing, each with the next step."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from insource.cli.options import JsonOption
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.errors import InsourceError
from insource.plugins import installed

if TYPE_CHECKING:
    from insource.config import Settings
    from insource.workflows.services import Services


def doctor(as_json: JsonOption = False) -> None:
    """Check this installation: store, model, engine, provider, port and disk; and print the settings in force."""
    from insource.wiring import open_services

    settings = load_settings()
    with open_services(settings) as services:
        checks = [_check(name, probe) for name, probe in _probes(services)]
    out = Output(as_json=as_json)
    if as_json:
        shown = {name: str(value) for name, value in settings.model_dump().items()}
        plugins = [{"group": p.group, "name": p.name, "package": p.package} for p in installed()]
        listed = [{"name": n, "ok": ok, "detail": detail} for n, ok, detail in checks]
        out.data({"checks": listed, "plugins": plugins, "settings": shown})
    else:
        out.table(
            "Checks", ["check", "", "detail"], [(n, "ok" if ok else "missing", detail) for n, ok, detail in checks]
        )
        out.table("Plugins", ["group", "name", "package"], [(p.group, p.name, p.package) for p in installed()])
        out.table("Settings", ["setting", "value"], [(n, str(v)) for n, v in settings.model_dump().items()])
    if not all(ok for _, ok, _ in checks):
        raise typer.Exit(1)


def _check(name: str, probe: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, probe()
    except InsourceError as error:
        return name, False, str(error)
    except OSError as error:
        return name, False, f"{error}."


def _probes(services: Services) -> list[tuple[str, Callable[[], str]]]:
    settings = services.settings
    return [
        ("store", lambda: f"exchanges: {services.exchanges.count():,}; tasks: {len(services.registry.tasks())}"),
        ("model", lambda: _model(services)),
        ("provider", lambda: _provider(settings)),
        ("port", lambda: _port(settings)),
        ("disk", lambda: f"{shutil.disk_usage(_existing(settings)).free / 1e9:,.1f} GB free for models"),
    ]


def _model(services: Services) -> str:
    from insource.core.values import ModelFile

    found = services.find_model(services.settings.model)
    return f"{found.ref}, {found.size_bytes / 1e6:,.0f} MB" if isinstance(found, ModelFile) else found.ref


def _provider(settings: Settings) -> str:
    if settings.provider_replay:
        return "replay of recorded exchanges"
    from insource.config import secret

    held = "set" if secret(settings.provider_key_env) else "not set; the client's own key is passed on"
    return f"{settings.provider_url}, key {settings.provider_key_env} {held}"


def _port(settings: Settings) -> str:
    with socket.socket() as probe:
        probe.bind((settings.host, settings.port))
    return f"{settings.host}:{settings.port} is free"


def _existing(settings: Settings) -> str:
    folder = settings.model_cache
    while not folder.exists():
        folder = folder.parent
    return str(folder)
