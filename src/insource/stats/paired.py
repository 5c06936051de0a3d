"""Paired comparison: flips (McNemar) and the mean difference with its standard errors.

Evan Miller, "Adding Error Bars to Evals" (arXiv:2411.00640, 2024); cluster-robust errors by Liang & Zeger (1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtrit

from insource.core.errors import BadInput
from insource.core.evidence import Interval
from insource.stats.arrays import Clusters, Floats, Integers, Numbers, check_level, checked, cluster_codes
from insource.stats.intervals import mean_interval


def mcnemar_exact(*, worse: int, better: int) -> float:
    """Two-sided exact p of "flips go either way with equal probability" (McNemar 1947, binomial form)."""
    if worse < 0 or better < 0:
        raise BadInput(f"Flips of {worse} and {better} are impossible.", next_step="Pass counts of 0 or more.")
    if worse == better:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(worse, better), worse + better, 0.5)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """`standard_error` takes exchanges as independent; `clustered_standard_error` lets those of a cluster agree."""

    mean: float
    standard_error: float
    clustered_standard_error: float | None
    """None: no clusters were given, or each exchange is its own, or there is only one."""
    interval: Interval
    n: int
    clusters: int


def clustered_standard_error(array: Floats, codes: Integers) -> float:
    """sqrt(G/(G-1) * sum_g (sum_{i in g} (d_i - mean))^2) / n, for G >= 2 clusters: Miller's formula with the
    correction for few clusters, CR1 (Cameron & Miller 2015), which makes it larger."""
    totals = np.bincount(codes, weights=array - array.mean())
    groups = len(totals)
    return math.sqrt(groups / (groups - 1) * float(totals @ totals)) / len(array)


def jackknife_standard_error(array: Floats, codes: Integers) -> float:
    """Leaving out one of G >= 2 clusters at a time: sqrt((G-1)/G * sum_g (mean_without_g - mean)^2), also called CR3.

    Larger than CR1; with a dozen unequal clusters a t interval from CR1 covers less than it says and from this one it
    does not (MacKinnon, Nielsen & Webb 2023). Intervals and bounds use it; CR1 is what others report.
    """
    sizes = np.bincount(codes)
    shifts = np.bincount(codes, weights=array - array.mean()) / (len(array) - sizes)
    return math.sqrt((len(sizes) - 1) / len(sizes) * float(shifts @ shifts))


def paired_difference(differences: Numbers, clusters: Clusters | None = None, *, confidence: float) -> PairedDifference:
    """Mean of d in [-1, 1] with a two-sided interval.

    The t interval, with the jackknifed error and G - 1 degrees of freedom where clusters repeat (Cameron & Miller 2015
    §VI), widened to the finite-sample interval for bounded values wherever that is wider: with three flips in 300 the
    t interval covers far less than it says, and with none it has no width.
    """
    check_level(confidence, "confidence")
    array = checked(differences, low=-1.0, high=1.0, name="differences")
    n = len(array)
    if n < 2:
        raise BadInput(f"{n} pairs have no standard error.", next_step="Compare at least 2 exchanges.")
    mean = float(array.mean())
    error = float(array.std(ddof=1)) / math.sqrt(n)
    codes = None if clusters is None else cluster_codes(clusters, n)
    groups = n if codes is None else int(codes.max()) + 1
    clustered = clustered_standard_error(array, codes) if codes is not None and 1 < groups < n else None
    exact = mean_interval(array, confidence=confidence)
    if groups == 1:
        interval = Interval(low=-1.0, high=1.0)
    else:
        used = jackknife_standard_error(array, codes) if codes is not None and groups < n else error
        half = float(stdtrit(groups - 1, (1 + confidence) / 2)) * used
        interval = Interval(low=max(-1.0, min(mean - half, exact.low)), high=min(1.0, max(mean + half, exact.high)))
    return PairedDifference(
        mean=mean,
        standard_error=error,
        clustered_standard_error=clustered,
        interval=interval,
        n=n,
        clusters=groups,
    )
