"""What happened to moves, as a page for people: a paragraph for each task, its days in order. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from insource.core.evidence import Event
from insource.core.values import JsonObject
from insource.evals.documents import plain

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
_ROUTINE = ("renewed",)
"""Told once, with how often it came: each week has one."""
_MOST = 12
"""Of one task; what is left out is counted."""


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
    kept = [event for at, event in enumerate(events) if not _repeated(event, events[at + 1 :])]
    urgent = sorted(kept, key=lambda e: IMPORTANT.index(e.kind))[:_MOST]
    shown = [event for event in kept if event in urgent]
    lines = [f"  {event.created:%d %b %H:%M}  {_line(event, events)}" for event in shown]
    left = len(kept) - len(shown)
    return "\n".join([name, *lines, *([f"  and {left} more: insource moves --events --json"] if left else [])])


def _repeated(event: Event, later: Sequence[Event]) -> bool:
    return event.kind in _ROUTINE and any(other.kind == event.kind for other in later)


def _line(event: Event, events: Sequence[Event]) -> str:
    times = sum(other.kind == event.kind for other in events)
    return f"{event.text} ({times} times)" if event.kind in _ROUTINE and times > 1 else event.text
