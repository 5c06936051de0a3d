"""Dropping what is hopeless, on the train part only: no correction is owed for it, and no certificate comes from it.

A candidate is futile when no gate can be safe, which is shown in one of two ways, each at half of alpha and valid after
every answer:

* at every gate of a small grid the loss difference among covered requests is above the margin; the grid's thresholds
  are fixed by the first confidences;
* the difference of all answers is so large that no part of them can be safe: with d <= 1, a mean of at least L over all
  makes one of at least 1 - (1 - L)/c over any part with coverage c. This holds for every gate, wherever it lies.

How often the reference itself is wrong is known before anything is asked. Where that is seldom (a share h of all, so at
most h/c of a part), a part whose mean of d is at most m has a mean of max(d, 0) of at most m + h/c. That is tested in
its place, because values that can't be negative show much sooner that they are too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from insource.stats.sequential import FutilityTest

_SCREEN_ANSWERS = 96
"""Answers at most, with few labels. Simulated at margin 0.02 and alpha 0.05 with a reference that is never wrong,
medians: what is wrong every other time or more is dropped after 16 (the first that set thresholds), three times in ten
after 34 (88 % of runs). With a reference that is wrong in 10 %: always wrong 46, nine times in ten 50, every other time
73 (34 % of runs)."""

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


_SMALL = 0.25
"""Of what the mean can lie above its limit: more slack than this costs more answers than the shorter range saves. With
a half, and a reference that is wrong in 10 %, what is wrong every other time is dropped in .5 % of runs, not 34 %."""
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


class _Part:
    """Whether a part with one coverage can be safe: "the mean of d is at most `most`", tested as the module says."""

    def __init__(self, most: float, *, coverage: float, alpha: float, reference_loss: float) -> None:
        slack = reference_loss / coverage
        self._slack = slack if slack < (1 - most) * _SMALL else None
        low, limit = (-1.0, most) if self._slack is None else (0.0, most + self._slack)
        self._test = FutilityTest(limit, alpha, low=low)
        self._total = 0.0

    def add(self, difference: float) -> None:
        self._total += difference
        self._test.update(difference if self._slack is None else max(difference, 0.0))

    @property
    def n(self) -> int:
        return self._test.n

    @property
    def mean(self) -> float:
        return self._total / self.n if self.n else 0.0

    @property
    def unsafe(self) -> bool:
        return self._test.rejected

    def lower_bound(self) -> float:
        return self._test.lower_bound() - (self._slack or 0.0)


class Screen:
    def __init__(self, *, margin: float, alpha: float, min_coverage: float, reference_loss: float) -> None:
        """`reference_loss` is the mean loss of the reference over what the answers are drawn from."""
        self._margin = margin
        self._min_coverage = min_coverage
        self._coverages = (*(c for c in _COVERAGES if c > min_coverage), min_coverage)

        def part(most: float, coverage: float) -> _Part:
            return _Part(most, coverage=coverage, alpha=alpha / 2, reference_loss=reference_loss)

        self._all = part(margin, 1.0)
        self._gates = [part(margin, coverage) for coverage in self._coverages]
        # The mean over all that makes `margin` impossible for any part.
        self._whole = part(1 - (1 - margin) * min_coverage, 1.0)
        self._first: list[tuple[float, float]] = []
        self._thresholds: tuple[float, ...] = ()
        self._n = 0

    def add(self, *, confidence: float, difference: float) -> bool:
        """Takes one answer; True when the candidate is futile."""
        self._n += 1
        self._all.add(difference)
        self._whole.add(difference)
        if self._thresholds:
            self._count(confidence, difference)
            return self.futile
        self._first.append((confidence, difference))
        if len(self._first) == _THRESHOLDS_FROM:
            best_first = sorted((confidence for confidence, _ in self._first), reverse=True)
            self._thresholds = tuple(best_first[math.ceil(c * _THRESHOLDS_FROM) - 1] for c in self._coverages)
            # Those strictly above a threshold count for its gate: given an order statistic, the values above it are
            # still independent draws from above it. The threshold's own exchange was chosen by rank: it never counts.
            for confidence, difference in self._first:
                self._count(confidence, difference, strictly=True)
        return self.futile

    def _count(self, confidence: float, difference: float, *, strictly: bool = False) -> None:
        for threshold, gate in zip(self._thresholds, self._gates, strict=True):
            if confidence > threshold or (confidence == threshold and not strictly):
                gate.add(difference)

    @property
    def futile(self) -> bool:
        return self._whole.unsafe or (self._all.unsafe and all(gate.unsafe for gate in self._gates))

    def result(self) -> Screened:
        parts = [self._all, *self._gates]
        asked = [part for part in parts if part.n] or parts[:1]
        best = min(asked, key=_Part.lower_bound)
        any_part = 1 - (1 - self._whole.lower_bound()) / self._min_coverage
        return Screened(
            n=self._n,
            futile=self.futile,
            promising=any(
                part.mean <= self._margin + PROMISE for part in asked if part.n >= min(_JUDGED_FROM, self._n)
            ),
            mean=best.mean,
            lower=max(min(part.lower_bound() for part in parts), any_part, -1.0),
        )
