"""This machine: memory and what it reads a second, the engines that are loaded, and what a model would need."""

from __future__ import annotations

from starlette.responses import Response

from insource.core.errors import InsourceError
from insource.core.hardware import HERE, Machine
from insource.web.desk import Ask, Desk
from insource.wiring import SystemClock
from insource.workflows.choose.machine import MachineFolders, describe, find_machine


def show(desk: Desk, ask: Ask) -> Response:
    settings = desk.services.settings
    folders = MachineFolders(home=settings.home, models=settings.model_cache)
    name = ask.query.get("name", "").strip()[:100] or HERE
    described, other, problem = None, None, None
    if name == HERE:
        described = desk.kept.get("machine", lambda: describe(folders, clock=SystemClock()))
    elif name.casefold().endswith(".toml"):
        problem = "A machine's file is read on the command line: insource machine FILE.toml."
    else:
        try:
            other = find_machine(name, folders, clock=SystemClock())
        except InsourceError as error:
            problem = str(error)
    machine: Machine | None = described.machine if described else other
    return desk.page(
        "machine",
        here="machine",
        name=name,
        machine=machine,
        kept=described.kept if described else None,
        problem=problem,
    )
