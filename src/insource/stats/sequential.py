"""Tests and intervals that stay valid however often one looks: betting e-processes for bounded values.

The capital of a gambler who bets against "mean <= m" at fair odds is a non-negative supermartingale if that is true, so
it ever reaches 1/alpha with probability <= alpha (Ville 1939; Waudby-Smith & Ramdas, JRSS-B 86, 2024, §4). The stakes
here are a mixture of constant ones (Robbins' method of mixtures; Cover's universal portfolio on a grid): whatever the
effect turns out to be, one of them is nearly the best, and the capital depends on how often each value came, not on
the order.
The conditional mean of each value must be the mean in question: do not feed a log that is sorted by its outcome.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from insource.core.errors import BadInput
from insource.stats.arrays import Floats, check_level

_STAKES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
"""Shares of the largest stake that can't go broke: small ones find small effects, 0.95 drops the hopeless at once (with
d = 1 throughout, margin 0.02 and alpha 0.05, after 7 values)."""
_EDGE = 1e-12
_TOLERANCE = 1e-7


def _log_capital(values: Floats, counts: Floats, m: float) -> float:
    """log of mean over stakes f of prod (1 + f (x - m)/m): capital against "mean <= m", x in [0, 1]. Falls with m."""
    logs = np.log1p(np.array(_STAKES)[:, None] * (values - m) / m) @ counts
    return float(np.logaddexp.reduce(logs)) - math.log(len(_STAKES))


def _lower(values: Floats, counts: Floats, goal: float) -> float:
    """The least m in [0, 1] whose capital is below the goal, rounded down."""
    if not len(values) or _log_capital(values, counts, _EDGE) < goal:
        return 0.0
    if _log_capital(values, counts, 1.0) >= goal:
        return 1.0
    from scipy.optimize import brentq  # late: a gateway imports this module and finds no roots

    root = brentq(lambda m: _log_capital(values, counts, m) - goal, _EDGE, 1.0, xtol=_TOLERANCE)
    return max(float(root) - 2 * _TOLERANCE, 0.0)  # pyright: ignore[reportArgumentType]  # float without full_output


class _Tally:
    """Values in [low, high], rescaled to [0, 1] and counted: memory grows with distinct values, not with requests."""

    def __init__(self, low: float, high: float) -> None:
        if not low < high:
            raise BadInput(f"[{low!r}, {high!r}] is not a range.", next_step="Pass low < high.")
        self.low, self.high = low, high
        self.n = 0
        self.total = 0.0
        self._counts: Counter[float] = Counter()

    def add(self, value: float) -> float:
        if not self.low <= value <= self.high:
            raise BadInput(
                f"{value!r} is not in [{self.low!r}, {self.high!r}].",
                next_step="Scale losses to [0, 1] and their differences to [-1, 1].",
            )
        unit = (value - self.low) / (self.high - self.low)
        self.n += 1
        self.total += value
        self._counts[unit] += 1
        return unit

    def lower_bound(self, alpha: float) -> float:
        values, counts = self._arrays()
        return self._scaled(_lower(values, counts, math.log(1 / alpha)))

    def _arrays(self) -> tuple[Floats, Floats]:
        size = len(self._counts)
        return (
            np.fromiter(self._counts.keys(), np.float64, size),
            np.fromiter(self._counts.values(), np.float64, size),
        )

    def _scaled(self, unit: float) -> float:
        return self.low + (self.high - self.low) * unit


class FutilityTest:
    """H: mean(d) <= margin. Once rejected, the candidate can't reach the margin and is dropped, or a move rolled back.

    A true H is ever rejected with probability <= alpha, looking after each value.
    """

    def __init__(self, margin: float, alpha: float, low: float = -1.0, high: float = 1.0) -> None:
        check_level(alpha, "alpha")
        self._tally = _Tally(low, high)
        if not low < margin < high:
            raise BadInput(f"The margin {margin!r} is not in ({low!r}, {high!r}).", next_step="Set it to 0.02, say.")
        self.margin = margin
        self.alpha = alpha
        self.rejected = False
        self._unit_margin = (margin - low) / (high - low)
        self._logs = np.zeros(len(_STAKES))

    def update(self, difference: float) -> bool:
        """Takes one more d; True from the first rejection on."""
        unit = self._tally.add(difference)
        self._logs += np.log1p(np.array(_STAKES) * (unit - self._unit_margin) / self._unit_margin)
        self.rejected = self.rejected or self.e_value >= 1 / self.alpha
        return self.rejected

    @property
    def n(self) -> int:
        return self._tally.n

    @property
    def mean(self) -> float:
        """Of the values so far; 0.0 before the first."""
        return self._tally.total / self.n if self.n else 0.0

    @property
    def e_value(self) -> float:
        """The evidence against H now: at least 1/alpha rejects, and it may be multiplied with independent ones."""
        return math.exp(min(float(np.logaddexp.reduce(self._logs)) - math.log(len(_STAKES)), 700.0))

    def lower_bound(self) -> float:
        """(1 - alpha) lower bound for mean(d), valid at all times at once; above the margin when e > 1/alpha."""
        return self._tally.lower_bound(self.alpha)
