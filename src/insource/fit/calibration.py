"""What real exchanges say about a prediction: a running correction for one model family on one machine. Pure.

Observations are log ratios of observed to predicted speed, taken as drawn around a family's own offset, which itself
lies around 0 with the spread of the uncorrected prediction. The offset is shrunk towards 0 accordingly, and the
interval narrows from that spread to the scatter of single exchanges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, log, sqrt

from insource.core.errors import BadInput

_Z80 = 1.2815515655446004
"""Half of an 80 % interval in standard deviations."""
_SCATTER = 0.10
"""Standard deviation of the log speed of single exchanges, assumed until they show theirs: lengths and what else the
machine does differ."""
_SCATTER_WEIGHT = 4.0
"""Exchanges that the scatter above counts for, until real ones outweigh it."""
_REACH = 3.0
"""An observation counts as at most so many standard deviations off (Huber): one swapped-out minute must not last."""
_MEMORY = 200.0
"""Exchanges: older ones fade, so that a new driver or engine is learned."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Immutable; `update` makes the next one."""

    n: int = 0
    """Exchanges seen."""
    weight: float = 0.0
    """Of those that still count."""
    mean: float = 0.0
    """Of the log ratios, observed over predicted."""
    variance: float = _SCATTER**2
    """Of single log ratios around the mean."""


NO_CORRECTION = Correction()


def update(correction: Correction, observed: float, predicted: float) -> Correction:
    """With one more exchange; `predicted` is the uncorrected one. Speeds that are not positive say nothing."""
    if not (observed > 0 and predicted > 0 and isfinite(observed) and isfinite(predicted)):
        return correction
    ratio = log(observed) - log(predicted)  # their quotient may be too small for a float
    if correction.n >= 3:  # before that, a first exchange may itself be the odd one
        reach = _REACH * sqrt(correction.variance)
        ratio = min(max(ratio, correction.mean - reach), correction.mean + reach)
    weight = min(correction.weight + 1, _MEMORY)
    step = ratio - correction.mean
    mean = correction.mean + step / weight
    around = _SCATTER_WEIGHT + weight - 1
    variance = correction.variance
    if correction.n:
        variance += (step * (ratio - mean) - variance) / around
    return Correction(n=correction.n + 1, weight=weight, mean=mean, variance=variance)


def log_interval(correction: Correction, log_error: float) -> tuple[float, float]:
    """The shift of the log speed, and the half width of its 80 % interval; `log_error` is that without correction."""
    prior = (log_error / _Z80) ** 2
    if correction.weight <= 0 or prior <= 0:
        return 0.0, log_error
    noise = correction.variance / correction.weight
    trust = prior / (prior + noise)
    left = prior * (1 - trust)  # of the offset, after what was seen
    return trust * correction.mean, min(log_error, _Z80 * sqrt(left + correction.variance))


def correction_json(correction: Correction) -> dict[str, float]:
    return {
        "n": correction.n,
        "weight": correction.weight,
        "mean": correction.mean,
        "variance": correction.variance,
    }


def correction_of(stored: Mapping[str, float]) -> Correction:
    """Raises BadInput for a damaged document."""
    try:
        read = Correction(
            n=int(stored["n"]),
            weight=float(stored["weight"]),
            mean=float(stored["mean"]),
            variance=float(stored["variance"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        read = None
    if read is None or not all(isfinite(x) for x in (read.weight, read.mean, read.variance)) or read.variance < 0:
        raise BadInput(
            f"A stored correction of the predicted speed is damaged: {dict(stored)!r}.",
            next_step="Delete it; it is learned anew.",
        )
    return read
