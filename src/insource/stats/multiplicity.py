"""Several candidates or recipes: family-wise error control. Decisions come in the order of the p-values given."""

from __future__ import annotations

from collections.abc import Sequence

from insource.core.errors import BadInput
from insource.stats.arrays import check_level


def _check(p_values: Sequence[float], alpha: float) -> None:
    check_level(alpha, "alpha")
    for p in p_values:
        if not 0 <= p <= 1:
            raise BadInput(f"{p!r} is no p-value.", next_step="Pass probabilities.")


def bonferroni_alpha(alpha: float, k: int) -> float:
    """The level for each of k tests, whatever their dependence (Bonferroni 1936; Dunn 1961)."""
    check_level(alpha, "alpha")
    if k < 1:
        raise BadInput(f"{k} tests are none.", next_step="Pass k >= 1.")
    return alpha / k


def holm(p_values: Sequence[float], alpha: float) -> tuple[bool, ...]:
    """Which hypotheses are rejected, stepping down from the smallest p (Holm 1979). Any dependence."""
    _check(p_values, alpha)
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return tuple(rejected)


def fixed_sequence(p_values: Sequence[float], alpha: float) -> tuple[bool, ...]:
    """Each at the full alpha, in an order fixed before the data (cheapest first), up to the first that fails (Maurer,
    Hothorn & Lehmacher 1995). Any dependence."""
    _check(p_values, alpha)
    passed = 0
    while passed < len(p_values) and p_values[passed] <= alpha:
        passed += 1
    return tuple(index < passed for index in range(len(p_values)))
