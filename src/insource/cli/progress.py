"""What long work shows: what runs, how far it is, how long it still takes; nothing for what has ended.

Whoever works reports (what, done, total) and nothing else, so which steps are open is concluded from the order of the
reports (`Steps`, pure). The display is Rich's, on stderr; without a terminal it is one line a step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

_MOST_COUNTED = 9_999
"""Above it a number says less than a percentage; sizes in bytes are far above."""
_TOO_EARLY_SECONDS = 2.0
"""Before that a rate is a guess."""


@dataclass(slots=True)
class Step:
    what: str
    done: int
    total: int | None
    holds_others: bool = False
    """Another step began and ended within it."""

    @property
    def may_hold_others(self) -> bool:
        """A step that has moved by itself is work; one that still stands at its start may be a list of works."""
        return self.holds_others or (self.total is not None and self.done == 0)


@dataclass(slots=True)
class Steps:
    """The open steps, outermost first."""

    open: list[Step] = field(default_factory=list[Step])

    def report(self, what: str, done: int, total: int | None) -> None:
        place = next((at for at, step in enumerate(self.open) if step.what == what), None)
        if place is None:
            while self.open and not self.open[-1].may_hold_others:
                self.open.pop()
            self.open.append(Step(what, done, total))
        else:
            step = self.open[place]
            step.done, step.total = done, total
            step.holds_others = step.holds_others or place < len(self.open) - 1
            del self.open[place + 1 :]
        if total is not None and done >= total:
            self.open.pop()


def seconds_left(elapsed_seconds: float, done: int, total: int | None, *, since_seconds: float = 0) -> float | None:
    """At the rate up to the last advance, which was `since_seconds` ago; None: it can't be known. Pure."""
    took_seconds = elapsed_seconds - since_seconds
    if total is None or done <= 0 or took_seconds < _TOO_EARLY_SECONDS:
        return None
    left = took_seconds * max(total - done, 0) / done - since_seconds
    return left if left > 0 else None


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 10 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def how_far(done: int, total: int | None) -> str:
    if not total:
        return f"{done:,}" if done else ""
    return f"{done:,} of {total:,}" if total <= _MOST_COUNTED else f"{100 * done // total} %"


class _HowFar(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(how_far(int(task.completed), None if task.total is None else int(task.total)))


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        total = None if task.total is None else int(task.total)
        since = elapsed - task.fields.get("advanced_seconds", 0.0)
        left = seconds_left(elapsed, int(task.completed), total, since_seconds=since)
        return Text(f"{duration(elapsed)} so far" if left is None else f"{duration(left)} left")


class ProgressReport:
    """A `workflows.services.Progress` that may be called from any thread."""

    def __init__(self, console: Console, *, silent: bool, say: Callable[[str], None]) -> None:
        self._shown = not silent and console.is_terminal
        self.bars = Progress(
            SpinnerColumn(),
            # A long name gives way; how far and how long stay.
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=16),
            _HowFar(Column(no_wrap=True)),
            _TimeLeft(Column(no_wrap=True)),
            console=console,
            expand=True,
            transient=True,
            disable=not self._shown,
        )
        self._say = say
        self._steps = Steps()
        self._ids: dict[str, TaskID] = {}
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        with self._lock:
            self._steps.report(what, done, total)
            if self._shown:
                self._draw()
            elif what not in self._said:
                self._said.add(what)
                self._say(what if what.endswith("…") else f"{what} …")

    def _draw(self) -> None:
        names = {step.what for step in self._steps.open}
        for what in [each for each in self._ids if each not in names]:
            self.bars.remove_task(self._ids.pop(what))
        for step in self._steps.open:
            if step.what not in self._ids:
                self._ids[step.what] = self.bars.add_task(escape(step.what), total=step.total)
            id = self._ids[step.what]
            task = next(each for each in self.bars.tasks if each.id == id)
            if step.done != task.completed:
                self.bars.update(id, advanced_seconds=task.elapsed or 0.0)
            self.bars.update(id, completed=step.done, total=step.total)
