"""`insource tasks rename|merge|split`: what the user knows better than discovery.

An edit is kept in the tasks themselves, and discovery begins with the tasks that are there, so it survives every later
one: a renamed task keeps its id and so its name; a merged task has the matchers of all; a split-off task has a
`contains` matcher, which is tried on the requests of the task that it was split from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from insource.core.errors import UsageError
from insource.core.stores import ExchangeFilter
from insource.core.values import Matcher, Stage, Task
from insource.traffic.discovery import new_task
from insource.traffic.matcher import routable
from insource.traffic.naming import clean, shorten, unique
from insource.traffic.resolve import resolve_task
from insource.traffic.templates import Contained, view
from insource.workflows.prove.find_tasks import TaskReport, find_tasks
from insource.workflows.services import Progress, Services, quiet


def rename_task(services: Services, task: str, name: str) -> Task:
    """Raises UnknownTask, UsageError for a name that is empty or another task's."""
    tasks = services.registry.tasks()
    chosen = resolve_task(tasks, task)
    short = _free_name(name, [other for other in tasks if other.id != chosen.id])
    renamed = replace(chosen, name=short)
    services.registry.put_tasks([renamed if other.id == chosen.id else other for other in tasks])
    return renamed


def _free_name(name: str, others: Sequence[Task]) -> str:
    short = shorten(clean(name))
    if not short:
        raise UsageError(f"{name!r} is not a name: nothing readable is left of it.", next_step="Use letters.")
    if unique(short, [other.name for other in others]) != short:
        raise UsageError(f"Another task is named {short!r}.", next_step="Choose another name, or merge the two.")
    return short


def merge_tasks(services: Services, tasks: Sequence[str], *, progress: Progress = quiet) -> TaskReport:
    """The first takes over the matchers and the exchanges of the others, which are gone.

    Raises UnknownTask, and UsageError while one of the others is moved or pinned, or when there is only one.
    """
    known = services.registry.tasks()
    chosen = list({task.id: task for task in (resolve_task(known, text) for text in tasks)}.values())
    if len(chosen) < 2:
        raise UsageError("A merge needs two different tasks.", next_step="`insource tasks` lists them.")
    first, gone = chosen[0], {task.id: task for task in chosen[1:]}
    _refuse_moved(services, list(gone.values()))
    matchers = dict.fromkeys(matcher for task in chosen for matcher in task.matchers)
    merged = replace(first, matchers=tuple(matchers))
    kept = [merged if task.id == first.id else task for task in known if task.id not in gone]
    services.registry.put_tasks([_follow(task, first.id, gone) for task in kept])
    assigned = services.exchanges.assignments()
    services.exchanges.assign({id: first.id if owner in gone else owner for id, owner in assigned.items()})
    return _report_of(services, first.id, progress)


def _refuse_moved(services: Services, tasks: Sequence[Task]) -> None:
    moved = {move.task_id for move in services.registry.moves() if move.stage is not Stage.ROLLED_BACK}
    moved |= {pin.task_id for pin in services.registry.pins()}
    for task in tasks:
        if task.id in moved:
            raise UsageError(
                f"Task {task.name!r} is moved or pinned, and would be gone after the merge.",
                next_step=f"Name it first in the merge, or run `insource rollback {task.id}`.",
            )


def _follow(task: Task, target: str, gone: dict[str, Task]) -> Task:
    """What was split off a task that is gone is now split off the merged one."""
    matchers: list[Matcher] = []
    for matcher in task.matchers:
        part = Contained.decode(matcher.value) if matcher.kind == "contains" else None
        if part is not None and part.of in gone:
            matcher = replace(matcher, value=Contained(text=part.text, of=target).encode())
        matchers.append(matcher)
    return replace(task, matchers=tuple(dict.fromkeys(matchers)))


def split_task(
    services: Services, task: str, *, contains: str, name: str | None = None, progress: Progress = quiet
) -> TaskReport:
    """Requests of the task that contain the text (letter by letter) become a task of their own.

    Raises UnknownTask, and UsageError for a text that none or all of them contain.
    """
    tasks = services.registry.tasks()
    parent = resolve_task(tasks, task)
    views = [view(item.request) for item in services.exchanges.read(ExchangeFilter(task_id=parent.id))]
    hits = sum(contains in seen.user or contains in seen.system for seen in views)
    if not contains.strip() or hits in (0, len(views)):
        raise UsageError(
            f"{'None' if not hits else 'All'} of the {len(views):,} requests of {parent.name!r} contain {contains!r}.",
            next_step="Choose a text that some of them contain; upper and lower case matter.",
        )
    places = [parent.id] if routable(parent) else []
    if any(matcher.kind == "shape" for matcher in parent.matchers):
        places.append("")
    matchers = [Matcher(kind="contains", value=Contained(text=contains, of=place).encode()) for place in places]
    wanted = _free_name(name, tasks) if name is not None else f"{shorten(parent.name, 24)}: {contains}"
    part = replace(new_task(matchers[0], wanted, [other.name for other in tasks]), matchers=tuple(matchers))
    if any(other.id == part.id for other in tasks):
        raise UsageError(f"{parent.name!r} was split by {contains!r} before.", next_step="`insource tasks` shows it.")
    services.registry.put_tasks([*tasks, part])
    return _report_of(services, part.id, progress)


def _report_of(services: Services, task_id: str, progress: Progress) -> TaskReport:
    reports = {report.task.id: report for report in find_tasks(services, progress=progress)}
    if task_id not in reports:
        raise UsageError(
            f"No exchange belongs to task {task_id!r} after this edit.",
            next_step="Another task's matcher comes first; declare the task in the application's requests instead.",
        )
    return reports[task_id]
