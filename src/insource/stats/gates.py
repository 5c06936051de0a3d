"""Sharing one error budget among the gates of a candidate, over all looks.

Each gate has a test that is valid at all times (betting.py) and a share of the candidate's budget. A gate whose test
passes at its share is certified and hands its share on, to the next wider gate, so that coverage grows with evidence,
and where none is wider to the next tighter. Bretz, Maurer, Brannath & Posch, "A graphical approach to sequentially
rejective multiple test procedures" (Statistics in Medicine, 2009): with shares that sum to 1 the chance that any gate
is ever wrongly certified is at most the budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_SHARE = 0.5
TIGHTER_STEPS = (2, 5)
"""Gates beside the one that is expected to be certified first: 10 and 25 points tighter, at steps of 5 points."""
TIGHTER_SHARE = 0.25


def starting_shares(first: int, gates: int) -> tuple[float, ...]:
    """Shares of `gates` gates, the tightest first; `first` is the index of the one expected to be certified first. A
    tighter gate that does not exist leaves its share to the next that does."""
    shares = [0.0] * gates
    shares[first] += FIRST_SHARE
    for step in TIGHTER_STEPS:
        shares[max(0, first - step)] += TIGHTER_SHARE
    return tuple(shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    certified: tuple[int, ...]
    """Indices of certified gates, in the order in which they passed."""
    levels: tuple[float, ...]
    """The level at which each of them passed."""

    @property
    def widest(self) -> int | None:
        return max(self.certified, default=None)

    def level_of(self, gate: int) -> float:
        return self.levels[self.certified.index(gate)]


def pass_gates(log_capitals: Sequence[float], shares: Sequence[float], alpha: float) -> Passed:
    """Which gates are certified. `log_capitals`: of each gate the highest that its capital ever was, the tightest
    first; more outcomes can only raise it, so a certified gate stays certified."""
    left = list(shares)
    certified: list[int] = []
    levels: list[float] = []
    while True:
        passing = [
            gate
            for gate, share in enumerate(left)
            if share > 0 and gate not in certified and log_capitals[gate] >= math.log(1.0 / (share * alpha))
        ]
        if not passing:
            return Passed(certified=tuple(certified), levels=tuple(levels))
        gate = min(passing)
        certified.append(gate)
        levels.append(left[gate] * alpha)
        heir = _heir(gate, len(left), certified)
        if heir is not None:
            left[heir] += left[gate]
        left[gate] = 0.0


def _heir(gate: int, gates: int, certified: Sequence[int]) -> int | None:
    wider = [other for other in range(gate + 1, gates) if other not in certified]
    tighter = [other for other in range(gate) if other not in certified]
    return wider[0] if wider else tighter[-1] if tighter else None
