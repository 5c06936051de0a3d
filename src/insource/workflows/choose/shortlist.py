"""Ranking what could do the work, and a shortlist of it. Pure; the rule (`RULE`) is shown by `--explain`.

Every factor keeps its own value and its own rank; the order follows from them by a rule that can be redone by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from insource.core.evidence import End, Interval
from insource.hub.activity import Activity
from insource.hub.arena import ArenaScore
from insource.hub.names import family
from insource.hub.published import PublishedScore
from insource.workflows.choose.sift import Found

RULE = """\
1. Own measurements come first. Certified here for this task (MOVE, MOVE PART): above all others, by the lower end of
   the quality's interval. Certified here for another task: next. Measured here for this task with nothing but KEEP:
   last, whatever others say. A measurement that does not decide (MORE DATA, ADAPT) is shown and changes no order.
2. Within each of these, by the mean of relative ranks: derivatives (all descendants where the catalogue holds
   lineage; else copies and models of other owners named after it), recent derivatives (of the last 90 days: velocity;
   direct ones by lineage), downloads and likes (each as a percentile among models of
   like size), age (the younger the better), arena score (where a table is given). A relative rank is 0 for the best of
   the models that passed the filters and 1 for the last; equal values share a rank. Where a factor is not known, 0.5
   stands in the mean, so that a model can't lead by the one figure that is known of it.
3. The shortlist: `largest` has at least two thirds of the parameters of the largest model that passed, `middle` at
   least an eighth, `small` less. The same number from each, best first; in a band no family comes twice while another
   is left, and places that a band can't fill go to the best of the others. Copies of one model are one model.\
"""

