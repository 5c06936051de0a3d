"""Comparing local with hosted answers on held-out exchanges: figures, gate with audit, verdict. Pure (DESIGN §6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from insource.core.values import Figures, Outcome, Verdict
from insource.evals.splits import TRAIN_SHARE
from insource.stats.intervals import mean_interval
from insource.stats.paired import mcnemar_exact, paired_difference
from insource.stats.power import minimum_detectable_difference, n_needed
from insource.stats.risk_control import GateSearch, choose_gate

ALL = 0.995
"""Coverage from which a move is of the whole task."""


def figures(outcomes: Sequence[Outcome], *, margin: float, alpha: float, confidence: float) -> Figures | None:
    """The row of every table; None without outcomes."""
    if not outcomes:
        return None
    local = np.array([o.loss_local for o in outcomes])
    hosted = np.array([o.loss_hosted for o in outcomes])
    clusters = [o.cluster for o in outcomes]
    d = local - hosted
    paired = paired_difference(d, clusters, confidence=confidence)
    binary = bool(np.isin(local, (0.0, 1.0)).all() and np.isin(hosted, (0.0, 1.0)).all())
    worse, better = int((d > 0).sum()), int((d < 0).sum())
    wrong = mean_interval(local, confidence=confidence, low=0.0)
    return Figures(
        n=len(d),
        clusters=len(set(clusters)),
        quality=1 - float(local.mean()),
        quality_interval=type(wrong)(low=1 - wrong.high, high=1 - wrong.low),
        hosted_quality=1 - float(hosted.mean()),
        difference=float(d.mean()),
        difference_interval=paired.interval,
        worse=worse,
        better=better,
        mcnemar_p=mcnemar_exact(worse=worse, better=better) if binary else None,
        minimum_detectable_difference=minimum_detectable_difference(d, alpha=alpha, clusters=clusters),
        n_needed=n_needed(float(d.mean()), float(d.std()), margin=margin, alpha=alpha),
    )


def search_gate(calibration: Sequence[Outcome], *, margin: float, delta: float, min_coverage: float) -> GateSearch:
    """Learn-then-Test on the calibration part. Outcomes are sorted first, so that their order does not matter."""
    held = sorted(calibration, key=lambda o: o.exchange_id)
    return choose_gate(
        [o.confidence for o in held],
        [o.loss_local - o.loss_hosted for o in held],
        margin=margin,
        delta=delta,
        min_coverage=min_coverage,
        clusters=[o.cluster for o in held],
    )


def covered(outcomes: Sequence[Outcome], gate: float) -> list[Outcome]:
    return [o for o in outcomes if o.confidence >= gate]


def exchanges_for_gate(search: GateSearch, calibration: Sequence[Outcome], *, delta: float) -> int | None:
    """Calibration exchanges at which the best gate tried would pass, if its differences stay as they are; None: their
    mean is above the margin."""
    if not search.tried:
        return None
    best = min(search.tried, key=lambda tried: tried.loss_mean)
    d = np.array([o.loss_local - o.loss_hosted for o in covered(calibration, best.threshold)])
    needed = n_needed(float(d.mean()), float(d.std()), margin=search.margin, alpha=delta)
    return None if needed is None else math.ceil(max(needed, search.n_needed) / best.coverage)


TrialEnd = Literal["refused", "dropped", "too few", "no gate", "void", "certified"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one recipe. `difference` and its bounds are of the most favourable gate that was looked at."""

    recipe: str
    end: TrialEnd
    reason: str
    n: int = 0
    coverage: float = 0.0
    gate: float | None = None
    n_needed: int | None = None
    """Exchanges of the task that would change the end; None: more of them would not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    verdict: Verdict
    reason: str
    recipe: str | None = None
    n_needed: int | None = None


def decide_verdict(trials: Sequence[Trial], *, untried: Sequence[str], references: int, least: int) -> Decision:
    """The task's verdict from what became of its recipes (in the order tried). `untried` serve such a task but were
    left out. PIN is not decided here: it comes from privacy, whatever the figures."""
    if references < least:
        return Decision(
            verdict=Verdict.MORE_DATA,
            reason=f"{references} exchanges with a reference; at least {least} are needed to say anything.",
            n_needed=least,
        )
    for trial in trials:
        if trial.end == "certified":
            whole = trial.gate == 0.0 or trial.coverage >= ALL
            verdict = Verdict.MOVE if whole else Verdict.MOVE_PART
            return Decision(verdict=verdict, reason=trial.reason, recipe=trial.recipe)
    said = " ".join(f"{trial.recipe}: {trial.reason}" for trial in trials)
    if untried:
        return Decision(verdict=Verdict.ADAPT, reason=f"Not tried yet: {', '.join(untried)}. {said}".strip())
    short = [trial for trial in trials if trial.n_needed is not None]
    if short:
        nearest = min(short, key=lambda trial: trial.n_needed or 0)
        return Decision(verdict=Verdict.MORE_DATA, reason=said, recipe=nearest.recipe, n_needed=nearest.n_needed)
    return Decision(verdict=Verdict.KEEP, reason=f"No safe threshold was found for this model. {said}".strip())


def references_for_train(train_needed: int) -> int:
    """Exchanges of a task whose train part has about so many."""
    return math.ceil(train_needed / TRAIN_SHARE)
