"""Dropping what is hopeless, on the train part only: no correction is owed for it, and no certificate comes from it.

A candidate is futile when at every gate of a small grid the loss difference among covered requests is shown to be above
the margin, by a test that is valid after every answer. The grid's thresholds are fixed by the first confidences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from insource.stats.sequential import FutilityTest

SCREEN_ANSWERS = 96
"""Answers at most: one that is wrong half of the time is dropped after about 60, an always wrong one after 40."""
SCREEN_TOKENS = 6_000
"""Answer tokens at most, whatever the machine: about 25 long answers, under a minute of a small model on two cores.
A budget in tokens, not in seconds, because verdicts must repeat on a busy machine."""
BATCH = 8
_THRESHOLDS_FROM = 16
_COVERAGES = (0.75, 0.5)
PROMISE = 0.05
"""How far above the margin a gate's mean may lie at the end of the budget and still be worth calibration data."""

_HOPELESS_AFTER = 40
_HOPELESS_MEAN = 0.25
"""A gate that loses a quarter after 40 answers is not worth the rest of the budget, shown or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """`mean` and `lower` are of the best gate of the grid: the one with the least lower bound."""

    n: int
    futile: bool
    promising: bool
    mean: float
    lower: float
    """(1 - alpha) lower bound of the loss difference, valid although the screening looked after every answer."""


class Screen:
    def __init__(self, *, margin: float, alpha: float, min_coverage: float) -> None:
        self._margin = margin
        self._coverages = (*(c for c in _COVERAGES if c > min_coverage), min_coverage)
        self._tests = [FutilityTest(margin, alpha) for _ in range(1 + len(self._coverages))]
        self._first: list[float] = []
        self._early: list[float] = []
        self._thresholds: tuple[float, ...] = ()
        self._n = 0

    def add(self, *, confidence: float, difference: float) -> bool:
        """Takes one answer; True when there is no use in going on."""
        self._n += 1
        self._tests[0].update(difference)
        if not self._thresholds:
            self._first.append(confidence)
            self._early.append(difference)
            if len(self._first) == _THRESHOLDS_FROM:
                best_first = sorted(self._first, reverse=True)
                self._thresholds = tuple(best_first[math.ceil(c * _THRESHOLDS_FROM) - 1] for c in self._coverages)
                self._count_first()
            return False
        for threshold, test in zip(self._thresholds, self._tests[1:], strict=True):
            if confidence >= threshold:
                test.update(difference)
        return self.over

    def _count_first(self) -> None:
        """Those strictly above a threshold count for its gate: given an order statistic, the values above it are still
        independent draws from above it. The threshold's own exchange was chosen by rank, so it does not count."""
        for threshold, test in zip(self._thresholds, self._tests[1:], strict=True):
            for confidence, difference in zip(self._first, self._early, strict=True):
                if confidence > threshold:
                    test.update(difference)

    @property
    def futile(self) -> bool:
        return all(test.rejected for test in self._tests)

    @property
    def _hopeless(self) -> bool:
        asked = [test for test in self._tests if test.n]
        return self._n >= _HOPELESS_AFTER and all(test.mean > self._margin + _HOPELESS_MEAN for test in asked)

    @property
    def over(self) -> bool:
        return self.futile or self._hopeless

    def result(self) -> Screened:
        asked = [test for test in self._tests if test.n] or self._tests[:1]
        best = min(asked, key=lambda test: test.lower_bound())
        return Screened(
            n=self._n,
            futile=self.futile,
            promising=any(test.mean <= self._margin + PROMISE for test in asked),
            mean=best.mean,
            lower=best.lower_bound(),
        )
