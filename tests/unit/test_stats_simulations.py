"""Do the bounds keep what they say? Simulations at the edge of the null, where false claims are most frequent.

Seeds are fixed. A share of false claims may exceed its level by two standard errors of the simulation, no more.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from insource.stats.intervals import betting_lower, betting_upper, clopper_pearson, mean_upper
from insource.stats.paired import paired_difference

Floats = npt.NDArray[np.float64]
MARGIN, ALPHA = 0.02, 0.05


def at_most(level: float, repetitions: int) -> float:
    return level + 2 * math.sqrt(level * (1 - level) / repetitions)


# ------------------------------------------------------------------------------------------------ fixed sample


def test_partial_losses_at_the_margin_pass_at_most_alpha() -> None:
    rng = np.random.default_rng(12)
    samples = rng.beta(0.02, 0.98, size=(2000, 300))
    passed = [mean_upper(sample, alpha=ALPHA) <= 0.02 for sample in samples]
    assert np.mean(passed) <= at_most(ALPHA, 2000)


# ------------------------------------------------------------------------------------------------ coverage


@pytest.mark.parametrize("rate", [0.005, 0.1, 0.5])
def test_rate_intervals_cover(rate: float) -> None:
    errors = np.random.default_rng(19).binomial(200, rate, size=4000)
    intervals = [clopper_pearson(int(k), 200, confidence=0.95) for k in errors]
    assert np.mean([i.low <= rate <= i.high for i in intervals]) >= 1 - at_most(0.05, 4000)


@pytest.mark.parametrize("shape", [(0.05, 0.95), (1.0, 1.0), (20.0, 30.0)])
def test_betting_bounds_cover(shape: tuple[float, float]) -> None:
    samples = np.random.default_rng(21).beta(*shape, size=(1500, 150))
    mean = shape[0] / sum(shape)
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
