"""Judges of known error, and people who know better."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from insource.core.evidence import Outcome
from insource.core.values import JsonObject
from insource.evals.calibration import Calibration, LabelledPair, calibrate
from insource.evals.judge import Ask
from insource.evals.ledger import Look, Stakes, look
from insource.stats.arrays import Floats
from tests.fakes.evidence import outcome, terms
from tests.fakes.serving import completion

WHOLE = terms(thresholds=(0.0,), coverages=(1.0,), first=0)


def judge_that(prefers: Callable[[str, str], int]) -> Ask:
    """`prefers(answer 1, answer 2)`: 1, 2 or 0."""

    def ask(body: JsonObject) -> JsonObject:
        shown: Any = json.loads(body["messages"][-1]["content"].split("\n\n", 1)[1])
        return completion(json.dumps({"better": prefers(shown["answer 1"], shown["answer 2"])}))

    return ask


def flip_rate(kappa: float, worse: float) -> float:
    """With which a judge that errs equally both ways agrees so much with people who find so many worse."""
    low, high = 0.0, 0.5
    for _ in range(60):
        e = (low + high) / 2
        said = worse * (1 - e) + (1 - worse) * e
        chance = worse * said + (1 - worse) * (1 - said)
        low, high = (e, high) if (1 - e - chance) / (1 - chance) > kappa else (low, e)
    return low


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    calibration: Calibration
    found: Look
    worse: float

    @property
    def certified(self) -> bool:
        return self.found.gate is not None

    @property
    def holds(self) -> bool:
        """No certificate states less than the truth."""
        return self.found.loss_upper is None or self.found.loss_upper >= self.worse


def run(seed: int, *, kappa: float, worse: float, margin: float, n: int = 600, labelled: int = 300) -> Run:
    """A candidate of which people find so many answers worse; a random part of them was labelled."""
    rng = np.random.default_rng(seed)
    people = rng.random(n) < worse
    judge = people ^ (rng.random(n) < flip_rate(kappa, worse))
    return decided(judge.astype(float), people.astype(float), worse=worse, margin=margin, labelled=labelled)


def decided(judged: Floats, people: Floats, *, worse: float, margin: float, labelled: int = 300) -> Run:
    """Losses of answers in random order, as the judge and as people see them; of the first ones people's are known."""
    pairs = [
        LabelledPair(judged=float(judged[at]), worse=float(people[at]), confidence=0.9, admitted=True)
        for at in range(labelled)
    ]
    calibration = calibrate(pairs, WHOLE, alpha=0.05)
    losses = [*people[:labelled], *judged[labelled:]]
    outcomes: list[Outcome] = [outcome(at, loss=float(loss), label=None) for at, loss in enumerate(losses)]
    stakes = Stakes(margin=margin, alpha=0.05, errors=calibration.errors)
    return Run(calibration=calibration, found=look(WHOLE, outcomes, stakes), worse=worse)
