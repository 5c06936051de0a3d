"""A plan in a terminal: what to do with each task and why, and the money; where there is room, a table first."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING

from insource.cli.output import Output, counted
from insource.core.hardware import HERE, say_machine

if TYPE_CHECKING:
    from insource.workflows.plan import Plan, PlanRow

_WIDTH = 80
_ROOM_FOR_A_TABLE = 100


def show_plan(made: Plan, out: Output) -> None:
    title, has_table = f"Plan ({counted(made.exchanges, 'exchange')})", out.width >= _ROOM_FOR_A_TABLE
    if has_table:
        columns = ["task", ">requests", "verdict", ">moved", ">quality (n)", f">{_saves(made)}"]
        out.table(title, columns, (_cells(row, made) for row in made.rows))
    else:
        out.text(title)
    for row in made.rows:
        out.text(f"{row.report.task.name} ({row.report.task.id}): {row.verdict.value}")
        out.text(_indented(_why(row) if has_table else f"{_amounts(row, made)} {_why(row)}"))
        for line in _offer_lines(row, made):
            out.text(line)
    out.text("")
    for line in money_lines(made):
        out.text(line)
    if made.private_share > 0:
        out.text(
            f"{made.private_share:.1%} of the requests hold private data. They go where all others go;\n"
            "`insource privacy test` shows what a policy would do with them."
        )
    for row in made.rows:
        if row.coverage > 0:
            out.say(f"Next: insource move {row.report.task.id}")
    if made.machine == HERE and any(row.offers for row in made.rows):
        out.say("Next: insource plan --pull downloads and measures the open models that are named above.")


def show_offers(made: Plan, out: Output) -> None:
    """The open models named for tasks that stay, before a question about them."""
    for row in made.rows:
        if row.offers:
            out.say(f"{row.report.task.name} ({row.report.task.id}): {row.verdict.value}")
            for line in _offer_lines(row, made):
                out.say(line)


def _offer_lines(row: PlanRow, made: Plan) -> Iterator[str]:
    from insource.workflows.choose.offer import offer_line  # late, with the scout

    if not row.offers:
        if row.no_offer:
            yield _indented(row.no_offer)
        return
    yield _indented(f"Open models to try on {say_machine(made.machine)}: {'; '.join(map(offer_line, row.offers))}.")


def _saves(made: Plan) -> str:
    return "saves a month" if made.a_month(0.0) is not None else "saves in the log"


def _cells(row: PlanRow, made: Plan) -> tuple[str, ...]:
    evaluation = row.evaluation
    shown = (evaluation.covered or evaluation.overall) if evaluation else None
    saving = made.a_month(row.saving_usd)
    return (
        row.report.task.name,
        f"{row.exchanges:,}",
        row.verdict.value,
        f"{row.coverage:.1%}" if row.coverage else "–",
        f"{shown.quality:.1%} ({shown.n})" if shown else "–",
        usd(row.saving_usd if saving is None else saving) if row.saving_usd > 0 else "–",
    )


def _amounts(row: PlanRow, made: Plan) -> str:
    """What the table would say, as a sentence."""
    said = counted(row.exchanges, "request")
    if row.coverage:
        said += f", {row.coverage:.1%} moved"
    if row.saving_usd > 0:
        saving = made.a_month(row.saving_usd)
        said += f", {_saves(made).replace('saves', 'saves ' + usd(row.saving_usd if saving is None else saving), 1)}"
    return f"{said}."


def _why(row: PlanRow) -> str:
    evaluation = row.evaluation
    labels = "label" in row.report.figures.reference_kinds
    parts = [
        f"{row.recipe}: {row.reason}" if row.recipe and row.coverage > 0 else row.reason,
        "Compared with labels, not with hosted answers." if labels and evaluation else "",
        f"About {row.n_needed:,} exchanges are needed." if row.n_needed and row.coverage <= 0 else "",
        _served(row),
        f"{row.share_private:.1%} of its requests hold private data." if row.private else "",
    ]
    return " ".join(part for part in parts if part)


def _served(row: PlanRow) -> str:
    """Model, licence and load of a move."""
    serving = row.serving
    if serving is None or row.coverage <= 0:
        return ""
    licence = serving.licence.strictest.license if serving.licence else None
    load = serving.carried
    said = f"Model {serving.model}, licence {licence or 'not stated'}."
    if load is None or not load.requests_per_minute:
        return said
    needed = "" if load.needed_per_minute is None else f"; its busiest hour needs {load.needed_per_minute:,.3g}"
    machine = say_machine(load.machine, begins=True)
    return f"{said} {machine} can serve {load.requests_per_minute:,.3g} requests a minute{needed}."


def money_lines(made: Plan) -> Iterator[str]:
    """What hosted calls cost now and after the moves, what of it is estimated, the machine, and when it pays."""
    monthly = made.a_month(0.0) is not None
    per = " a month" if monthly else ""
    yield f"Hosted calls: {_period(made)}"
    estimated = _amount(made, made.spend_estimated_usd)
    note = f" ({usd(estimated)} of it estimated from list prices)" if made.spend_estimated_usd else ""
    yield f"  now             {usd(_amount(made, made.spend_usd))}{per}{note}"
    saving, share = _amount(made, made.saving_usd), made.saving_usd / made.spend_usd if made.spend_usd else 0.0
    yield (
        f"  after the moves {usd(_amount(made, made.spend_after_usd))}{per}: saves {usd(saving)} ({share:.0%}), "
        f"{made.moved_share:.1%} of the requests"
    )
    if made.unpriced:
        yield f"  Without a known price, counted as free: {counted(made.unpriced, 'request')} (--price MODEL=IN/OUT)."
    yield from _machine_lines(made)


def _machine_lines(made: Plan) -> Iterator[str]:
    cost, total = made.machine_cost, made.machine_cost.total_usd_per_month
    name = say_machine(made.machine)
    if total is None:
        yield f"Machine: what {name} costs is not set (`machine_usd_per_month`, or"
        yield "  `machine_watts` and `usd_per_kwh`), so the saving is before its cost."
        return
    power = cost.power_usd_per_month
    parts = [f"rent or price {usd(cost.usd_per_month)}"] if cost.usd_per_month is not None else []
    parts += [f"{cost.watts:,.0f} W of power {usd(power)}"] if power is not None else []
    yield f"Machine: {name} costs {usd(total)} a month ({', '.join(parts)})."
    net, needed = made.net_saving_usd_per_month, made.break_even_share
    if net is None:
        return
    if needed is None:
        yield "  Nothing is saved, so no amount of this traffic pays for it."
    elif needed <= 1:
        yield f"  {usd(net)} a month remain. It pays for itself from {needed:.0%} of today's traffic."
    else:
        yield f"  It costs {usd(-net)} a month more than is saved, and pays for itself from"
        yield f"  {needed:,.3g} times today's traffic."


def _period(made: Plan) -> str:
    period = made.period
    if period is None:
        return "the log states no times, so these are its sums."
    days = " to ".join(f"{day.day} {day:%B %Y}" for day in (period.first, period.last))
    if made.a_month(0.0) is None:
        return "the log covers less than a day, too short for a month; its sums."
    return f"the log covers {period.days:,.0f} days, {days}."


def _amount(made: Plan, amount: float) -> float:
    scaled = made.a_month(amount)
    return amount if scaled is None else scaled


def _indented(text: str) -> str:
    return fill(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def usd(amount: float) -> str:
    """Cents, or two digits of what is less than ten of them."""
    return f"${amount:,.2f}" if amount == 0 or abs(amount) >= 0.1 else f"${amount:.2g}"
