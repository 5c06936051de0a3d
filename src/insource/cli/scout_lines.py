"""A model and why it is on the list, in one line of 80 columns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insource.workflows.choose.shortlist import FactorName, Ranked

WIDTH = 80
_GIB = 2**30
_GOOD = 0.25
"""Relative rank up to which a factor is a reason."""
_SAYS: Mapping[FactorName, Callable[[Ranked], str]] = {
    "derivatives": lambda item: f"{item.evidence.activity.derivatives:,} built on it",
    "recent_derivatives": lambda item: f"{item.evidence.activity.recent_derivatives:,} new on it",
    "downloads": lambda item: f"{_short(item.found.model.downloads or 0)} downloads",
    "likes": lambda item: f"{_short(item.found.model.likes or 0)} likes",
    "arena": lambda item: "" if item.evidence.arena is None else f"arena {item.evidence.arena.score:,.0f}",
    "age": lambda item: f"{item.evidence.activity.age_months or 0:.0f} months old",
}


def model_line(item: Ranked) -> str:
    """Position, id, what it takes and the reason; what does not fit is left out from the right, the id and the size
    never."""
    fit = item.found.fit
    size = "" if fit.needed_bytes is None else f"{fit.needed_bytes / _GIB:.1f} GiB"
    must = " ".join(part for part in (f"{item.position:>2}", item.found.model.id, fit.quantization or "", size) if part)
    speed = "" if fit.decode is None else f"{fit.decode.mid:,.3g} tokens/s"
    return _joined(must, [reason(item), speed, item.found.licence.strictest.license or "licence not stated"])


def _joined(line: str, parts: Sequence[str]) -> str:
    for part in parts:
        longer = f"{line}, {part}" if part else line
        line = longer if len(longer) <= WIDTH else line
    return line


def reason(item: Ranked) -> str:
    """What was measured here; else the best of the factors that put it where it is."""
    certified = [m for m in item.evidence.this_task if m.certified]
    if certified:
        return f"certified for {max(m.coverage for m in certified):.0%} of this task"
    if item.evidence.this_task:
        last = item.evidence.this_task[-1]
        return f"measured here: {last.end}, {last.quality:.0%} right"
    if any(m.certified for m in item.evidence.other_tasks):
        return "certified for another task"
    if not item.ranks:
        return "nothing is known of its use"
    name: FactorName = min(item.ranks, key=lambda name: item.ranks[name])
    rank = item.ranks[name]
    return _SAYS[name](item) if rank <= _GOOD else f"the best of its size ({item.band})"


def _short(count: int) -> str:
    for least, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= least:
            return f"{count / least:.3g} {unit}"
    return str(count)
