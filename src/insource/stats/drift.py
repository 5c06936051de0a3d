"""Do two parts of the data differ in distribution? For warnings (parts differ, quality drifts), not certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from insource.stats.arrays import Numbers, checked

_RARE = 5.0
"""Least expected count of a cell (Cochran 1954): below it, chi-square's p is not to be trusted."""


def categorical_shift(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """p of "both samples have the same category frequencies". 1.0 where there is nothing to compare.

    Chi-square with the categories that expect fewer than five in the smaller sample merged into one; Fisher's exact
    test where two categories remain.
    """
    if not a or not b:
        return 1.0
    counts_a, counts_b = Counter(a), Counter(b)
    smaller = min(len(a), len(b)) / (len(a) + len(b))
    kept: list[tuple[int, int]] = []
    rare_a = rare_b = 0
    for category in counts_a.keys() | counts_b.keys():
        pair = (counts_a[category], counts_b[category])
        if sum(pair) * smaller >= _RARE:
            kept.append(pair)
        else:
            rare_a, rare_b = rare_a + pair[0], rare_b + pair[1]
    if rare_a + rare_b:
        kept.append((rare_a, rare_b))
    return _table_p(kept)


def _table_p(cells: list[tuple[int, int]]) -> float:
    """`cells` holds (count in a, count in b) for each category; the order does not matter."""
    if len(cells) < 2:
        return 1.0
    table = np.array(sorted(cells), dtype=np.int64).T
    if table.shape == (2, 2):
        result: Any = stats.fisher_exact(table)
        return min(1.0, float(result.pvalue))
    result = stats.chi2_contingency(table, correction=False)
    return float(result.pvalue)


def mean_shift(first_half: Numbers, second_half: Numbers) -> float:
    """p of "both halves have the same mean loss"; values in [-1, 1]. 1.0 where there is nothing to compare.

    Fisher's exact test where only two values occur (right and wrong), else Welch's t.
    """
    first = checked(first_half, low=-1.0, high=1.0, name="first_half")
    second = checked(second_half, low=-1.0, high=1.0, name="second_half")
    if not len(first) or not len(second):
        return 1.0
    values = np.unique(np.concatenate([first, second]))
    if len(values) <= 2:
        return _table_p([(int(np.sum(first == value)), int(np.sum(second == value))) for value in values])
    if len(first) < 2 or len(second) < 2:
        return 1.0
    result: Any = stats.ttest_ind(first, second, equal_var=False)
    return float(result.pvalue)
