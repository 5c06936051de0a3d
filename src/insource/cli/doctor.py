"""`insource doctor`: what is in place and what is missing, each with the next step."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.errors import InsourceError
from insource.plugins import installed

if TYPE_CHECKING:
    from insource.config import Settings
    from insource.workflows.services import Services


_Checked = tuple[str, bool, str]
"""Its name, whether it is well, and what was found."""


def doctor(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Check settings, store, model, privacy policy, provider, port and disk; list the settings that you changed."""
    out = Output(as_json=as_json, quiet=quiet)
    settings, checks = None, list[_Checked]()
    try:
        settings = load_settings()
    except InsourceError as error:
        # What else is wrong depends on them: this has to be mended first.
        checks.append(_failed("settings", error))
    if settings is not None:
        checks = [("settings", True, _read_from()), *_checks(settings)]
    _show(settings, checks, out)
    if not all(ok for _, ok, _ in checks):
        raise typer.Exit(1)


def _read_from() -> str:
    from insource.config import config_file

    file = config_file()
    return f"{file} and the environment" if file.exists() else f"the environment only: {file} does not exist"


def _show(settings: Settings | None, checks: list[_Checked], out: Output) -> None:
    values = {} if settings is None else {name: str(value) for name, value in settings.model_dump().items()}
    if out.as_json:
        plugins = [{"group": p.group, "name": p.name, "package": p.package} for p in installed()]
        listed = [{"name": n, "ok": ok, "detail": detail} for n, ok, detail in checks]
        out.data({"checks": listed, "plugins": plugins, "settings": values})
        return
    out.table("Checks", ["check", "", "detail"], [(n, "ok" if ok else "wrong", detail) for n, ok, detail in checks])
    out.table("Plugins", ["group", "package", "names"], _by_package())
    if settings is not None:
        changed = [(name, values[name]) for name in _changed(settings)]
        out.table("Changed settings", ["setting", "value"], changed)
        out.text(f"{len(values) - len(changed)} others have their defaults; `insource doctor --json` lists them.")


def _changed(settings: Settings) -> list[str]:
    fields = type(settings).model_fields
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    return [name for name, default in defaults.items() if getattr(settings, name) != default]


def _by_package() -> list[tuple[str, str, str]]:
    names: dict[tuple[str, str], list[str]] = {}
    for plugin in installed():
        names.setdefault((plugin.group, plugin.package), []).append(plugin.name)
    return [(group, package, ", ".join(held)) for (group, package), held in names.items()]


def _checks(settings: Settings) -> list[_Checked]:
    """A store that can't be opened is one wrong line; the others are checked all the same."""
    from insource.wiring import open_services

    checks: list[_Checked] = []
    try:
        with open_services(settings) as services:
            checks += [_check("store", lambda: _store(services)), _check("model", lambda: _model(services))]
            checks.append(_check("privacy policy", lambda: _policy(services)))
    except (InsourceError, OSError) as error:
        checks.append(_failed("store", error))
    return checks + [_check(name, probe) for name, probe in _probes(settings)]


def _failed(name: str, error: InsourceError | OSError) -> _Checked:
    detail = f"{error.message} Next: {error.next_step}" if isinstance(error, InsourceError) else f"{error}."
    return name, False, detail


def _check(name: str, probe: Callable[[], str]) -> _Checked:
    try:
        return name, True, probe()
    except (InsourceError, OSError) as error:
        return _failed(name, error)


def _probes(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    return [
        ("provider", lambda: _provider(settings)),
        ("port", lambda: _port(settings)),
        ("disk", lambda: f"{shutil.disk_usage(_existing(settings)).free / 1e9:,.1f} GB free for models"),
    ]


def _store(services: Services) -> str:
    return f"exchanges: {services.exchanges.count():,}; tasks: {len(services.registry.tasks())}"


def _policy(services: Services) -> str:
    from insource.workflows.services import policy_in_force

    found = policy_in_force(services.settings, services.registry)
    acts = "acts" if found.policy.acts else "only watches"
    return f"{acts} (from the {found.source})" if found.source != "default" else f"none: insource {acts}"


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
