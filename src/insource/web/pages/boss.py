"""The plan on one printable page: what it saves, what moves, how sure, what stays and why; the numbers of the JSON."""

from __future__ import annotations

from starlette.responses import Response

from insource.core.values import JsonObject
from insource.web import shown
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
        naming=any(row.get("open_models") for row in tasks),
        monthly=monthly(plan or {}),
        break_even=break_even_words(plan or {}),
    )


def monthly(plan: JsonObject) -> list[tuple[str, float]]:
    """(what it is, US dollars) of the figures a month that this plan holds; a short log or an old plan has none."""
    machine = plan.get("machine")
    named = (
        ("for hosted answers a month", plan.get("spend_usd_per_month")),
        ("saved a month by the moves", plan.get("saving_usd_per_month")),
        ("for the machine a month", machine.get("usd_per_month") if isinstance(machine, dict) else None),
        ("left a month after the machine's cost", plan.get("net_saving_usd_per_month")),
    )
    return [(words, value) for words, value in named if isinstance(value, int | float)]


def break_even_words(plan: JsonObject) -> str | None:
    """From how much traffic on the moves pay for the machine, as a sentence; None: the plan does not say."""
    share = plan.get("break_even_share")
    if not isinstance(share, int | float):
        return None
    if share <= 1:
        return f"The moves pay for the machine from {shown.percent(share, 0)} of today's traffic on."
    return f"The moves pay for the machine at {share:.1f} times today's traffic; today they do not."
