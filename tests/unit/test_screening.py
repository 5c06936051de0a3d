"""Dropping what is hopeless: soon where it is, and seldom where a part of it could be safe."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median

import pytest

from insource.evals.screening import Screen

MARGIN, ALPHA, QUARTER, ANSWERS, RUNS = 0.02, 0.05, 0.25, 96, 200
Risk = Callable[[float], float]
"""Of an answer, by its confidence."""


def screened(risk: Risk, *, reference_loss: float, seed: int) -> Screen:
    drawn = random.Random(seed)
    screen = Screen(margin=MARGIN, alpha=ALPHA, min_coverage=QUARTER, reference_loss=reference_loss)
    for _ in range(ANSWERS):
        confidence = drawn.random()
        local, hosted = drawn.random() < risk(confidence), drawn.random() < reference_loss
        if screen.add(confidence=confidence, difference=float(local) - float(hosted)):
            break
    return screen


def runs(risk: Risk, *, reference_loss: float) -> list[Screen]:
    return [screened(risk, reference_loss=reference_loss, seed=seed) for seed in range(RUNS)]


@pytest.mark.parametrize(("reference_loss", "answers"), [(0.0, 16), (0.03, 16), (0.1, 52)])
def test_what_is_always_wrong_is_dropped_soon(reference_loss: float, answers: int) -> None:
    found = runs(lambda _: 1.0, reference_loss=reference_loss)
    assert sum(screen.futile for screen in found) >= 0.95 * RUNS
    assert median(screen.result().n for screen in found) <= answers


@pytest.mark.parametrize("reference_loss", [0.0, 0.03, 0.1, 0.3])
def test_what_is_no_worse_than_the_margin_allows_is_seldom_dropped(reference_loss: float) -> None:
    found = runs(lambda _: MARGIN + reference_loss, reference_loss=reference_loss)
    assert sum(screen.futile for screen in found) <= ALPHA * RUNS


@pytest.mark.parametrize("reference_loss", [0.0, 0.03])
def test_a_part_that_is_safe_is_seldom_dropped_for_the_rest(reference_loss: float) -> None:
    found = runs(lambda confidence: 0.0 if confidence > 0.6 else 0.8, reference_loss=reference_loss)
    assert sum(screen.futile for screen in found) <= 2 * ALPHA * RUNS
    assert sum(screen.result().promising for screen in found if not screen.futile) >= 0.7 * RUNS


@pytest.mark.parametrize("reference_loss", [0.0, 0.03, 0.1])
def test_what_is_said_to_be_the_least_loss_is_above_the_margin_when_dropped(reference_loss: float) -> None:
    for screen in runs(lambda _: 0.9, reference_loss=reference_loss)[:20]:
        found = screen.result()
        assert (found.lower > MARGIN - 1e-6) == found.futile
        assert found.lower <= 1.0