FactorName = Literal["derivatives", "recent_derivatives", "downloads", "likes", "arena", "age"]
Band = Literal["small", "middle", "largest"]
BANDS: tuple[Band, ...] = ("small", "middle", "largest")
TIERS = ("for this task", "for another", "no", "not safe")
"""Names of the tiers, by number: what was measured here."""
_LARGEST_SHARE = 2 / 3
_MIDDLE_SHARE = 1 / 8
_UNKNOWN_RANK = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """An evaluation made here of a candidate with this model."""

    task_id: str
    candidate_id: str
    recipe: str
    end: End
    n: int
    quality: float
    quality_interval: Interval
    coverage: float
    certificate_id: str | None

    @property
    def certified(self) -> bool:
        return self.certificate_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    activity: Activity
    this_task: tuple[Measurement, ...] = ()
    other_tasks: tuple[Measurement, ...] = ()
    arena: ArenaScore | None = None
    published: tuple[PublishedScore, ...] = ()
    """By others, on other work: shown, and no factor of the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    found: Found
    evidence: Evidence
    tier: int
    """0: certified for this task, 1: for another, 2: nothing measured that decides, 3: not safe for this task."""
    ranks: Mapping[FactorName, float]
    """Relative rank by factor, where known."""
    mean_rank: float
    position: int
    """From 1, of all that passed."""
    band: Band

    @property
    def family(self) -> str:
        return family(self.found.model.id, self.found.model.model_type)


_FACTORS: Mapping[FactorName, Callable[[Evidence], float | None]] = {
    "derivatives": lambda e: e.activity.derivatives,
    "recent_derivatives": lambda e: e.activity.recent_derivatives,
    "downloads": lambda e: e.activity.downloads_percentile,
    "likes": lambda e: e.activity.likes_percentile,
    "arena": lambda e: None if e.arena is None else e.arena.score,
    "age": lambda e: None if e.activity.age_months is None else -e.activity.age_months,
}
"""More is better in all of them."""


def rank(found: Sequence[Found], evidence_of: Callable[[Found], Evidence]) -> list[Ranked]:
    """The best first; what is equal in everything goes by id."""
    evidence = [evidence_of(item) for item in found]
    by_factor: dict[FactorName, list[float | None]] = {
        name: relative_ranks([value(item) for item in evidence]) for name, value in _FACTORS.items()
    }
    used: list[FactorName] = [name for name, ranked in by_factor.items() if any(r is not None for r in ranked)]
    most = max((item.model.parameters for item in found), default=0)
    rows: list[tuple[tuple[int, float, float, str], Ranked]] = []
    for index, (item, known) in enumerate(zip(found, evidence, strict=True)):
        ranks: dict[FactorName, float] = {
            name: r for name, ranked in by_factor.items() if (r := ranked[index]) is not None
        }
        mean = sum(ranks.get(name, _UNKNOWN_RANK) for name in used) / max(1, len(used))
        tier, quality = _tier(known)
        row = Ranked(
            found=item,
            evidence=known,
            tier=tier,
            ranks=ranks,
            mean_rank=mean,
            position=0,
            band=_band(item.model.parameters, most),
        )
        rows.append(((tier, -quality, mean, item.model.id), row))
    rows.sort(key=lambda pair: pair[0])
    return [replace(row, position=position) for position, (_, row) in enumerate(rows, start=1)]


def _tier(evidence: Evidence) -> tuple[int, float]:
    """With the quality that orders the first."""
    certified = [m.quality_interval.low for m in evidence.this_task if m.certified]
    if certified:
        return 0, max(certified)
    if evidence.this_task and all(m.end in ("dropped", "not shown") for m in evidence.this_task):
        return 3, 0.0
    return (1 if any(m.certified for m in evidence.other_tasks) else 2), 0.0


def relative_ranks(values: Sequence[float | None]) -> list[float | None]:
    """0 for the largest of the known values, 1 for the smallest; equal ones share the mean of their places."""
    known = sorted({value for value in values if value is not None}, reverse=True)
    counts = dict.fromkeys(known, 0)
    for value in values:
        if value is not None:
            counts[value] += 1
    place: dict[float, float] = {}
    before = 0
    for value in known:
        place[value] = before + (counts[value] - 1) / 2
        before += counts[value]
    return [None if value is None else place[value] / max(1, before - 1) for value in values]


def _band(parameters: int, most: int) -> Band:
    if parameters >= _LARGEST_SHARE * most:
        return "largest"
    return "middle" if parameters >= _MIDDLE_SHARE * most else "small"


def shortlist(ranked: Sequence[Ranked], rows: int) -> list[Ranked]:
    """By band, the small first, then by position."""
    chosen: list[Ranked] = []
    for index, band in enumerate(BANDS):
        quota = rows // len(BANDS) + (index >= len(BANDS) - rows % len(BANDS))
        chosen += _diverse([item for item in ranked if item.band == band], quota)
    taken = {item.position for item in chosen}
    chosen += _diverse([item for item in ranked if item.position not in taken], rows - len(chosen))
    chosen = _two_families(chosen, ranked)
    return sorted(chosen, key=lambda item: (BANDS.index(item.band), item.position))


def _diverse(ranked: Sequence[Ranked], most: int) -> list[Ranked]:
    """The best of every family in turn: a second of one only when all others had theirs."""
    times: dict[str, int] = {}
    order: list[tuple[int, int, Ranked]] = []
    for item in ranked:
        turn = times.get(item.family, 0)
        times[item.family] = turn + 1
        order.append((turn, item.position, item))
    return [item for _, _, item in sorted(order, key=lambda entry: entry[:2])[: max(0, most)]]


def _two_families(chosen: list[Ranked], ranked: Sequence[Ranked]) -> list[Ranked]:
    """Bands of one family each may all hold the same one: then the last by position makes room for another, of a band
    that has more of them or gets this one."""
    if len(chosen) < 2 or len({item.family for item in chosen}) > 1:
        return chosen
    other = next((item for item in ranked if item.family != chosen[0].family), None)
    if other is None:
        return chosen
    held = Counter(item.band for item in chosen)
    held[other.band] += 1
    leaves = max(chosen, key=lambda item: (held[item.band] > 1, item.position))
    return [*(item for item in chosen if item is not leaves), other]
