"""Intervals and one-sided bounds for the mean of bounded values, valid at every sample size.

Clopper & Pearson (1934) for binary values; betting (Waudby-Smith & Ramdas, "Estimating means of bounded random
variables by betting", JRSS-B 86, 2024; "WSR" below) for values in [0, 1]. Wilson (1927) is here for display only: it is
narrower, but covers only on average. An empty sample gives the whole range.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from insource.core.errors import BadInput
from insource.core.evidence import Interval
from insource.stats.arrays import Floats, Numbers, check_level, checked, is_binary

_LARGEST_STAKE = 0.75
"""c of WSR §4.2: the share of the capital that one observation may cost. They name 1/2 and 3/4; with 3/4,
200 paired zeros bound the mean by 0.02, with 1/2 it takes 300, and where there is variance both give the same."""
_SHUFFLE_SEED = 0x15
_TOLERANCE = 1e-7
_EDGE = 1e-12


def _check_counts(errors: int, n: int) -> None:
    if not 0 <= errors <= n:
        raise BadInput(f"{errors} errors in {n} are impossible.", next_step="Pass 0 <= errors <= n.")


def clopper_pearson_upper(errors: int, n: int, *, alpha: float) -> float:
    """The largest rate at which `errors` or fewer in n still has probability alpha (one-sided, exact)."""
    check_level(alpha, "alpha")
    _check_counts(errors, n)
    return 1.0 if errors == n else float(betaincinv(errors + 1, n - errors, 1 - alpha))


def clopper_pearson_lower(errors: int, n: int, *, alpha: float) -> float:
    """The smallest rate at which `errors` or more in n still has probability alpha (one-sided, exact)."""
    check_level(alpha, "alpha")
    _check_counts(errors, n)
    return 0.0 if errors == 0 else float(betaincinv(errors, n - errors + 1, alpha))


def clopper_pearson(errors: int, n: int, *, confidence: float) -> Interval:
    """Exact two-sided interval for a rate, (1 - confidence)/2 on each side."""
    check_level(confidence, "confidence")
    tail = (1 - confidence) / 2
    return Interval(low=clopper_pearson_lower(errors, n, alpha=tail), high=clopper_pearson_upper(errors, n, alpha=tail))


def _predictable_bets(values: Floats, weights: Floats, alpha: float) -> Floats:
    """Predictable plug-in (PrPl) bets for a fixed n, WSR §4.2: sqrt(2 log(1/alpha) / (n var_{t-1})).

    Mean and variance start from the prior guess of one observation at 1/2 with variance 1/4.
    """
    n = len(values)
    mean = (0.5 + np.cumsum(weights * values)) / (1 + np.cumsum(weights))
    variance = (0.25 + np.cumsum((weights * (values - mean)) ** 2)) / np.arange(2, n + 2)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.sqrt(2 * math.log(1 / alpha) / (n * before))


def _weighted_upper(values: Floats, weights: Floats, alpha: float) -> float:
    """Upper bound for E[w x] / E[w] with x in [0, 1], w in (0, 1], from independent pairs in random order.

    Against "the mean is >= m" stakes min(bet, c/(1-m)) on smaller values; the capital
    prod(1 - stake * w (x - m)) is a non-negative supermartingale, so by Ville's inequality it ever reaches 1/alpha with
    probability <= alpha (WSR §4.1). Each factor grows with m, so the means ruled out are exactly those above
    one root. Capping the stake at c/(1-m) needs w <= 1 and nothing about how w and x hang together.
    """
    bets = _predictable_bets(values, weights, alpha)
    goal = math.log(1 / alpha)

    def surplus(m: float) -> float:
        stake = np.minimum(bets, _LARGEST_STAKE / (1 - m))
        return float(np.cumsum(np.log1p(-stake * weights * (values - m))).max()) - goal

    bound = _root_above(surplus)
    return max(bound, float(np.average(values, weights=weights)))


def _root_above(surplus: Callable[[float], float]) -> float:
    """The end of an increasing function's root in [0, 1], rounded up so that a bound stays a bound."""
    if surplus(1 - _EDGE) < 0:
        return 1.0
    if surplus(0.0) >= 0:
        return 0.0
    from scipy.optimize import brentq  # late: a gateway imports this module and finds no roots

    root = float(brentq(surplus, 0.0, 1 - _EDGE, xtol=_TOLERANCE))  # pyright: ignore[reportArgumentType]  # float without full_output
    return min(root + 2 * _TOLERANCE, 1.0)


def _shuffled(n: int) -> npt.NDArray[np.int64]:
    """A fixed order that knows nothing of the values: logs come sorted by time or even by label, and bets would learn
    that. A random order makes independent values exchangeable again, and the same values always give the same bound."""
    return np.random.default_rng(_SHUFFLE_SEED).permutation(n)


def betting_upper(values: Numbers, *, alpha: float, weights: Numbers | None = None) -> float:
    """One-sided (1 - alpha) upper bound for the mean of values in [0, 1], or E[wx]/E[w] with weights in [0, 1]."""
    check_level(alpha, "alpha")
    array = checked(values, low=0.0, high=1.0, name="values")
    if not len(array):
        return 1.0
    scale = np.ones_like(array) if weights is None else checked(weights, low=0.0, high=1.0, name="weights")
    order = _shuffled(len(array))
    return _weighted_upper(array[order], scale[order], alpha)


def betting_lower(values: Numbers, *, alpha: float, weights: Numbers | None = None) -> float:
    """One-sided (1 - alpha) lower bound: the upper bound of 1 - values, mirrored."""
    array = checked(values, low=0.0, high=1.0, name="values")
    return 1.0 - betting_upper(1.0 - array, alpha=alpha, weights=weights)


def mean_upper(differences: Numbers, *, alpha: float, low: float = -1.0, high: float = 1.0) -> float:
    """Upper bound for the mean of values in [low, high]: exact where all are 0 or 1, else betting.

    Exact is valid whatever else the values might have been: it bounds P(value > 0), which is at least the mean
    when no value exceeds 1.
    """
    check_level(alpha, "alpha")
    array = checked(differences, low=low, high=high, name="differences")
    if not len(array):
        return high
    if high == 1.0 and is_binary(array):
        return clopper_pearson_upper(int(array.sum()), len(array), alpha=alpha)
    return low + (high - low) * betting_upper((array - low) / (high - low), alpha=alpha)


def mean_lower(differences: Numbers, *, alpha: float, low: float = -1.0, high: float = 1.0) -> float:
    """Lower bound for the mean of values in [low, high]. Exact only where low is 0 and all are 0 or 1: with negative
    values possible, a lower bound for P(value > 0) is none for the mean."""
    check_level(alpha, "alpha")
    array = checked(differences, low=low, high=high, name="differences")
    if not len(array):
        return low
    if low == 0.0 and high == 1.0 and is_binary(array):
        return clopper_pearson_lower(int(array.sum()), len(array), alpha=alpha)
    return low + (high - low) * betting_lower((array - low) / (high - low), alpha=alpha)


def mean_interval(differences: Numbers, *, confidence: float, low: float = -1.0, high: float = 1.0) -> Interval:
    """Two-sided interval for the mean of values in [low, high], half of 1 - confidence on each side."""
    tail = (1 - confidence) / 2
    return Interval(
        low=mean_lower(differences, alpha=tail, low=low, high=high),
        high=mean_upper(differences, alpha=tail, low=low, high=high),
    )
