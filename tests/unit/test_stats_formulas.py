"""Closed forms, published tables and other libraries: intervals, flips, power, agreement, multiplicity, drift."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import cohen_kappa_score, homogeneity_completeness_v_measure
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from insource.core.errors import BadInput
from insource.stats.agreement import cohen_kappa, same_answer_share, v_measure
from insource.stats.drift import categorical_shift, mean_shift
from insource.stats.intervals import (
    betting_lower,
    betting_upper,
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
)
from insource.stats.paired import mcnemar_exact, paired_difference
from insource.stats.power import (
    minimum_detectable_difference,
    n_needed,
)

unhurried = settings(deadline=None, max_examples=50)
"""A busy machine is no error."""

# ------------------------------------------------------------------------------------------------ intervals


@unhurried
@given(n=st.integers(1, 3000), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_rates_agree_with_statsmodels(n: int, share: float, confidence: float) -> None:
    errors = round(share * n)
    low, high = proportion_confint(errors, n, alpha=1 - confidence, method="beta")
    interval = clopper_pearson(errors, n, confidence=confidence)
    assert interval.low == pytest.approx(low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9)


def test_clopper_pearson_closed_forms() -> None:
    assert clopper_pearson_upper(0, 149, alpha=0.05) == pytest.approx(1 - 0.05 ** (1 / 149))
    assert clopper_pearson_lower(149, 149, alpha=0.05) == pytest.approx(0.05 ** (1 / 149))
    assert clopper_pearson_upper(7, 7, alpha=0.05) == 1.0
    assert clopper_pearson(0, 0, confidence=0.95).high == 1.0
    # Clopper & Pearson's own chart, and every table since: 10 of 100.
    table = clopper_pearson(10, 100, confidence=0.95)
    assert (round(table.low, 4), round(table.high, 4)) == (0.0490, 0.1762)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_betting_of_constants_solves_its_equation(share: float) -> None:
    """With all values equal the variance vanishes, stakes reach their cap, and the capital has a closed form."""
    n = 400
    upper = betting_upper([share] * n, alpha=0.05)
    if share == 1.0:
        assert upper == 1.0
        return
    full_cap = share + (20 ** (1 / n) - 1) * (1 - share) / (0.75 + 20 ** (1 / n) - 1)
    assert full_cap <= upper <= full_cap + 0.02  # the first bets, before the variance is known, are smaller


@unhurried
@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=60),
    alpha=st.floats(0.01, 0.3),
)
def test_betting_bounds_are_ordered_and_mirrored(values: list[float], alpha: float) -> None:
    upper, lower = betting_upper(values, alpha=alpha), betting_lower(values, alpha=alpha)
    mean = math.fsum(values) / len(values)
    assert 0 <= lower <= mean + 1e-9
    assert mean - 1e-9 <= upper <= 1
    assert betting_upper(values, alpha=alpha / 2) >= upper - 1e-6
    assert betting_lower([1 - v for v in values], alpha=alpha) == pytest.approx(1 - upper, abs=1e-6)


def test_betting_adapts_to_a_small_variance() -> None:
    values = np.random.default_rng(1).choice([0.45, 0.5, 0.55], size=5000)
    hoeffding = math.sqrt(math.log(20) / (2 * 5000))
    assert betting_upper(values, alpha=0.05) - values.mean() < hoeffding / 4


def test_betting_does_not_mind_a_sorted_log() -> None:
    values = np.random.default_rng(2).beta(1, 9, size=600)
    for bound in (betting_lower, betting_upper):
        assert bound(np.sort(values), alpha=0.025) == pytest.approx(bound(values, alpha=0.025), abs=0.01)


# ------------------------------------------------------------------------------------------------ clusters


# ------------------------------------------------------------------------------------------------ paired


@unhurried
@given(worse=st.integers(0, 200), better=st.integers(0, 200))
def test_mcnemar_agrees_with_statsmodels(worse: int, better: int) -> None:
    theirs: Any = mcnemar([[0, worse], [better, 0]], exact=True)
    expected = min(theirs.pvalue, 1.0) if worse + better else 1.0
    assert mcnemar_exact(worse=worse, better=better) == pytest.approx(expected, rel=1e-9)


def test_paired_difference_agrees_with_statsmodels_and_scipy() -> None:
    rng = np.random.default_rng(4)
    clusters = rng.integers(0, 30, size=500)
    values = np.clip(rng.choice([-1.0, 0.0, 1.0], size=500, p=[0.1, 0.7, 0.2]), -1, 1)
    result = paired_difference(values, clusters, confidence=0.95)
    assert result.standard_error == pytest.approx(float(scipy_stats.sem(values)))
    fit = OLS(values, np.ones(500)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert result.clustered_standard_error == pytest.approx(float(fit.bse[0]), rel=1e-6)
    assert result.clusters == 30


def test_paired_interval_does_not_collapse_without_flips() -> None:
    result = paired_difference([0.0] * 100, confidence=0.95)
    assert result.standard_error == 0
    assert result.clustered_standard_error is None
    assert result.interval.low < -0.02
    assert result.interval.high > 0.02
    one = paired_difference([0.0] * 100, ["same"] * 100, confidence=0.95)
    assert (one.interval.low, one.interval.high) == (-1.0, 1.0)
    with pytest.raises(BadInput, match="standard error"):
        paired_difference([0.5], confidence=0.95)


# ------------------------------------------------------------------------------------------------ power


def test_nothing_shows_what_is_not_so() -> None:
    assert n_needed(0.02, 0.1, margin=0.02, alpha=0.05) is None
    assert n_needed(0.0, 0.0, margin=0.02, alpha=0.05) == 149


def test_n_needed_and_detectable_difference_are_inverse() -> None:
    values = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], size=1000, p=[0.1, 0.8, 0.1])
    difference = minimum_detectable_difference(values, alpha=0.05)
    std = float(values.std(ddof=1))
    z = float(scipy_stats.norm.ppf(0.95) + scipy_stats.norm.ppf(0.8))
    assert difference == pytest.approx(z * std / math.sqrt(1000))
    assert n_needed(0.0, std, margin=difference, alpha=0.05) == pytest.approx(1000, abs=1)
    halves = minimum_detectable_difference(np.repeat(values, 2), alpha=0.05, clusters=np.repeat(np.arange(1000), 2))
    assert halves == pytest.approx(difference, rel=1e-3)
    assert minimum_detectable_difference([0.0] * 149, alpha=0.05) == pytest.approx(0.02, abs=1e-3)
    assert minimum_detectable_difference([0.0], alpha=0.05) == 1.0


def test_n_needed_gives_the_power_it_names() -> None:
    rng = np.random.default_rng(6)
    p = [0.03, 0.94, 0.03]
    n = n_needed(0.0, math.sqrt(0.06), margin=0.05, alpha=0.05)
    assert n is not None
    sample = rng.choice([-1.0, 0.0, 1.0], size=(4000, n), p=p)
    z = (0.05 - sample.mean(axis=1)) / (sample.std(axis=1, ddof=1) / math.sqrt(n))
    assert float(np.mean(z >= scipy_stats.norm.ppf(0.95))) == pytest.approx(0.8, abs=0.04)


# ------------------------------------------------------------------------------------------------ agreement


@unhurried
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60))
def test_agreement_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    measured = v_measure(first, second)
    expected = homogeneity_completeness_v_measure(first, second)
    assert (measured.homogeneity, measured.completeness, measured.v) == pytest.approx(expected, abs=1e-9)
    if len(set(first) | set(second)) > 1:
        assert cohen_kappa(first, second) == pytest.approx(float(cohen_kappa_score(first, second)), abs=1e-9)
    assert same_answer_share(first, second) == sum(a == b for a, b in pairs) / len(pairs)


def test_kappa_of_the_textbook() -> None:
    """Fleiss, Levin & Paik, 50 items: 20 both yes, 15 both no, 5 and 10 apart: 0.40."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(["yes"] * 5, ["yes"] * 5) == 1.0
    with pytest.raises(BadInput):
        cohen_kappa([], [])


