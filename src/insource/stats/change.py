"""Has a mean risen since it was last good? A cumulative sum (Page, "Continuous inspection schemes", Biometrika 1954).

S = max(0, S + d − k) after each difference d in [−1, 1]; a change is found when S reaches h. k lies between the mean
that is still good and the one to find, at three tenths of the way: there a change of five points is found soonest
among the detectors that are seldom wrong (bench/watching.py). h comes from the in-control differences: with θ > 0 such
that E exp(θ(d − k)) = 1, a false find by the n-th difference has a probability of about n·exp(−θh) times a constant
(Siegmund, "Sequential Analysis", 1985, ch. 10). `_EXPONENT` = θh was set by simulation so that a run of 5,000 at the
highest mean that is still good ends without one in 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from insource.stats.arrays import check_level

SHIFT = 0.05
"""The rise of the mean that must be found."""
_WAY = 0.3
_EXPONENT = 7.4
_LARGEST_THETA = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    reference: float
    """k: what each difference is compared with."""
    threshold: float
    """h: the sum that says that the mean rose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a detector has seen."""

    n: int = 0
    total: float = 0.0
    """S."""
    since: int = 0
    """Index of the first difference of the present rise: the estimate of when the change began."""
    found_at: int | None = None
    """How many differences it took; None: no change was found."""

    @property
    def found(self) -> bool:
        return self.found_at is not None


def detector(good: float, *, better: float = 0.0) -> Detector:
    """`good`: the highest mean that is still good. `better`: share of differences below 0 in control; they make the sum
    noisier, so it must rise higher."""
    check_level(good, "good")
    reference = good + _WAY * SHIFT
    worse = min(good + better, 1 - better - 1e-9)

    def growth(theta: float) -> float:
        up, down = math.exp(theta * (1 - reference)), math.exp(-theta * (1 + reference))
        return worse * up + better * down + (1 - worse - better) * math.exp(-theta * reference) - 1

    top = 1.0
    while growth(top) < 0 and top < _LARGEST_THETA:
        top *= 2
    from scipy.optimize import brentq  # late: a gateway imports this module and finds no roots

    theta = float(brentq(growth, 1e-6, top))  # pyright: ignore[reportArgumentType]  # float without full_output
    return Detector(reference=reference, threshold=_EXPONENT / theta)


def watch(differences: Iterable[float], by: Detector, *, seen: Watched | None = None) -> Watched:
    """Goes on from `seen`; stops counting at the first find."""
    state = seen or Watched()
    n, total, since = state.n, state.total, state.since
    if state.found:
        return state
    for difference in differences:
        n += 1
        total += difference - by.reference
        if total <= 0:
            total, since = 0.0, n
        if total >= by.threshold:
            return Watched(n=n, total=total, since=since, found_at=n)
    return Watched(n=n, total=total, since=since)
