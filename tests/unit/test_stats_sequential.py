"""Tests and intervals under continuous looking."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.stats.sequential import FutilityTest

MARGIN, ALPHA = 0.02, 0.05
unhurried = settings(deadline=None, max_examples=60)
"""A busy machine is no error."""


def updates_until_dropped(values: list[float]) -> int | None:
    test = FutilityTest(MARGIN, ALPHA)
    return next((i for i, value in enumerate(values, 1) if test.update(value)), None)


def test_the_hopeless_are_dropped_at_once_and_the_bad_soon() -> None:
    rng = np.random.default_rng(1)
    assert updates_until_dropped([1.0] * 50) == 7
    half = [updates_until_dropped((rng.random(200) < 0.5).astype(float).tolist()) for _ in range(100)]
    assert np.median([n or 999 for n in half]) <= 25
    tenth = [updates_until_dropped((rng.random(400) < 0.15).astype(float).tolist()) for _ in range(60)]
    assert np.median([n or 999 for n in tenth]) <= 250


@pytest.mark.parametrize(("worse", "better"), [(MARGIN, 0.0), (0.12, 0.10), (0.51, 0.49)])
def test_a_candidate_at_the_margin_is_dropped_at_most_alpha_of_the_time(worse: float, better: float) -> None:
    rng = np.random.default_rng(2)
    samples = rng.choice([-1.0, 0.0, 1.0], size=(500, 300), p=[better, 1 - worse - better, worse])
    dropped = [updates_until_dropped(sample.tolist()) is not None for sample in samples]
    assert np.mean(dropped) <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / 500)


@unhurried
@given(st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.5, 1.0]), max_size=120))
def test_what_the_futility_test_reports_hangs_together(values: list[float]) -> None:
    test = FutilityTest(MARGIN, ALPHA)
    peak = 1.0
    for value in values:
        rejected = test.update(value)
        peak = max(peak, test.e_value)
        assert rejected == (peak >= 1 / ALPHA)
    assert test.n == len(values)
    assert test.mean == pytest.approx(sum(values) / len(values) if values else 0.0)
    if abs(math.log(test.e_value * ALPHA)) > 1e-3:
        assert (test.lower_bound() > MARGIN) == (test.e_value > 1 / ALPHA)


@unhurried
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_matter(values: list[float], random: Random) -> None:
    mixed = list(values)
    random.shuffle(mixed)
    assert _bound(values) == pytest.approx(_bound(mixed), abs=1e-6)


def _bound(values: list[float]) -> float:
    test = FutilityTest(MARGIN, 0.1)
    for value in values:
        test.update(value)
    return test.lower_bound()


def test_the_capital_has_its_closed_form() -> None:
    test = FutilityTest(0.0, 0.05)  # fair odds at 1/2: each stake f multiplies by 1 + f or 1 - f
    for value in (1.0, 1.0, -1.0):
        test.update(value)
    stakes = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
    assert test.e_value == pytest.approx(float(np.mean((1 + stakes) ** 2 * (1 - stakes))))


def test_values_outside_the_range_are_refused() -> None:
    with pytest.raises(BadInput, match="is not in"):
        FutilityTest(MARGIN, ALPHA).update(1.5)
    with pytest.raises(BadInput, match="is not in"):
        FutilityTest(MARGIN, ALPHA).update(float("nan"))
    with pytest.raises(BadInput, match="margin"):
        FutilityTest(1.0, ALPHA)
    with pytest.raises(BadInput, match="not a range"):
        FutilityTest(MARGIN, ALPHA, low=1.0, high=1.0)
