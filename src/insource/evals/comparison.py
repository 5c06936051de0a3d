"""Figures of a candidate beside the reference, and a task's verdict from what became of its candidates. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insource.core.evidence import Criterion, End, Figures, Interval, Outcome, Verdict
from insource.stats.intervals import mean_interval
from insource.stats.paired import mcnemar_exact, paired_difference
from insource.stats.power import minimum_detectable_difference, n_needed


def figures(outcomes: Sequence[Outcome], *, margin: float, alpha: float, confidence: float) -> Figures | None:
    """The row of every table; None without outcomes. For display: certificates rest on the ledger."""
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
        quality_interval=Interval(low=1 - wrong.high, high=1 - wrong.low),
        hosted_quality=1 - float(hosted.mean()),
        difference=float(d.mean()),
        difference_interval=paired.interval,
        worse=worse,
        better=better,
        mcnemar_p=mcnemar_exact(worse=worse, better=better) if binary else None,
        minimum_detectable_difference=minimum_detectable_difference(d, alpha=alpha, clusters=clusters),
        n_needed=n_needed(float(d.mean()), float(d.std()), margin=margin, alpha=alpha),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one recipe on one model."""

    recipe: str
    model: str | None = None
    end: End
    reason: str
    n: int = 0
    loss: float | None = None
    """More than the reference, at the best gate, of one that was dropped for it."""
    coverage: float = 0.0
    whole: bool = False
    n_needed: int | None = None
    """Exchanges of the task that would change the end; None: more of them would not, or nobody knows."""
    candidate_id: str | None = None

    @property
    def name(self) -> str:
        return self.recipe if self.model is None else f"{self.recipe} on {self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    verdict: Verdict
    reason: str
    recipe: str | None = None
    candidate_id: str | None = None
    n_needed: int | None = None


def decide_verdict(
    trials: Sequence[Trial], *, criterion: Criterion, untried: Sequence[str], references: int, least: int
) -> Decision:
    """`untried`: recipes and models that serve such a task but were not tried. PIN is not decided here."""
    if criterion.scorer is None:
        return Decision(verdict=Verdict.SAY_WHAT_COUNTS, reason=criterion.reason)
    if references < least:
        reason = f"{references} exchanges with a reference; at least {least} are needed to say anything."
        return Decision(verdict=Verdict.MORE_DATA, reason=reason, n_needed=least)
    certified = [trial for trial in trials if trial.end == "certified"]
    if certified:
        best = max(certified, key=lambda trial: trial.coverage)
        verdict = Verdict.MOVE if best.whole else Verdict.MOVE_PART
        return Decision(verdict=verdict, reason=best.reason, recipe=best.recipe, candidate_id=best.candidate_id)
    said = " ".join(_sentences(trials))
    waiting = next((trial for trial in trials if trial.end == "waiting"), None)
    if waiting is not None:
        return Decision(
            verdict=Verdict.SAY_WHAT_COUNTS, reason=said, recipe=waiting.recipe, candidate_id=waiting.candidate_id
        )
    open_ends = [trial for trial in trials if trial.end in ("unfinished", "unmeasured")]
    if open_ends:
        first = open_ends[0]
        return Decision(verdict=Verdict.MORE_DATA, reason=said, recipe=first.recipe, candidate_id=first.candidate_id)
    short = [trial for trial in trials if trial.n_needed is not None]
    if short:
        nearest = min(short, key=lambda trial: trial.n_needed or 0)
        return Decision(
            verdict=Verdict.MORE_DATA,
            reason=said,
            recipe=nearest.recipe,
            candidate_id=nearest.candidate_id,
            n_needed=nearest.n_needed,
        )
    if untried:
        left = f"Not tried yet: {', '.join(dict.fromkeys(untried))} (`insource adapt`)."
        return Decision(verdict=Verdict.ADAPT, reason=f"{left} {said}".strip())
    return Decision(verdict=Verdict.KEEP, reason=f"Nothing tried is good enough. {said}".strip())


def _sentences(trials: Sequence[Trial]) -> list[str]:
    """What each trial came to; of recipes that can't serve such a task only where nothing else was tried."""
    telling = [trial for trial in trials if trial.end != "refused" or trial.n_needed is not None] or trials
    said: list[str] = []
    for model in dict.fromkeys(trial.model for trial in telling):
        of_model = [trial for trial in telling if trial.model == model]
        lost = [trial for trial in of_model if trial.loss is not None]
        alike = lost if len(lost) > 1 else []
        said += [f"{trial.name}: {trial.reason}" for trial in of_model if trial not in alike]
        said += [_lost(alike)] if alike else []
    return said


def _lost(trials: Sequence[Trial]) -> str:
    """Several recipes on one model that are all too far off."""
    *names, last = [trial.recipe for trial in trials]
    losses = [trial.loss for trial in trials if trial.loss is not None]
    where = "" if trials[0].model is None else f" on {trials[0].model}"
    least, most = (f"{value:.0%}" for value in (min(losses), max(losses)))
    span = most if least == most else f"{least} to {most}"
    ns = sorted({trial.n for trial in trials})
    n = str(ns[0]) if len(ns) == 1 else f"{ns[0]} to {ns[-1]}"
    return f"{', '.join(names)} and {last}{where}: {span} more wrong than the reference even at the best gate (n {n})."
