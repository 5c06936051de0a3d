"""Deciding disagreements: one at a time, one key each, with undo. A sitting is what one start of insource has open."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.responses import Response

from insource.core.errors import InsourceError, UsageError
from insource.web.desk import Ask, Desk
from insource.web.pages.overview import task_rows
from insource.workflows.prove.review import CHOICES, Choice, Disagreement, Review, judge, open_review, take_back
from insource.workflows.saved_plan import read_plan


@dataclass(slots=True)
class Sitting:
    review: Review
    decided: list[tuple[Disagreement, Choice]] = field(default_factory=list[tuple[Disagreement, Choice]])
    skipped: set[str] = field(default_factory=set[str])

    @property
    def waiting(self) -> list[Disagreement]:
        gone = {each.exchange_id for each, _ in self.decided}
        left = [each for each in self.review.waiting if each.exchange_id not in gone]
        return sorted(left, key=lambda each: each.exchange_id in self.skipped)

    @property
    def judged(self) -> int:
        return self.review.judged + len(self.decided)


def listed(desk: Desk, ask: Ask) -> Response:
    measured = {evaluation.task_id for evaluation in desk.services.evidence.evaluations()}
    rows = [row for row in task_rows(desk, read_plan(desk.services.settings)) if row.task.id in measured]
    return desk.page("reviews", here="review", rows=rows)


def show(desk: Desk, ask: Ask) -> Response:
    task = desk.task(ask.path["task"])
    if "again" in ask.query:
        desk.sittings.pop(task.id, None)
    try:
        sitting = _sitting(desk, task.id)
    except InsourceError as error:
        return desk.page("review", here="review", task=task, sitting=None, error=error, current=None, waiting=0)
    waiting = sitting.waiting
    return desk.page(
        "review",
        here="review",
        task=task,
        sitting=sitting,
        error=None,
        current=waiting[0] if waiting else None,
        waiting=len(waiting),
    )


def _sitting(desk: Desk, task_id: str) -> Sitting:
    found = desk.sittings.get(task_id)
    if found is None:
        found = desk.sittings[task_id] = Sitting(open_review(desk.services, task_id))
    return found


def decide(desk: Desk, ask: Ask) -> Response:
    task = desk.task(ask.path["task"])
    sitting = _sitting(desk, task.id)
    choice = ask.form.get("choice", "")
    if choice == "undo":
        if sitting.decided:
            take_back(desk.services, task, sitting.decided.pop()[0])
        return desk.go_to(f"review/{task.id}")
    asked = next((each for each in sitting.waiting if each.exchange_id == ask.form.get("exchange")), None)
    if asked is None:  # decided already, in another window
        return desk.go_to(f"review/{task.id}")
    if choice == "skip":
        sitting.skipped.add(asked.exchange_id)
        return desk.go_to(f"review/{task.id}")
    chosen: Choice | None = next((each for each in CHOICES if each == choice), None)
    if chosen is None:
        raise UsageError(f"{choice!r} is not one of the choices.", next_step=f"Choose one of: {', '.join(CHOICES)}.")
    judge(desk.services, task, asked, choice=chosen)
    sitting.decided.append((asked, chosen))
    return desk.go_to(f"review/{task.id}")
