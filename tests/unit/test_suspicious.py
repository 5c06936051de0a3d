"""Labels that look wrong: planted ones are counted, and a rare label is no noise."""

from __future__ import annotations

import numpy as np
import pytest

from insource.evals.suspicious import label_noise


def drawn(truth: np.ndarray, labels: int, *, sure: float, seed: int) -> np.ndarray:
    """Probabilities of a good classifier, calibrated: Dirichlet around the truth."""
    rng = np.random.default_rng(seed)
    found = rng.dirichlet(np.ones(labels), size=len(truth)) * (1 - sure)
    found[np.arange(len(truth)), truth] += sure
    return found


@pytest.mark.parametrize("planted", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("labels", [3, 10])
def test_planted_labels_are_counted_and_found(labels: int, planted: float) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, labels, 3_000)
    wrong = rng.random(3_000) < planted
    given = np.where(wrong, (truth + rng.integers(1, labels, 3_000)) % labels, truth)
    found = label_noise(drawn(truth, labels, sure=0.8, seed=2), given)
    assert found.share == pytest.approx(wrong.mean(), abs=0.02)
    assert set(found.suspects) <= set(np.flatnonzero(wrong).tolist())
    assert len(found.suspects) >= 0.5 * wrong.sum()


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_label_that_a_classifier_hardly_knows_is_no_noise(seed: int) -> None:
    """What is usual of it is little, so texts of the other label pass it, though that one is far likelier."""
    rng = np.random.default_rng(seed)
    given = (rng.random(400) < 0.03).astype(np.int64)
    rare = np.where(given == 1, rng.beta(2, 8, 400), rng.beta(1, 12, 400))
    found = label_noise(np.stack([1 - rare, rare], axis=1), given)
    assert found.share < 0.04
    assert len(found.suspects) <= given.sum()


def test_labels_that_are_opinions_are_not_called_wrong() -> None:
    """A classifier that is sure and disagrees with a half of the labels is no witness."""
    drawn = np.random.default_rng(1)
    given = drawn.integers(0, 2, 400)
    said = np.where(drawn.random(400) < 0.5, given, 1 - given)
    sure = np.full((400, 2), 0.05)
    sure[np.arange(400), said] = 0.95
    assert label_noise(sure, given).suspects == ()
