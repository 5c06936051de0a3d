"""`insource criterion`: what counts as right in a task, shown or chosen by the user."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from insource.core.errors import UsageError
from insource.core.evidence import Criterion, Event, Example
from insource.core.values import JsonObject, Task
from insource.evals.criterion import infer_criterion
from insource.evals.scorers import labels_of
from insource.traffic.resolve import resolve_task
from insource.workflows.prove.task_log import TaskLog, read_task_log, scoring_by
from insource.workflows.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionReport:
    task: Task
    criterion: Criterion
    inferred: Criterion
    """What the answers show, also where the user chose another."""
    answers: int
    differing: tuple[tuple[str, str], ...]
    """Pairs of answers that differ in their text and count as the same: a look at what the criterion overlooks."""


def show_criterion(services: Services, task_name: str) -> CriterionReport:
    task = resolve_task(services.registry.tasks(), task_name)
    log = read_task_log(services, task)
    references = [example.reference for example in log.examples.values() if example.teaches]
    return CriterionReport(
        task=task,
        criterion=log.criterion,
        inferred=infer_criterion(task.output, references),
        answers=len(references),
        differing=_same_though_different(log),
    )


def choose_criterion(
    services: Services, task_name: str, scorer: str, *, arguments: JsonObject | None = None
) -> CriterionReport:
    """Stores the user's choice, after it was tried once. `arguments` None: those that the task's answers give.

    Raises UsageError, and BadInput for a checker that can't score an answer.
    """
    task = resolve_task(services.registry.tasks(), task_name)
    log = read_task_log(services, task)
    examples = list(log.examples.values())
    known = _arguments(task, scorer, examples) if arguments is None else arguments
    chosen = Criterion(scorer=scorer, arguments=known, chosen_by="user", reason="You chose it.")
    scoring = scoring_by(services, chosen)
    if scoring is not None and examples:
        scoring.loss_local(examples[0].reference, examples[0])  # a checker that can't run fails here, not in an hour
    services.registry.put_criterion(task.id, chosen)
    services.registry.put_event(
        Event(
            created=services.clock.now(),
            task_id=task.id,
            kind="criterion",
            text=f"What counts as right in {task.name!r} was set to {scorer!r}.",
        )
    )
    return show_criterion(services, task_name)


def infer_again(services: Services, task_name: str) -> CriterionReport:
    """Forgets the user's choice."""
    task = resolve_task(services.registry.tasks(), task_name)
    services.registry.put_criterion(task.id, None)
    return show_criterion(services, task_name)


def _arguments(task: Task, scorer: str, examples: Sequence[Example]) -> JsonObject:
    if scorer == "label":
        labels = list(task.output.labels) or sorted({example.reference.strip() for example in examples})
        return {"labels": labels}
    return {"schema": task.output.json_schema} if scorer == "json" else {}


def checker_arguments(command: str, seconds: float) -> JsonObject:
    """Raises UsageError for a command without words."""
    words = shlex.split(command)
    if not words:
        raise UsageError("No checker was named.", next_step="`--checker 'python check.py'`.")
    return {"command": words, "seconds": seconds}


def _same_though_different(log: TaskLog, most: int = 3) -> tuple[tuple[str, str], ...]:
    if log.scoring is None:
        return ()
    first: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for example in log.examples.values():
        text = example.reference.strip()
        known = first.setdefault(log.canonical(example), text)
        if known != text and (known, text) not in found:
            found.append((known, text))
            if len(found) == most:
                break
    return tuple(found)


def criterion_words(criterion: Criterion) -> str:
    """One line about it."""
    if criterion.scorer is None:
        return f"nobody can tell yet. {criterion.reason}"
    labels = labels_of(criterion.arguments)
    shown = f" ({len(labels)} labels)" if labels else ""
    if criterion.scorer == "checker":
        shown = " " + shlex.join(str(word) for word in criterion.arguments.get("command") or [])
    elif not labels and criterion.arguments:
        shown = f" {json.dumps(criterion.arguments, ensure_ascii=False)[:80]}"
    if criterion.chosen_by == "user":
        return f"{criterion.scorer}{shown}. {criterion.reason}"
    return f"{criterion.scorer}{shown}: inferred, confidence {criterion.confidence:.0%}. {criterion.reason}"
