"""How far a judge may be trusted: against what people said of pairs of the same candidate. Pure.

The pairs must be a random part of the candidate's own answers: a judge that is right about other candidates may be
flattered by this one. Its error enters the bound: where people find more worse than the judge does, the mean of that
difference is bounded (stats/betting.py, valid whenever somebody looks) and added. A judge that is too strict earns
nothing back. So the bound holds whatever the judge is; a bad one only makes it useless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insource.core.evidence import Terms
from insource.evals.ledger import JUDGE_SHARE
from insource.stats.agreement import Kappa, kappa_interval
from insource.stats.betting import loss_upper

LEAST_PAIRS = 50
LEAST_KAPPA = 0.6
"""Of the lower end of the interval. Below it a judge may only sort what people review."""
_CONFIDENCE = 0.99
"""Of the interval. At 0.9 a judge of κ 0.5 passed in 0.4 to 1.7 % of simulated calibrations, since κ is uncertain where
few answers are worse; at 0.99 none of them was certified in 500 runs (bench/watching.py)."""
_WORSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """An answer that the judge and a person compared with the reference."""

    judged: float
    """The judge's loss."""
    worse: float
    """1: the person found it worse than the reference; 0: as good, or better."""
    confidence: float
    admitted: bool
    """It would be answered here as far as the gate allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    pairs: int
    kappa: Kappa | None
    errors: tuple[float, ...]
    """By gate: the bound on what the judge overlooks. 1: nothing may be certified there."""
    reason: str
    """A sentence."""

    @property
    def usable(self) -> bool:
        return any(error < 1 for error in self.errors)


def calibrate(pairs: Sequence[LabelledPair], terms: Terms, *, alpha: float) -> Calibration:
    """`alpha`: the candidate's share of the error budget, of which a part goes to the judge's error at all gates."""
    gates = len(terms.thresholds)
    none = tuple(1.0 for _ in terms.thresholds)
    n = len(pairs)
    if n < LEAST_PAIRS:
        said = f"The judge is not calibrated: {n} of {LEAST_PAIRS} pairs were labelled (insource review)."
        return Calibration(pairs=n, kappa=None, errors=none, reason=said)
    kappa = kappa_interval(
        [pair.judged >= _WORSE for pair in pairs], [pair.worse >= _WORSE for pair in pairs], confidence=_CONFIDENCE
    )
    shown = f"κ {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}) on {n} pairs"
    if kappa.low < LEAST_KAPPA:
        said = (
            f"The judge agrees too little with people, or too few pairs show it ({shown}); it may only sort a review."
        )
        return Calibration(pairs=n, kappa=kappa, errors=none, reason=said)
    level = alpha * JUDGE_SHARE / gates
    errors = tuple(_error(pairs, threshold, level) for threshold in terms.thresholds)
    return Calibration(pairs=n, kappa=kappa, errors=errors, reason=f"The judge agrees with people: {shown}.")


def _error(pairs: Sequence[LabelledPair], threshold: float, level: float) -> float:
    covered = [pair for pair in pairs if pair.admitted and pair.confidence >= threshold]
    if not covered:
        return 1.0
    return loss_upper([pair.worse - pair.judged for pair in covered], level)
