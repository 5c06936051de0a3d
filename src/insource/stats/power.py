"""How much data a claim needs, and how small a difference the data could have shown.

Normal approximation as in Miller (arXiv:2411.00640), one-sided, because non-inferiority is; exact for binary losses.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from insource.stats.arrays import Clusters, Numbers, check_level, checked, cluster_codes
from insource.stats.paired import clustered_standard_error

_MOST = 1 << 40


def minimum_detectable_difference(
    differences: Numbers, *, alpha: float, power: float = 0.8, clusters: Clusters | None = None
) -> float:
    """The difference that a one-sided level-alpha test on data like these would show with probability `power`.

    (z_{1-alpha} + z_power) * standard error, clustered where clusters repeat; never below 1 - alpha^(1/n), the
    bound that n differences of 0 give: without a flip the standard error is 0, and says nothing.
    """
    check_level(alpha, "alpha")
    check_level(power, "power")
    array = checked(differences, low=-1.0, high=1.0, name="differences")
    n = len(array)
    if n < 2:
        return 1.0
    codes = np.arange(n) if clusters is None else cluster_codes(clusters, n)
    groups = int(codes.max()) + 1
    if groups == 1:
        return 1.0
    error = float(array.std(ddof=1)) / math.sqrt(n) if groups == n else clustered_standard_error(array, codes)
    z = float(ndtri(1 - alpha) + ndtri(power))
    return min(1.0, max(z * error, 1 - alpha ** (1 / groups)))


def n_needed(mean: float, std: float, *, margin: float, alpha: float, power: float = 0.8) -> int | None:
    """Exchanges needed to show mean(d) <= margin with probability `power`; None if mean >= margin.

    ((z_{1-alpha} + z_power) std / (margin - mean))^2, and not fewer than a candidate that never varies needs:
    log(alpha) / log(1 - (margin - mean)), which is Clopper-Pearson's n for no loss at mean 0.
    """
    check_level(alpha, "alpha")
    check_level(power, "power")
    if mean >= margin:
        return None
    gap = margin - mean
    z = float(ndtri(1 - alpha) + ndtri(power))
    least = 1.0 if gap >= 1 else math.log(alpha) / math.log1p(-gap)
    return max(1, math.ceil((z * std / gap) ** 2), math.ceil(least - 1e-9))
