"""Evidence that survives looking: a bet against "the mean loss difference is above the margin", after each outcome.

The capital of a bettor who starts with 1 and stakes λ(ε − d) on each outcome d is a non-negative supermartingale when
the mean of d, given the past, is at least ε; so it ever reaches 1/α with probability at most α (Ville 1939), however
often and whenever somebody looks. Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B, 2024). The stakes λ = f/(1 − ε) are mixed over fractions f. For binary losses the mixture is one of likelihood
ratios of the risks r = (1 − f)ε against ε; for d in {−1, 0, 1} and for fractions the same bets stay valid, because
they are linear.
"""

from __future__ import annotations

import math

import numpy as np

from insource.stats.arrays import Floats, Numbers, check_level, checked

RISKS = (0.0, 0.05, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Risks that are betted on, in shares of the margin (DESIGN §6)."""
WEIGHTS = (0.30, 0.10, 0.12, 0.12, 0.10, 0.08, 0.08, 0.06, 0.04)
"""Of the starting capital on each. Most on 0: a flawless candidate is certified after 177 outcomes at α = 0.05."""
_FRACTIONS = 1.0 - np.array(RISKS)
_LOG_WEIGHTS = np.log(np.array(WEIGHTS))
_PRECISION = 1e-6


def log_capital(differences: Numbers, margin: float) -> Floats:
    """Natural logarithm of the capital after each outcome, (n,). `differences` in [-1, 1], in the ledger's order."""
    check_level(margin, "margin")
    d = checked(differences, low=-1.0, high=1.0, name="differences")
    stakes = _FRACTIONS / (1.0 - margin)
    with np.errstate(divide="ignore"):  # a stake of everything, lost
        grown = np.cumsum(np.log1p(np.maximum(stakes[:, None] * (margin - d[None, :]), -1.0)), axis=1)
    return np.logaddexp.reduce(grown + _LOG_WEIGHTS[:, None], axis=0)


def highest_log_capital(differences: Numbers, margin: float) -> float:
    """The highest that the capital ever was, at least that of its start (0). 1/its exponential is an anytime
    p-value."""
    grown = log_capital(differences, margin)
    return max(0.0, float(grown.max())) if len(grown) else 0.0


def highest_log_capital_for_worse(differences: Numbers, margin: float) -> float:
    """The same against "the mean loss difference is at most the margin": how sure it is that a candidate is worse."""
    check_level(margin, "margin")
    d = checked(differences, low=-1.0, high=1.0, name="differences")
    stakes = _FRACTIONS / (1.0 + margin)
    with np.errstate(divide="ignore"):
        grown = np.cumsum(np.log1p(np.maximum(stakes[:, None] * (d[None, :] - margin), -1.0)), axis=1)
    capital = np.logaddexp.reduce(grown + _LOG_WEIGHTS[:, None], axis=0)
    return max(0.0, float(capital.max())) if len(capital) else 0.0


def loss_upper(differences: Numbers, alpha: float) -> float:
    """The (1 − alpha) upper bound of the mean difference, valid at all times together: the least margin against which
    the capital ever reached 1/alpha; 1.0 where there is none. Holds for every margin at once (DESIGN §6, "Gates")."""
    check_level(alpha, "alpha")
    needed = math.log(1.0 / alpha)
    low, high = 0.0, 1.0 - _PRECISION
    if highest_log_capital(differences, high) < needed:
        return 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if middle > 0 and highest_log_capital(differences, middle) >= needed:
            high = middle
        else:
            low = middle
    return high


def outcomes_without_loss(margin: float, alpha: float) -> int:
    """How many outcomes a candidate needs that never loses anything."""
    check_level(alpha, "alpha")
    n = 1
    zeros = np.zeros(1)
    while highest_log_capital(zeros, margin) < math.log(1.0 / alpha):
        n += max(1, n // 16)
        zeros = np.zeros(n)
    grown = log_capital(zeros, margin)
    return int(np.flatnonzero(grown >= math.log(1.0 / alpha))[0]) + 1


def outcomes_expected(mean: float, spread: float, *, margin: float, alpha: float) -> int | None:
    """About how many outcomes a candidate with this mean difference and share of differences that are not 0 needs.

    By the growth rate of the best single stake; None: at this mean no number of them suffices. A planning figure only.
    """
    if mean >= margin:
        return None
    stakes = _FRACTIONS / (1.0 - margin)
    losses, gains = max(0.0, (spread + mean) / 2), max(0.0, (spread - mean) / 2)
    with np.errstate(divide="ignore"):
        growth = losses * np.log1p(np.maximum(stakes * (margin - 1.0), -1.0)) if losses > 0 else np.zeros(len(stakes))
        growth = growth + gains * np.log1p(stakes * (margin + 1.0)) + (1 - losses - gains) * np.log1p(stakes * margin)
    steps = (math.log(1.0 / alpha) - _LOG_WEIGHTS) / np.maximum(growth, 1e-12)
    fewest = float(steps.min())
    return math.ceil(fewest) if fewest < 1e9 else None
