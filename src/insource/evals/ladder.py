"""Does a dearer candidate buy anything that a cheaper one does not give? Pure.

Compared is what may be certified, on the same inputs: the share that each may answer, and the area under its curve of
loss over coverage (Geifman & El-Yaniv, "Selective classification", 2017: the mean loss of the surest k, over all k).
Accuracy is not: a model that is right more often without knowing when moves nothing. Intervals are percentiles of a
bootstrap over the inputs, each of which is of a cluster of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insource.core.evidence import Interval, Outcome
from insource.evals.ledger import bets

Floats = npt.NDArray[np.float64]
_DRAWS = 1_000
_LEAST = 30
"""Inputs that both answered; fewer are too few to compare them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a candidate said on evidence, and from which confidence it may answer; gate None: from none."""

    outcomes: Sequence[Outcome]
    gate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The dearer candidate less the cheaper one. A gain of coverage is above 0, one of area below."""

    n: int
    coverage: float
    coverage_interval: Interval
    area: float
    area_interval: Interval

    @property
    def gains(self) -> bool:
        """It may answer more; or not shown to answer less, it knows better when it is right."""
        return self.coverage_interval.low > 0 or (self.coverage_interval.high >= 0 and self.area_interval.high < 0)


def compare(cheaper: Answers, dearer: Answers, *, confidence: float, seed: int) -> Step | None:
    """On new inputs that both were asked; None: too few."""
    one = {outcome.exchange_id: outcome for outcome in bets(cheaper.outcomes, "new")}
    other = {outcome.exchange_id: outcome for outcome in bets(dearer.outcomes, "new")}
    shared = [id for id in one if id in other]
    if len(shared) < _LEAST:
        return None
    pairs = [_columns([each[id] for id in shared], by.gate) for each, by in ((one, cheaper), (other, dearer))]
    (covered_a, sure_a, loss_a), (covered_b, sure_b, loss_b) = pairs
    draws = np.random.default_rng(seed).integers(0, len(shared), (_DRAWS, len(shared)))
    coverage = covered_b - covered_a
    areas = np.array([area(sure_b[d], loss_b[d]) - area(sure_a[d], loss_a[d]) for d in draws])
    return Step(
        n=len(shared),
        coverage=float(coverage.mean()),
        coverage_interval=_interval(coverage[draws].mean(axis=1), confidence),
        area=area(sure_b, loss_b) - area(sure_a, loss_a),
        area_interval=_interval(areas, confidence),
    )


def area(sure: Floats, loss: Floats) -> float:
    """Mean over k of the mean loss of the k surest; equally sure ones share their loss."""
    order = np.argsort(-sure, kind="stable")
    _, inverse, counts = np.unique(-sure, return_inverse=True, return_counts=True)
    shared = (np.bincount(inverse, weights=loss) / counts)[inverse]
    return float((np.cumsum(shared[order]) / np.arange(1, len(loss) + 1)).mean())


def area_of(outcomes: Sequence[Outcome]) -> float | None:
    """Of a candidate's own new inputs; None without any."""
    new = bets(outcomes, "new")
    if not new:
        return None
    _, sure, loss = _columns(new, None)
    return area(sure, loss)


def _columns(outcomes: Sequence[Outcome], gate: float | None) -> tuple[Floats, Floats, Floats]:
    """(covered, confidence, loss difference). What may not be answered here comes last, as the least sure."""
    open_ = np.array([outcome.admitted and outcome.answered for outcome in outcomes])
    sure = np.where(open_, [outcome.confidence for outcome in outcomes], -1.0)
    covered = np.zeros(len(sure)) if gate is None else (open_ & (sure >= gate)).astype(np.float64)
    return covered, sure, np.array([outcome.difference for outcome in outcomes])


def _interval(draws: Floats, confidence: float) -> Interval:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), high=float(high))
