"""The detector and the bets beside their definitions, written out plainly and reckoned with fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.stats.betting import RISKS, WEIGHTS, log_capital
from insource.stats.change import Detector, watch

DIFFERENCES = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=80)


def page(differences: list[int], reference: Fraction) -> list[Fraction]:
    """Page's statistic as he defines it: how far the sum of d − k stands above its lowest point so far."""
    sums = [Fraction(0)]
    for difference in differences:
        sums.append(sums[-1] + difference - reference)
    return [sums[n] - min(sums[: n + 1]) for n in range(1, len(sums))]


@given(DIFFERENCES, st.sampled_from([1, 5, 20, 100]))
def test_the_sum_is_pages(differences: list[int], thousandths: int) -> None:
    reference = Fraction(thousandths, 1_000)
    expected = page(differences, reference)
    height = 2.0005  # no sum of these differences comes near it by rounding
    by = Detector(reference=float(reference), threshold=height)
    found = watch([float(d) for d in differences], by)
    first = next((n for n, value in enumerate(expected, 1) if value >= height), None)
    assert found.found_at == first
    last = expected[-1] if first is None else expected[first - 1]
    assert found.total == pytest.approx(float(last), abs=1e-9)


@given(DIFFERENCES, st.sampled_from([10, 20, 150]))
def test_the_capital_is_that_of_a_bettor_who_splits_it(differences: list[int], thousandths: int) -> None:
    """Each part is staked on one risk: it is multiplied with 1 + λ(ε − d) after each outcome."""
    margin = Fraction(thousandths, 1_000)
    stakes = [(1 - Fraction(str(risk))) / (1 - margin) for risk in RISKS]
    parts = [Fraction(str(weight)) for weight in WEIGHTS]
    for n, found in enumerate(log_capital([float(d) for d in differences], float(margin))):
        parts = [part * (1 + stake * (margin - differences[n])) for part, stake in zip(parts, stakes, strict=True)]
        assert found == pytest.approx(math.log(sum(parts)), abs=1e-9)
