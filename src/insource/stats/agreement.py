"""How far two labellings agree. All treat labels as names: only equality counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from insource.core.errors import BadInput


def _check(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    if len(first) != len(second):
        raise BadInput(
            f"{len(first)} labels were compared with {len(second)}.", next_step="Pass both labels of every item."
        )
    if not first:
        raise BadInput("There are no labels to compare.", next_step="Pass at least one item.")
    return len(first)


def same_answer_share(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    n = _check(first, second)
    return sum(a == b for a, b in zip(first, second, strict=True)) / n


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Agreement beyond what the two label frequencies give by chance (Cohen 1960). 1.0 where chance is certain: both
    give one and the same label to all, so that nothing remains to be explained."""
    n = _check(first, second)
    counts_first, counts_second = Counter(first), Counter(second)
    by_chance = sum(count * counts_second[label] for label, count in counts_first.items()) / (n * n)
    if by_chance == 1:
        return 1.0
    return (same_answer_share(first, second) - by_chance) / (1 - by_chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class VMeasure:
    homogeneity: float
    """1 when every predicted group holds members of one true group only."""
    completeness: float
    """1 when every true group lies within one predicted group."""
    v: float


def v_measure(true: Sequence[Hashable], predicted: Sequence[Hashable]) -> VMeasure:
    """Rosenberg & Hirschberg (2007), beta = 1. A labelling of one group has nothing to find: its part is 1."""
    n = _check(true, predicted)
    joint = Counter(zip(true, predicted, strict=True))
    groups, found = Counter(true), Counter(predicted)
    mutual = sum(c / n * math.log(c * n / (groups[t] * found[p])) for (t, p), c in joint.items())
    homogeneity = _share(mutual, groups, n)
    completeness = _share(mutual, found, n)
    total = homogeneity + completeness
    return VMeasure(
        homogeneity=homogeneity,
        completeness=completeness,
        v=2 * homogeneity * completeness / total if total else 0.0,
    )


def _share(mutual: float, counts: Counter[Hashable], n: int) -> float:
    if len(counts) == 1:
        return 1.0
    entropy = -sum(c / n * math.log(c / n) for c in counts.values())
    return min(1.0, max(0.0, mutual / entropy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kappa:
    value: float
    low: float
    high: float


def kappa_interval(first: Sequence[Hashable], second: Sequence[Hashable], *, confidence: float) -> Kappa:
    """Cohen's kappa with its interval (Fleiss, Cohen & Everitt, Psychological Bulletin 1969). The variance is that of
    the table with half an item more in each cell: a table without a disagreement would else be certain of itself."""
    n = _check(first, second)
    labels = sorted({*first, *second}, key=repr)
    counts = Counter(zip(first, second, strict=True))
    total = n + len(labels) ** 2 / 2
    share = {(a, b): (counts[(a, b)] + 0.5) / total for a in labels for b in labels}
    rows = {a: sum(share[(a, b)] for b in labels) for a in labels}
    columns = {b: sum(share[(a, b)] for a in labels) for b in labels}
    agreed = sum(share[(a, a)] for a in labels)
    chance = sum(rows[a] * columns[a] for a in labels)
    value = cohen_kappa(first, second)
    if chance >= 1:
        return Kappa(value=value, low=-1.0, high=1.0)
    kappa = (agreed - chance) / (1 - chance)
    on = sum(share[(a, a)] * (1 - (rows[a] + columns[a]) * (1 - kappa)) ** 2 for a in labels)
    off = (1 - kappa) ** 2 * sum(share[(a, b)] * (columns[a] + rows[b]) ** 2 for a in labels for b in labels if a != b)
    spread = math.sqrt(max(on + off - (kappa - chance * (1 - kappa)) ** 2, 0.0) / total) / (1 - chance)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * spread
    return Kappa(value=value, low=max(kappa - half, -1.0), high=min(kappa + half, 1.0))
