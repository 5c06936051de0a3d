"""The plan on one printable page: what it saves, what moves, how sure, what stays and why; the numbers of the JSON."""

from __future__ import annotations

from starlette.responses import Response

from insource.core.values import JsonObject
from insource.web.desk import Ask, Desk
from insource.workflows.saved_plan import read_plan


def show(desk: Desk, ask: Ask) -> Response:
    plan = read_plan(desk.services.settings)
    tasks: list[JsonObject] = [] if plan is None else plan["tasks"]
    return desk.page(
        "boss",
        here="plan",
        plan=plan,
        moving=[row for row in tasks if row.get("coverage")],
        staying=[row for row in tasks if not row.get("coverage")],
        monthly=monthly(plan or {}),
    )


def monthly(plan: JsonObject) -> list[tuple[str, str, float]]:
    """(key, what it is, US dollars) of the figures by month that this plan holds; older plans hold none. Pure."""
    named = (
        ("spend_usd_per_month", "for hosted answers a month"),
        ("saving_usd_per_month", "saved a month by the moves"),
        ("machine_usd_per_month", "for the machine a month"),
    )
    return [(key, words, plan[key]) for key, words in named if isinstance(plan.get(key), int | float)]
