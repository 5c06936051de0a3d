"""What exchanges teach about a prediction: convergence, robustness, coverage, and the stored form."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.fit.calibration import NO_CORRECTION, Correction, correction_json, correction_of, log_interval, update

LOG_ERROR = 0.3
"""Of the uncorrected prediction."""


def learned(ratios: list[float]) -> Correction:
    correction = NO_CORRECTION
    for ratio in ratios:
        correction = update(correction, 50 * ratio, 50)
    return correction


def test_nothing_learned_changes_nothing() -> None:
    assert log_interval(NO_CORRECTION, LOG_ERROR) == (0.0, LOG_ERROR)


@given(st.floats(0.3, 3.0), st.integers(1, 300))
def test_the_shift_lies_between_none_and_what_was_seen(ratio: float, n: int) -> None:
    shift, half = log_interval(learned([ratio] * n), LOG_ERROR)
    assert abs(shift) <= abs(log(ratio)) + 1e-9
    assert shift * log(ratio) >= 0
    assert 0 < half <= LOG_ERROR


def test_it_converges_and_narrows() -> None:
    halves: list[float] = []
    for n in (1, 3, 10, 100):
        shift, half = log_interval(learned([0.7] * n), LOG_ERROR)
        halves.append(half)
        assert shift == pytest.approx(log(0.7), rel=0.2 / n + 0.02)
    assert halves == sorted(halves, reverse=True)
    assert halves[-1] < LOG_ERROR / 3


def test_one_odd_exchange_does_not_last() -> None:
    steady = [0.9, 0.91, 0.89, 0.9, 0.92, 0.88, 0.9, 0.9]
    shift, _ = log_interval(learned([*steady, 0.05, *steady]), LOG_ERROR)
    assert exp(shift) == pytest.approx(0.9, rel=0.03)


def test_a_new_speed_is_learned() -> None:
    """A driver that makes it twice as fast, after a thousand exchanges."""
    shift, _ = log_interval(learned([0.8] * 1000 + [1.6] * 800), LOG_ERROR)
    assert exp(shift) == pytest.approx(1.6, rel=0.1)


def test_intervals_cover_a_familys_next_exchange() -> None:
    """Families' offsets spread as the prediction's error says, exchanges around them by 10 %: 80 % of what comes next
    lies in the interval, after any number of exchanges."""
    generator = np.random.default_rng(7)
    for n in (1, 5, 30):
        inside = 0
        for _ in range(2000):
            offset = generator.normal(0, LOG_ERROR / 1.2816)
            seen = np.exp(offset + generator.normal(0, 0.1, n + 1))
            shift, half = log_interval(learned([float(x) for x in seen[:n]]), LOG_ERROR)
            inside += abs(log(seen[n]) - shift) <= half
        assert 0.70 < inside / 2000 < 0.88, n


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_a_speed_that_is_none_teaches_nothing(observed: float, predicted: float) -> None:
    after = update(NO_CORRECTION, observed, predicted)
    if not (0 < observed < float("inf") and 0 < predicted < float("inf")):
        assert after == NO_CORRECTION
    assert after.n in (0, 1)


def test_it_survives_storing() -> None:
    correction = learned([0.8, 0.85, 0.9])
    assert correction_of(correction_json(correction)) == correction


@pytest.mark.parametrize("damage", [{"n": "x"}, {"mean": float("nan")}, {"variance": -1.0}, {"weight": None}])
def test_a_damaged_document_is_said(damage: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="damaged"):
        correction_of({**correction_json(learned([0.8])), **damage})
    with pytest.raises(BadInput, match="damaged"):
        correction_of({"n": 3})
