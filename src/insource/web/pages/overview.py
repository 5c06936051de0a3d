"""What is rented and what is owned: requests and dollars by what answered them, tasks, events, and the next move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from starlette.responses import Response

from insource.core.evidence import Event
from insource.core.log_figures import DayFigures, TaskUse
from insource.core.values import JsonObject, Move, Stage, Task
from insource.web import flow, plots, shown
from insource.web.desk import Ask, Desk
from insource.workflows.saved_plan import read_plan, rows_of

_WINDOWS = (7, 30, 90, 365)
_EVENTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    task: Task
    use: TaskUse | None
    plan: JsonObject | None
    """Its row of the saved plan."""
    move: Move | None
    pinned: bool


def show(desk: Desk, ask: Ask) -> Response:
    registry, log = desk.services.registry, desk.services.exchanges.figures
    window = ask.whole("days", 30, most=3650)
    newest = log.newest()
    since = None if newest is None else newest.date() - timedelta(days=window - 1)
    figures = desk.kept.get(("days", window), lambda: log.days(since=since))
    ways = desk.kept.get(("ways", window), lambda: log.ways(since=since))
    names = {task.id: task.name for task in registry.tasks()}
    requests = sum(each.exchanges for each in figures)
    plan = read_plan(desk.services.settings)
    rows = task_rows(desk, plan)
    following = next_move(rows)
    return desk.page(
        "overview",
        here="",
        figures=figures,
        days=sorted({each.day for each in figures}),
        newest=newest,
        window=window,
        windows=_WINDOWS,
        requests=requests,
        usd=sum(each.cost_usd for each in figures),
        here_share=_share(figures, requests, here=True),
        private_share=sum(each.private for each in figures) / requests if requests else None,
        escalated=sum(each.escalated for each in figures),
        failed=sum(each.failed for each in figures),
        request_chart=plots.bars_by_day(figures, lambda f: f.exchanges, shown.number) if figures else None,
        dollar_chart=plots.bars_by_day(figures, lambda f: f.cost_usd, shown.usd) if figures else None,
        flows=flow.flows(ways, names),
        tasks=rows,
        planned=None if plan is None else plan.get("created"),
        next_move=None if following is None else following.plan,
        saving=None if following is None or following.plan is None else saving_words(following.plan),
        events=newest_events(registry.events(newest=_EVENTS)),
    )


def _share(figures: Iterable[DayFigures], requests: int, *, here: bool) -> float | None:
    answered = sum(each.exchanges for each in figures if each.upstream.startswith("engine:") is here)
    return answered / requests if requests else None


def newest_events(events: list[Event]) -> list[Event]:
    return events[::-1]


def task_rows(desk: Desk, plan: JsonObject | None) -> list[TaskRow]:
    """Of the tasks that the log holds now, most requests first."""
    registry, log = desk.services.registry, desk.services.exchanges.figures
    uses = desk.kept.get("tasks", log.tasks)
    planned = rows_of(plan)
    moves = {move.task_id: move for move in registry.moves()}
    pins = {pin.task_id for pin in registry.pins()}
    rows = [
        TaskRow(
            task=task,
            use=uses.get(task.id),
            plan=planned.get(task.id),
            move=moves.get(task.id),
            pinned=task.id in pins,
        )
        for task in registry.tasks()
    ]
    return sorted(rows, key=lambda row: -(row.use.exchanges if row.use else 0))


def next_move(rows: Iterable[TaskRow]) -> TaskRow | None:
    """The certified task that saves most and answers nobody here yet. Pure."""
    waiting = [
        row
        for row in rows
        if row.plan is not None
        and row.plan.get("coverage")
        and not row.pinned
        and (row.move is None or row.move.stage not in (Stage.CANARY, Stage.LIVE))
    ]
    return max(waiting, key=lambda row: _saving(row.plan or {}), default=None)


def _saving(plan: JsonObject) -> float:
    monthly = plan.get("saving_usd_per_month")
    return (
        monthly if isinstance(monthly, int | float) else plan.get("spend_usd", 0.0) - plan.get("spend_after_usd", 0.0)
    )


def saving_words(plan: JsonObject) -> str:
    """What moving it would save, as a sentence."""
    share = shown.percent(plan["coverage"], 0)
    if isinstance(plan.get("saving_usd_per_month"), int | float):
        return f"Moving {share} of it would save {shown.usd(plan['saving_usd_per_month'])} a month."
    return f"Moving {share} of it would have saved {shown.usd(_saving(plan))} of the hosted cost in the log."
