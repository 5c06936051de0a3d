"""Is the candidate at most `margin` worse? The (1 - alpha) upper bound of the mean loss difference answers.

Non-inferior when upper <= margin, which is the one-sided test of H0: mean(d) > margin at level alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from insource.stats.arrays import Clusters, Floats, Integers, Numbers, check_level, checked, cluster_codes, is_binary
from insource.stats.intervals import betting_upper, mean_upper
from insource.stats.paired import jackknife_standard_error

BoundMethod = Literal["exact", "betting", "clustered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperBound:
    upper: float
    method: BoundMethod
    n: int
    clusters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiority:
    upper: float
    passed: bool
    method: BoundMethod
    n: int
    clusters: int


def non_inferiority(
    differences: Numbers, *, clusters: Clusters | None = None, margin: float, alpha: float
) -> NonInferiority:
    """Exact for d in {0, 1}, betting for other d in [-1, 1], cluster-valid where clusters repeat."""
    bound = upper_bound(differences, clusters=clusters, alpha=alpha)
    return NonInferiority(
        upper=bound.upper,
        passed=bound.upper <= margin,
        method=bound.method,
        n=bound.n,
        clusters=bound.clusters,
    )


def upper_bound(differences: Numbers, *, clusters: Clusters | None = None, alpha: float) -> UpperBound:
    """The (1 - alpha) upper bound of mean(d), d in [-1, 1], by the method that the data allow."""
    check_level(alpha, "alpha")
    array = checked(differences, low=-1.0, high=1.0, name="differences")
    n = len(array)
    codes = None if clusters is None else cluster_codes(clusters, n)
    groups = n if codes is None or n == 0 else int(codes.max()) + 1
    if codes is not None and groups < n:
        return UpperBound(upper=_clustered_upper(array, codes, alpha), method="clustered", n=n, clusters=groups)
    method: BoundMethod = "exact" if is_binary(array) else "betting"
    return UpperBound(upper=mean_upper(array, alpha=alpha), method=method, n=n, clusters=groups)


def _clustered_upper(array: Floats, codes: Integers, alpha: float) -> float:
    """The larger of a finite-sample bound and the t bound with cluster-robust error and G - 1 degrees of freedom.

    The observations are the clusters, taken as independent draws of (size, mean of d); the target is the mean over
    requests, E[size * mean] / E[size], in traffic with the observed mix of sizes: no sample speaks for clusters larger
    than all it holds. A betting bound on cluster means with weight size/s is valid for it when sizes
    are <= s, also where large clusters are the bad ones, which an unweighted mean of clusters would miss and which a
    variance estimate can't see before the first bad one shows. One huge cluster would drown the others, so sizes are
    cut at s, and the share of requests beyond the cut counts as wholly lost (d = 1). s is chosen by the sizes alone,
    never by the losses, so as to give the lowest bound if nothing were lost. The t bound (Liang & Zeger 1986;
    Cameron & Miller 2015 §VI) promises nothing in finite samples, but others would quote it: none may undercut it.
    """
    sizes = np.bincount(codes).astype(np.float64)
    groups = len(sizes)
    if groups == 1:
        return 1.0
    means = np.bincount(codes, weights=array) / sizes
    cut = _cut_size(sizes, alpha)
    kept = np.minimum(sizes, cut)
    lost = 1.0 - float(kept.sum() / sizes.sum())
    if np.all(kept == cut):
        within = mean_upper(means, alpha=alpha)
    else:
        within = 2.0 * betting_upper((means + 1.0) / 2.0, alpha=alpha, weights=kept / cut) - 1.0
    betting = (1.0 - lost) * within + lost
    t_bound = float(array.mean()) + float(stdtrit(groups - 1, 1 - alpha)) * jackknife_standard_error(array, codes)
    return min(1.0, max(betting, t_bound))


def _cut_size(sizes: Floats, alpha: float) -> float:
    """The size s at which (1 - lost) * zero_loss + lost is least; effective = sum(min(size, s)) / s clusters, and
    zero_loss = -log(alpha) / effective is the bound without any loss (the rule of three)."""
    cuts = np.unique(sizes)
    kept = np.minimum(sizes[:, None], cuts[None, :]).sum(axis=0)
    lost = 1.0 - kept / sizes.sum()
    zero_loss = np.minimum(1.0, -np.log(alpha) * cuts / kept)
    return float(cuts[np.argmin((1.0 - lost) * zero_loss + lost)])
