"""Dropping what is hopeless, on the train part only: no correction is owed for it, and no certificate comes from it.

A candidate is futile when no gate can be safe, which is shown in one of two ways, each at half of alpha and valid after
every answer:

* at every gate of a small grid the loss difference among covered requests is above the margin; the grid's thresholds
  are fixed by the first confidences;
* the difference of all answers is so large that no part of them can be safe: with d <= 1, a mean of at least L over all
  makes one of at least 1 - (1 - L)/c over any part with coverage c. This holds for every gate, wherever it lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from insource.stats.sequential import FutilityTest

_SCREEN_ANSWERS = 96
"""Answers at most, with few labels. Simulated at margin 0.02 and alpha 0.05, medians: what is always wrong is dropped
after 42, nine times in ten wrong after 50, every other time after 92 (43 % of the latter reach the end)."""

SCREEN_TOKENS = 9_000
"""Answer tokens at most, whatever the machine: 36 long answers or more, two minutes of a small model on two cores.
A budget in tokens, not in seconds, because verdicts must repeat on a busy machine."""
_ANSWERS_PER_LABEL = 3
_MOST_ANSWERS = 400
BATCH = 8
_THRESHOLDS_FROM = 16
_COVERAGES = (0.75, 0.5)
PROMISE = 0.05
"""How far above the margin a gate's mean may lie at the end of the budget and still be worth calibration data."""


_JUDGED_FROM = 20
"""Answers without which a gate promises nothing: of eleven, one more or less right decides about hundreds to come."""


def screen_answers(labels: int) -> int:
    """How many answers a screening may take: with many labels a few each, or their gates could not be set."""
    return min(max(_SCREEN_ANSWERS, _ANSWERS_PER_LABEL * labels), _MOST_ANSWERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """`mean` is of the gate of the grid with the least lower bound."""

    n: int
    futile: bool
    promising: bool
    mean: float
    lower: float
    """(1 - alpha) lower bound of the loss difference at any gate, valid although every answer was looked at. Above the
    margin exactly when futile (but for rounding)."""


class Screen:
    def __init__(self, *, margin: float, alpha: float, min_coverage: float) -> None:
        self._margin = margin
        self._min_coverage = min_coverage
        self._coverages = (*(c for c in _COVERAGES if c > min_coverage), min_coverage)
        self._tests = [FutilityTest(margin, alpha / 2) for _ in range(1 + len(self._coverages))]
        whole = 1 - (1 - margin) * min_coverage  # the mean over all that makes `margin` impossible for any part
        self._whole = FutilityTest(whole, alpha / 2)
        self._first: list[float] = []
        self._early: list[float] = []
        self._thresholds: tuple[float, ...] = ()
        self._n = 0

    def add(self, *, confidence: float, difference: float) -> bool:
        """Takes one answer; True when the candidate is futile."""
        self._n += 1
        self._tests[0].update(difference)
        self._whole.update(difference)
        if not self._thresholds:
            self._first.append(confidence)
            self._early.append(difference)
            if len(self._first) == _THRESHOLDS_FROM:
                best_first = sorted(self._first, reverse=True)
                self._thresholds = tuple(best_first[math.ceil(c * _THRESHOLDS_FROM) - 1] for c in self._coverages)
                self._count_first()
            return self.futile
        for threshold, test in zip(self._thresholds, self._tests[1:], strict=True):
            if confidence >= threshold:
                test.update(difference)
        return self.futile

    def _count_first(self) -> None:
        """Those strictly above a threshold count for its gate: given an order statistic, the values above it are still
        independent draws from above it. The threshold's own exchange was chosen by rank, so it does not count."""
        for threshold, test in zip(self._thresholds, self._tests[1:], strict=True):
            for confidence, difference in zip(self._first, self._early, strict=True):
                if confidence > threshold:
                    test.update(difference)

    @property
    def futile(self) -> bool:
        return self._whole.rejected or all(test.rejected for test in self._tests)

    def result(self) -> Screened:
        asked = [test for test in self._tests if test.n] or self._tests[:1]
        best = min(asked, key=lambda test: test.lower_bound())
        gates = min(test.lower_bound() for test in self._tests)
        any_part = 1 - (1 - self._whole.lower_bound()) / self._min_coverage
        return Screened(
            n=self._n,
            futile=self.futile,
            promising=any(
                test.mean <= self._margin + PROMISE for test in asked if test.n >= min(_JUDGED_FROM, self._n)
            ),
            mean=best.mean,
            lower=max(gates, any_part, -1.0),
        )
