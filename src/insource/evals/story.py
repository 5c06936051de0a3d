"""How evidence came to a verdict: the bound after each piece of it, and the risk at each coverage. Pure.

For people to look at. Nothing is decided here; the figures are those of the ledger (ledger.py) on the first so many
outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insource.core.evidence import Outcome, Terms
from insource.evals.ledger import Stakes, bets, look

_STEPS = 24
_POINTS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """Where the bound stood after so many bets."""

    bets: int
    loss_upper: float
    certified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """If what is at least this confident were answered here."""

    threshold: float
    coverage: float
    """Of all inputs."""
    loss: float
    """Mean loss difference among what is covered."""
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    narrowing: tuple[Narrowing, ...]
    risks: tuple[Risk, ...]
    """The smallest coverage first."""
    gate: Risk | None
    """At the certified gate; None: none is."""
    margin: float


def tell(terms: Terms, outcomes: Sequence[Outcome], stakes: Stakes) -> Story:
    ordered = sorted(outcomes, key=lambda outcome: outcome.place)
    found = look(terms, ordered, stakes)
    stratum = found.ledgers[0].stratum if found.ledgers else "new"
    held = bets(ordered, stratum)
    return Story(
        narrowing=tuple(_narrowing(terms, held, stakes)),
        risks=tuple(_risk(held, threshold) for threshold in _thresholds(held)),
        gate=None if found.gate is None else _risk(held, found.gate),
        margin=stakes.margin,
    )


def _narrowing(terms: Terms, held: Sequence[Outcome], stakes: Stakes) -> list[Narrowing]:
    marks = sorted({max(1, round(len(held) * step / _STEPS)) for step in range(1, _STEPS + 1)}) if held else []
    steps: list[Narrowing] = []
    for mark in marks:
        seen = look(terms, held[:mark], stakes)
        if seen.ledgers:
            first = seen.ledgers[0]
            steps.append(Narrowing(bets=mark, loss_upper=first.loss_upper, certified=first.gate is not None))
    return steps


def _thresholds(held: Sequence[Outcome]) -> list[float]:
    """The confidences that were seen, the highest first; of many only some, evenly."""
    seen = sorted({o.confidence for o in held if o.answered and o.admitted}, reverse=True)
    if len(seen) <= _POINTS:
        return seen
    return [seen[round(step * (len(seen) - 1) / (_POINTS - 1))] for step in range(_POINTS)]


def _risk(held: Sequence[Outcome], threshold: float) -> Risk:
    covered = [o for o in held if o.answered and o.admitted and o.confidence >= threshold]
    loss = sum(o.difference for o in covered) / len(covered) if covered else 0.0
    return Risk(threshold=threshold, coverage=len(covered) / max(len(held), 1), loss=loss, n=len(covered))
