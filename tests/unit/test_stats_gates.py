"""The gate search: order, ties, thresholds and what it says when nothing is safe."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

from insource.core.errors import BadInput
from insource.stats.intervals import clopper_pearson_upper
from insource.stats.risk_control import choose_gate

unhurried = settings(deadline=None, max_examples=60)
"""A busy machine is no error."""


def test_nothing_lost_covers_all() -> None:
    search = choose_gate(np.linspace(0, 1, 200), [0.0] * 200, margin=0.02, delta=0.05, min_coverage=0.1)
    assert search.gate is not None
    assert (search.gate.threshold, search.gate.coverage, search.gate.covered) == (0.0, 1.0, 200)
    assert search.gate.loss_upper == clopper_pearson_upper(0, 200, alpha=0.05)
    assert search.tried[0].covered == 149


def test_losses_at_low_confidence_are_gated_off() -> None:
    confidences = np.linspace(0.001, 1, 1000)
    losses = (confidences < 0.3).astype(np.float64)
    search = choose_gate(confidences, losses, margin=0.02, delta=0.05, min_coverage=0.1)
    assert search.gate is not None
    assert 0.27 < search.gate.threshold < 0.35
    assert search.gate.covered == int(np.sum(confidences >= search.gate.threshold))
    assert search.tried[-1].loss_upper > 0.02
    assert search.tried[-2].threshold == search.gate.threshold


def test_a_hopeless_candidate_is_shown_to_be_unsafe() -> None:
    rng = np.random.default_rng(1)
    losses = (rng.random(400) < 0.95).astype(np.float64)
    search = choose_gate(rng.random(400), losses, margin=0.02, delta=0.05, min_coverage=0.1)
    assert search.gate is None
    assert search.shown_unsafe
    assert not search.too_few
    assert len(search.tried) == 1
    assert 0.85 < search.tried[0].loss_lower < search.tried[0].loss_mean < search.tried[0].loss_upper


@pytest.mark.parametrize("clusters", [None, [i // 2 for i in range(280)]])
def test_too_few_to_pass_without_a_loss_is_said(clusters: list[int] | None) -> None:
    n = 280 if clusters else 148
    search = choose_gate([0.9] * n, [0.0] * n, margin=0.02, delta=0.05, min_coverage=0.1, clusters=clusters)
    assert search.gate is None
    assert search.too_few
    assert search.n_needed == 149
    assert not search.shown_unsafe


def test_no_exchanges_are_too_few() -> None:
    search = choose_gate([], [], margin=0.02, delta=0.05, min_coverage=0.1)
    assert search.gate is None
    assert search.tried == ()
    assert search.too_few


def test_equal_confidences_are_covered_together() -> None:
    confidences = [0.9] * 400 + [0.5] * 400
    losses = [0.0] * 400 + [1.0] * 40 + [0.0] * 360
    search = choose_gate(confidences, losses, margin=0.02, delta=0.05, min_coverage=0.1)
    assert [attempt.covered for attempt in search.tried] == [400, 800]
    assert search.gate is not None
    assert search.gate.threshold == pytest.approx(0.7)


def test_the_gates_tried_do_not_depend_on_the_losses() -> None:
    rng = np.random.default_rng(2)
    confidences = rng.random(700)
    long = choose_gate(confidences, [0.0] * 700, margin=0.02, delta=0.05, min_coverage=0.1)
    short = choose_gate(confidences, rng.random(700) < 0.015, margin=0.02, delta=0.05, min_coverage=0.1)
    thresholds = [attempt.threshold for attempt in long.tried]
    assert [attempt.threshold for attempt in short.tried] == thresholds[: len(short.tried)]


def test_tighter_than_learn_then_test_with_hoeffding_bentkus() -> None:
    """MAPIE's p-value for binary losses is valid too; whatever it lets pass, the exact bound lets pass."""
    for n, errors in ((149, 0), (400, 2), (800, 8), (2000, 25), (2000, 33)):
        theirs = compute_hoeffding_bentkus_p_value(np.array([errors / n]), n, np.array([0.02]), binary=True)[0, 0]
        ours = clopper_pearson_upper(errors, n, alpha=0.05) <= 0.02
        assert ours == (theirs <= 0.05)


@unhurried
@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.4000001, 0.8, 1.0]), min_size=1, max_size=400),
    seed=st.integers(0, 99),
    min_coverage=st.floats(0, 1),
)
def test_the_threshold_covers_what_was_certified(scores: list[float], seed: int, min_coverage: float) -> None:
    losses = np.random.default_rng(seed).choice([-0.5, 0.0, 0.1], size=len(scores))
    search = choose_gate(scores, losses, margin=0.1, delta=0.1, min_coverage=min_coverage)
    for attempt in search.tried:
        covered = [loss for score, loss in zip(scores, losses, strict=True) if score >= attempt.threshold]
        assert attempt.covered == len(covered)
        assert attempt.loss_mean == pytest.approx(float(np.mean(covered)))
        assert attempt.coverage >= min_coverage - 1e-9
    counts = [attempt.covered for attempt in search.tried]
    assert counts == sorted(set(counts))
    if search.gate is not None:
        assert search.gate.loss_upper <= 0.1
        assert search.gate.covered in counts


def test_wrong_input_is_refused() -> None:
    with pytest.raises(BadInput, match="came with"):
        choose_gate([0.5], [0.0, 1.0], margin=0.02, delta=0.05, min_coverage=0.1)
    with pytest.raises(BadInput, match="min_coverage"):
        choose_gate([0.5], [0.0], margin=0.02, delta=0.05, min_coverage=1.1)
    with pytest.raises(BadInput, match="not in"):
        choose_gate([float("nan")], [0.0], margin=0.02, delta=0.05, min_coverage=0.1)
