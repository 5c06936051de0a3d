"""`insource tasks`: what the traffic is made of. Reads the log, finds the tasks, stores them and who belongs to
them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from insource.core.errors import EmptyLog
from insource.core.ports import PrivacyDetector
from insource.core.values import Exchange, JsonObject, Task, TaskFigures
from insource.traffic.discovery import DiscoveryInput, discover
from insource.traffic.figures import HIDDEN, task_figures
from insource.traffic.matcher import routable
from insource.wire.prompts import asks
from insource.workflows.prove.scan_log import scan_log
from insource.workflows.services import Progress, Services, quiet

_PROGRESS_EVERY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    task: Task
    figures: TaskFigures

    @property
    def routable(self) -> bool:
        """False: the gateway can't recognise such a request until the application declares its task."""
        return routable(self.task)


def find_tasks(services: Services, *, progress: Progress = quiet) -> list[TaskReport]:
    """Most exchanges first. What the user renamed, merged or split stays so (see traffic/discovery.py).

    Raises EmptyLog.
    """
    scan_log(services, progress=progress)
    exchanges, shares = _read(services, progress)
    existing, assigned = services.registry.tasks(), services.exchanges.assignments()
    with_body = [item for item in exchanges if asks(item.request)]
    progress("Finding tasks", 0, None)
    mask = masker(services.detector)
    found = discover(
        [DiscoveryInput.of(item) for item in with_body],
        existing=existing,
        assigned=assigned,
        keep=_in_use(services, existing, exchanges),
        mask=mask,
    )
    task_of = dict(found.task_of)
    known = {task.id for task in found.tasks}
    for item in exchanges:
        if item.id not in task_of and (owner := _recorded_task(item, assigned.get(item.id))) in known:
            task_of[item.id] = owner
    task_of |= {id: task_of[first] for id, first in shares.items() if first in task_of}
    services.registry.put_tasks(found.tasks)
    services.exchanges.assign(task_of)
    members: defaultdict[str, list[Exchange]] = defaultdict(list)
    for item in exchanges:
        if item.id in task_of:
            members[task_of[item.id]].append(item)
    reports = [
        TaskReport(task=task, figures=task_figures(members[task.id], mask=mask))
        for task in found.tasks
        if members[task.id]
    ]
    progress("Finding tasks", len(reports), len(reports))
    return reports


def _read(services: Services, progress: Progress) -> tuple[list[Exchange], dict[str, str]]:
    """The log, and of each share of a move the exchange that it stands beside."""
    total = services.exchanges.count()
    if not total:
        raise EmptyLog(
            "The exchange log is empty, so there are no tasks to find.",
            next_step="Fill it with `insource import FILE`, or send traffic through `insource serve`.",
        )
    exchanges: list[Exchange] = []
    shares: dict[str, str] = {}
    for item in services.exchanges.read():
        if item.marks.is_extra:  # a second answer to a request that is in the log already
            shares |= {} if item.marks.share_of is None else {item.id: item.marks.share_of}
            continue
        exchanges.append(item)
        if len(exchanges) % _PROGRESS_EVERY == 0:
            progress("Reading the log", len(exchanges), total)
    progress("Reading the log", len(exchanges), total)
    return exchanges, shares


def _in_use(services: Services, existing: Iterable[Task], exchanges: Iterable[Exchange]) -> set[str]:
    """Tasks that something hangs on: candidates, a move, a pin, or exchanges kept without their bodies."""
    registry = services.registry
    used = {candidate.task_id for candidate in registry.candidates()}
    used |= {move.task_id for move in registry.moves()} | {pin.task_id for pin in registry.pins()}
    used |= {item.route.task_id for item in exchanges if item.route is not None and item.route.task_id is not None}
    return used & {task.id for task in existing}


def _recorded_task(item: Exchange, assigned: str | None) -> str:
    """Of an exchange whose body was not kept: what the gateway took it for."""
    return (item.route.task_id if item.route else None) or assigned or ""


def masker(detector: PrivacyDetector) -> Callable[[str], str]:
    """Replaces private spans by their kinds; a text that the detector fails on is hidden whole."""

    def mask(text: str) -> str:
        try:
            spans = sorted(detector.scan(text), key=lambda span: span.start, reverse=True)
        except Exception:  # fail closed, whatever went wrong in a detector that may be anybody's plugin
            return HIDDEN
        end = len(text)
        for span in spans:
            text = text[: span.start] + f"[{span.kind}]" + text[max(span.start, min(span.end, end)) :]
            end = span.start
        return text

    return mask


def task_json(report: TaskReport) -> JsonObject:
    """One task of `insource tasks --json` (DESIGN §8: fields are added, never renamed)."""
    task, figures = report.task, report.figures
    return {
        "id": task.id,
        "name": task.name,
        "exchanges": figures.exchanges,
        "inputs": figures.inputs,
        "output_kind": task.output.kind.value,
        "labels": list(task.output.labels),
        "json_schema": task.output.json_schema,
        "cost_usd": figures.cost_usd,
        "cost_estimated_share": figures.cost_estimated_share,
        "latency_p50_seconds": figures.latency_p50_seconds,
        "private_share": figures.private_share,
        "with_reference": figures.with_reference,
        "reference_kinds": list(figures.reference_kinds),
        "first_created": figures.first_created.isoformat(),
        "last_created": figures.last_created.isoformat(),
        "examples": list(figures.examples),
        "routable": report.routable,
        "matchers": [{"kind": matcher.kind, "value": matcher.value} for matcher in task.matchers],
    }


def write_assignments(services: Services, path: Path) -> int:
    """Writes `exchange_id,task_id` lines in the order of ids; returns how many."""
    assignments = sorted(services.exchanges.assignments().items())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("exchange_id", "task_id"))
        writer.writerows(assignments)
    return len(assignments)