# ------------------------------------------------------------------------------------------------ multiplicity, drift


def test_shift_agrees_with_scipy() -> None:
    a, b = ["x"] * 40 + ["y"] * 30 + ["z"] * 30, ["x"] * 20 + ["y"] * 30 + ["z"] * 50
    expected: Any = scipy_stats.chi2_contingency([[40, 30, 30], [20, 30, 50]], correction=False)
    assert categorical_shift(a, b) == pytest.approx(expected.pvalue)
    two: Any = scipy_stats.fisher_exact([[40, 60], [20, 80]])
    assert categorical_shift(["x"] * 40 + ["y"] * 60, ["x"] * 20 + ["y"] * 80) == pytest.approx(two.pvalue)
    assert mean_shift([1.0] * 40 + [0.0] * 60, [1.0] * 20 + [0.0] * 80) == pytest.approx(two.pvalue)
    x, y = np.linspace(0, 0.5, 30), np.linspace(0.1, 0.9, 40)
    welch: Any = scipy_stats.ttest_ind(x, y, equal_var=False)
    assert mean_shift(x, y) == pytest.approx(welch.pvalue)


def test_rare_categories_are_merged_and_nothing_to_compare_is_no_shift() -> None:
    a, b = [*("x" * 50), *map(str, range(30))], [*("x" * 50), *map(str, range(100, 130))]
    assert categorical_shift(a, b) == pytest.approx(1.0)
    assert categorical_shift(["x"] * 9, ["x"] * 5) == 1.0
    assert categorical_shift([], ["x"]) == 1.0
    assert mean_shift([], [0.0]) == 1.0
    assert mean_shift([0.0] * 9, [0.0] * 5) == 1.0
    assert mean_shift([0.0, 0.5], [1.0]) == 1.0


def test_shift_is_false_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    labels = rng.choice(6, size=(600, 200), p=[0.4, 0.3, 0.2, 0.05, 0.03, 0.02])
    false = np.mean([categorical_shift(row[:120].tolist(), row[120:].tolist()) <= 0.05 for row in labels])
    assert false <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)
