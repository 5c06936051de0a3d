"""What happened to moves, as a page for people: a paragraph for each task, its days in order. Pure."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from insource.core.evidence import Event
from insource.core.values import JsonObject
from insource.evals.documents import plain

NEXT = " Next: "
"""In an event's text: before the command that follows from it."""
IMPORTANT = (
    "rolled back",
    "reference changed",
    "system changed",
    "worse in shadow",
    "expired",
    "promoted",
    "moved",
    "suggestion",
    "renewed",
    "pinned",
    "unpinned",
    "criterion",
)
"""Kinds that a page tells, the most urgent first."""
REPEATED = ("renewed", "reference changed", "suggestion")
"""Told once, the last one, with how often it came: they come again as long as nothing is done."""
_MOST = 12
"""Of one task; what is left out is counted."""
_COLUMNS = 80
_INDENT = " " * 16


def message(event: Event) -> JsonObject:
    """As JSON, also for the webhook; `text` is what most chat services show."""
    return {
        "kind": event.kind,
        "task": event.task_id,
        "created": event.created.isoformat(),
        "text": event.text,
        "figures": plain(event.figures),
    }


def told(read: Callable[[str], Iterable[Event]]) -> list[Event]:
    """What a page tells, in order; read by kind, because a privacy policy may note an event for every request."""
    return sorted((event for kind in IMPORTANT for event in read(kind)), key=lambda event: event.created)


def page(events: Sequence[Event], names: Mapping[str, str]) -> str:
    """Tasks with something urgent come first."""
    by_task: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind in IMPORTANT:
            by_task[event.task_id or ""].append(event)
    order = sorted(by_task, key=lambda id: (min(IMPORTANT.index(e.kind) for e in by_task[id]), id))
    return "\n\n".join(_paragraph(names.get(id, id) or "All tasks", by_task[id]) for id in order)


def _paragraph(name: str, events: Sequence[Event]) -> str:
    kept = [event for at, event in enumerate(events) if not _comes_again(event, events[at + 1 :])]
    urgent = sorted(kept, key=lambda e: IMPORTANT.index(e.kind))[:_MOST]
    shown = [_entry(name, event, events) for event in kept if event in urgent]
    left = len(kept) - len(urgent)
    return "\n".join([name, *shown, *([f"  {left} more: insource moves --events --json"] if left else [])])


def _comes_again(event: Event, later: Sequence[Event]) -> bool:
    return event.kind in REPEATED and any(other.kind == event.kind for other in later)


def _entry(name: str, event: Event, events: Sequence[Event]) -> str:
    """The task's name is the heading; the next command is a line of its own, whole, so that it can be copied."""
    said, _, following = event.text.removeprefix(f"{name!r}: ").partition(NEXT)
    same = [other for other in events if other.kind == event.kind]
    if event.kind in REPEATED and len(same) > 1:
        said += f" ({len(same)} times since {same[0].created:%d %b})"
    lines = textwrap.wrap(
        said,
        _COLUMNS,
        initial_indent=f"  {event.created:%d %b %H:%M}  ",
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([*lines, *([f"{_INDENT}Next: {following}"] if following else [])])
