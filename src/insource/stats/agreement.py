"""How far two labellings agree. All treat labels as names: only equality counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

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
