"""A regression for times that are sums of non-negative costs, with factors shared by groups of rows.

A row's time is the sum of its amounts times coefficients; a coefficient is a base times the factors of the row's
labels. Logarithms of base and factors minimise a robust loss (pseudo-Huber) of the log speed under priors: bases lie
around first guesses, factors around 1. Gauss-Newton with damping. Where a figure is the mean of several speeds, so is
the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SCALE = 0.15
"""Log errors beyond it count linearly: a wrongly labelled run must not bend the rest."""
_STEPS = 60
_ENOUGH = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    amounts: Floats
    """A row for each of the speeds that the figure is the mean of."""
    labels: tuple[str, ...]
    log_speed: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Of one coefficient each: a first guess, the uncertainty of its logarithm, and that of a label's factor."""

    guess: Floats
    spread: Floats
    factor_spread: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    base: Floats
    factors: dict[str, Floats]

    def coefficients(self, labels: Sequence[str]) -> Floats:
        found = [self.factors[label] for label in labels if label in self.factors]
        return self.base * np.prod(found, axis=0) if found else self.base

    def log_speed(self, amounts: Floats, labels: Sequence[str]) -> float:
        return float(np.log(np.mean(1 / (amounts @ self.coefficients(labels)))))


def fit(questions: Sequence[Question], prior: Prior) -> Fitted:
    problem = _Problem(questions, prior)
    point, damping = problem.start.copy(), 1e-3
    loss = problem.loss(point)
    for _ in range(_STEPS):
        curvature, slope = problem.expansion(point)
        step, new = np.zeros(len(point)), loss
        for _ in range(8):
            step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), slope)
            new = problem.loss(point - step)
            if new < loss:
                break
            damping *= 5
        if not new < loss:
            break
        gain, loss = loss - new, new
        point = point - step
        damping = max(damping / 5, 1e-9)
        if gain < _ENOUGH * max(1.0, loss):
            break
    rows = np.exp(point.reshape(-1, len(prior.guess)))
    return Fitted(base=rows[0], factors={label: rows[1 + at] for at, label in enumerate(problem.labels)})


class _Problem:
    def __init__(self, questions: Sequence[Question], prior: Prior) -> None:
        self.labels = sorted({label for question in questions for label in question.labels})
        self._width = len(prior.guess)
        place = {label: 1 + at for at, label in enumerate(self.labels)}
        self._shares = np.zeros((len(questions), 1 + len(self.labels)))
        self._shares[:, 0] = 1
        for at, question in enumerate(questions):
            for label in question.labels:
                self._shares[at, place[label]] = 1
        self._counts = np.array([len(question.amounts) for question in questions])
        self._row = np.repeat(np.arange(len(questions)), self._counts)
        self._amounts = np.concatenate([question.amounts for question in questions])
        self._seen = np.array([question.log_speed for question in questions])
        self._weights = np.array([question.weight for question in questions])
        self.start = np.concatenate([np.log(prior.guess), np.zeros(self._width * len(self.labels))])
        spread = np.concatenate([prior.spread, np.tile(prior.factor_spread, len(self.labels))])
        self._precision = spread**-2.0

    def loss(self, point: Floats) -> float:
        _, _, _, error = self._at(point)
        robust = 2 * (np.sqrt(1 + error**2) - 1)
        return float(self._weights @ robust + self._precision @ (point - self.start) ** 2)

    def expansion(self, point: Floats) -> tuple[Floats, Floats]:
        """Curvature and slope of half the loss."""
        costs, inverse, mean, error = self._at(point)
        moved = costs * (inverse**2)[:, None]
        slopes = np.zeros((len(self._seen), self._width))
        np.add.at(slopes, self._row, moved)
        slopes *= -1 / (self._counts * mean * SCALE)[:, None]
        jacobian = (self._shares[:, :, None] * slopes[:, None, :]).reshape(len(self._seen), -1)
        weights = self._weights / np.sqrt(1 + error**2)
        curvature = jacobian.T @ (jacobian * weights[:, None]) + np.diag(self._precision)
        return curvature, jacobian.T @ (weights * error) + self._precision * (point - self.start)

    def _at(self, point: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        logs = self._shares @ point.reshape(-1, self._width)
        costs = self._amounts * np.exp(np.minimum(logs, 40.0))[self._row]
        inverse = 1 / costs.sum(axis=1)
        mean = np.bincount(self._row, inverse, minlength=len(self._seen)) / self._counts
        return costs, inverse, mean, (np.log(mean) - self._seen) / SCALE
