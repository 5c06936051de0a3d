"""Do the bounds keep what they say? Simulations at the edge of the null, where false claims are most frequent.

Seeds are fixed. A share of false claims may exceed its level by two standard errors of the simulation, no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import bdtr

from insource.stats.intervals import betting_interval, betting_lower, betting_upper, clopper_pearson, mean_upper, wilson
from insource.stats.multiplicity import bonferroni_alpha, fixed_sequence, holm
from insource.stats.non_inferiority import non_inferiority
from insource.stats.paired import paired_difference
from insource.stats.risk_control import GateSearch, choose_gate

Floats = npt.NDArray[np.float64]
MARGIN, ALPHA = 0.02, 0.05


def at_most(level: float, repetitions: int) -> float:
    return level + 2 * math.sqrt(level * (1 - level) / repetitions)


# ------------------------------------------------------------------------------------------------ fixed sample


@pytest.mark.parametrize("n", [150, 314, 1000])
def test_binary_losses_at_the_margin_pass_at_most_alpha(n: int) -> None:
    errors = np.random.default_rng(n).binomial(n, MARGIN, size=4000)
    passed = [non_inferiority(np.arange(n) < k, margin=MARGIN, alpha=ALPHA).passed for k in errors]
    assert np.mean(passed) <= at_most(ALPHA, 4000)


@pytest.mark.parametrize(("worse", "better"), [(0.07, 0.05), (0.0205, 0.0005), (0.022, 0.002), (0.26, 0.24)])
def test_paired_differences_at_the_margin_pass_at_most_alpha(worse: float, better: float) -> None:
    """Few negative differences are the hard case: whether one shows decides between the exact and the betting bound."""
    rng = np.random.default_rng(11)
    samples = rng.choice([-1.0, 0.0, 1.0], size=(2000, 320), p=[better, 1 - worse - better, worse])
    passed = [non_inferiority(sample, margin=MARGIN, alpha=ALPHA).passed for sample in samples]
    assert np.mean(passed) <= at_most(ALPHA, 2000)


def test_partial_losses_at_the_margin_pass_at_most_alpha() -> None:
    rng = np.random.default_rng(12)
    samples = rng.beta(0.02, 0.98, size=(2000, 300))
    passed = [mean_upper(sample, alpha=ALPHA) <= 0.02 for sample in samples]
    assert np.mean(passed) <= at_most(ALPHA, 2000)


def equal_sizes(rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """150 clusters of 4, correlated: a cluster's own rate is 0.02 on average."""
    rates = np.repeat(rng.beta(0.2, 9.8, size=150), 4)
    return (rng.random(600) < rates).astype(np.float64), [i // 4 for i in range(600)]


def mixed_sizes(rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Clusters of 1 to 4, of one mind, whatever their size."""
    sizes = rng.integers(1, 5, size=250)
    lost = rng.random(250) < MARGIN
    return np.repeat(lost.astype(np.float64), sizes), np.repeat(np.arange(250), sizes).tolist()


def large_ones_are_bad(rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Only clusters of 10 lose, every twelfth of them and wholly: no variance estimate sees it before one is drawn."""
    large = rng.random(400) < 0.03
    sizes = np.where(large, 10, 1)
    lost = large & (rng.random(400) < MARGIN * (0.97 + 0.3) / 0.3)
    return np.repeat(lost.astype(np.float64), sizes), np.repeat(np.arange(400), sizes).tolist()


def paired_clusters(rng: np.random.Generator) -> tuple[Floats, list[int]]:
    sizes = rng.integers(1, 4, size=200)
    values = rng.choice([-1.0, 0.0, 1.0], size=200, p=[0.04, 0.9, 0.06])
    return np.repeat(values, sizes), np.repeat(np.arange(200), sizes).tolist()


@pytest.mark.parametrize("draw", [equal_sizes, mixed_sizes, large_ones_are_bad, paired_clusters])
def test_clustered_differences_at_the_margin_pass_at_most_alpha(
    draw: Callable[[np.random.Generator], tuple[Floats, list[int]]],
) -> None:
    rng = np.random.default_rng(13)
    passed: list[bool] = []
    for _ in range(1500):
        values, clusters = draw(rng)
        passed.append(non_inferiority(values, clusters=clusters, margin=MARGIN, alpha=ALPHA).passed)
    assert np.mean(passed) <= at_most(ALPHA, 1500)


def test_ignoring_clusters_would_have_been_wrong() -> None:
    """The simulation can fail: the same data without their clusters pass far too often."""
    rng = np.random.default_rng(13)
    passed = [non_inferiority(mixed_sizes(rng)[0], margin=MARGIN, alpha=ALPHA).passed for _ in range(500)]
    assert np.mean(passed) > 1.5 * ALPHA


def test_a_good_candidate_passes() -> None:
    """Bounds that refuse everything would keep every promise above."""
    rng = np.random.default_rng(14)
    binary = rng.random((300, 500)) < 0.004
    paired = rng.choice([-1.0, 0.0, 1.0], size=(300, 800), p=[0.02, 0.965, 0.015])
    clusters = [i // 2 for i in range(1000)]
    clustered = np.repeat(rng.random((300, 500)) < 0.004, 2, axis=1)
    for samples, groups in ((binary, None), (paired, None), (clustered, clusters)):
        passed = [non_inferiority(s, clusters=groups, margin=MARGIN, alpha=ALPHA).passed for s in samples]
        assert np.mean(passed) >= 0.8


# ------------------------------------------------------------------------------------------------ gates


def constant_risk(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """The confidence says nothing; every gate is at the margin."""
    return rng.random(n), (rng.random(n) < MARGIN * 1.0001).astype(np.float64)


def rising_risk(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    confidence = rng.random(n)
    return confidence, (rng.random(n) < 0.08 * (1 - confidence)).astype(np.float64)


def tied_confidences(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    confidence = np.ceil(rng.random(n) * 5) / 5
    return confidence, (rng.random(n) < 0.005 + 0.05 * (1 - confidence)).astype(np.float64)


def paired_risk(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    confidence = rng.random(n)
    u = rng.random(n)
    worse = 0.03 + 0.08 * (1 - confidence)
    return confidence, (u < worse).astype(np.float64) - (u > 0.97)


def overconfident_top(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """The most confident tenth is the worst: the order of gates does not follow the risk."""
    confidence = rng.random(n)
    return confidence, (rng.random(n) < np.where(confidence > 0.9, 0.12, 0.01)).astype(np.float64)


TRUE_RISK: dict[Callable[[np.random.Generator, int], tuple[Floats, Floats]], Callable[[float], float]] = {
    constant_risk: lambda _: MARGIN * 1.0001,
    rising_risk: lambda t: 0.04 * (1 - t),
    tied_confidences: lambda t: float(
        np.mean([0.005 + 0.05 * (1 - c) for c in (0.2, 0.4, 0.6, 0.8, 1.0) if c >= t - 1e-9])
    ),
    paired_risk: lambda t: 0.04 * (1 - t),
    overconfident_top: lambda t: (0.012 + 0.01 * max(0.9 - t, 0)) / (0.1 + max(0.9 - t, 0)) if t < 0.9 else 0.12,
}


@pytest.mark.parametrize("draw", list(TRUE_RISK))
def test_a_gate_lets_more_than_the_margin_through_at_most_delta(
    draw: Callable[[np.random.Generator, int], tuple[Floats, Floats]],
) -> None:
    rng = np.random.default_rng(15)
    unsafe: list[bool] = []
    bound_misses: list[bool] = []
    for _ in range(1200):
        gate = choose_gate(*draw(rng, 500), margin=MARGIN, delta=ALPHA, min_coverage=0.2).gate
        risk = -1.0 if gate is None else TRUE_RISK[draw](gate.threshold)
        unsafe.append(risk > MARGIN)
        bound_misses.append(gate is not None and risk > gate.loss_upper)
    assert np.mean(unsafe) <= at_most(ALPHA, 1200)
    assert np.mean(bound_misses) <= at_most(ALPHA, 1200)


def test_a_gate_is_valid_where_requests_come_in_clusters() -> None:
    rng = np.random.default_rng(16)
    unsafe: list[bool] = []
    for _ in range(500):
        confidence, loss = rising_risk(rng, 300)
        gate = choose_gate(
            np.repeat(confidence, 2),
            np.repeat(loss, 2),
            margin=MARGIN,
            delta=ALPHA,
            min_coverage=0.2,
            clusters=np.repeat(np.arange(300), 2),
        ).gate
        unsafe.append(gate is not None and 0.04 * (1 - gate.threshold) > MARGIN)
    assert np.mean(unsafe) <= at_most(ALPHA, 500)


def test_the_best_of_three_gates_is_unsafe_at_most_delta() -> None:
    """Three candidates of equal, barely unsafe risk; the one with the largest coverage is taken, as `evaluate` does."""
    rng = np.random.default_rng(17)
    corrected: list[bool] = []
    uncorrected: list[bool] = []
    for repetition in range(1200):
        draws = [constant_risk(rng, 500) for _ in range(3)]
        levels = [(bonferroni_alpha(ALPHA, 3), corrected)] + [(ALPHA, uncorrected)] * (repetition < 200)
        for delta, found in levels:
            searches: list[GateSearch] = [
                choose_gate(*draw, margin=MARGIN, delta=delta, min_coverage=0.2) for draw in draws
            ]
            found.append(any(search.gate is not None for search in searches))
    assert np.mean(corrected) <= at_most(ALPHA, 1200)
    assert np.mean(uncorrected) > 1.5 * ALPHA  # "best of three" uncorrected would have been wrong


def test_holm_and_fixed_sequence_make_a_false_claim_at_most_alpha() -> None:
    rng = np.random.default_rng(18)
    errors = rng.binomial(400, [MARGIN, MARGIN, 0.002], size=(4000, 3))
    p_values = bdtr(errors, 400, MARGIN)
    for correct in (holm, fixed_sequence):
        false = [any(correct(row.tolist(), ALPHA)[:2]) for row in p_values]
        assert np.mean(false) <= at_most(ALPHA, 4000)


# ------------------------------------------------------------------------------------------------ coverage


@pytest.mark.parametrize("rate", [0.005, 0.1, 0.5])
def test_rate_intervals_cover(rate: float) -> None:
    errors = np.random.default_rng(19).binomial(200, rate, size=4000)
    intervals = [clopper_pearson(int(k), 200, confidence=0.95) for k in errors]
    assert np.mean([i.low <= rate <= i.high for i in intervals]) >= 1 - at_most(0.05, 4000)


def test_wilson_covers_on_average_over_rates() -> None:
    rng = np.random.default_rng(20)
    rates = rng.random(6000)
    intervals = [wilson(int(k), 60, confidence=0.95) for k in rng.binomial(60, rates)]
    covered = [i.low <= rate <= i.high for i, rate in zip(intervals, rates, strict=True)]
    assert np.mean(covered) >= 1 - at_most(0.05, 6000)


@pytest.mark.parametrize("shape", [(0.05, 0.95), (1.0, 1.0), (20.0, 30.0)])
def test_betting_intervals_and_bounds_cover(shape: tuple[float, float]) -> None:
    samples = np.random.default_rng(21).beta(*shape, size=(1500, 150))
    mean = shape[0] / sum(shape)
    intervals = [betting_interval(sample, alpha=0.05) for sample in samples]
    assert np.mean([i.low <= mean <= i.high for i in intervals]) >= 1 - at_most(0.05, 1500)
    assert np.mean([betting_upper(sample, alpha=0.1) >= mean for sample in samples]) >= 1 - at_most(0.1, 1500)
    assert np.mean([betting_lower(sample, alpha=0.1) <= mean for sample in samples]) >= 1 - at_most(0.1, 1500)


@pytest.mark.parametrize("flips", [(0.005, 0.0), (0.1, 0.05)])
def test_paired_intervals_cover(flips: tuple[float, float]) -> None:
    worse, better = flips
    samples = np.random.default_rng(22).choice(
        [-1.0, 0.0, 1.0], size=(1500, 200), p=[better, 1 - worse - better, worse]
    )
    intervals = [paired_difference(sample, confidence=0.95).interval for sample in samples]
    assert np.mean([i.low <= worse - better <= i.high for i in intervals]) >= 1 - at_most(0.05, 1500)


@pytest.mark.parametrize("groups", [12, 40])
def test_clustered_paired_intervals_cover(groups: int) -> None:
    rng = np.random.default_rng(23)
    covered: list[bool] = []
    for _ in range(1500):
        sizes = rng.integers(5, 15, size=groups)
        shift = np.repeat(rng.uniform(-0.3, 0.3, size=groups), sizes)
        u = rng.random(len(shift))
        values = (u < 0.35 + shift).astype(np.float64) - (u > 0.75 + shift)
        interval = paired_difference(values, np.repeat(np.arange(groups), sizes), confidence=0.95).interval
        covered.append(interval.low <= 0.1 <= interval.high)
    assert np.mean(covered) >= 1 - at_most(0.05, 1500)
