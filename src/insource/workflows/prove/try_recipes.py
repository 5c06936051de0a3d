"""Trying the recipes of one task: fit, screen on train, calibrate what survives, audit it, store what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from insource.core.errors import BadInput
from insource.core.hashing import content_address, sha256_hex
from insource.core.ports import Engine, Fitted, Recipe, Scorer
from insource.core.values import Candidate, Evaluation, Example, Interval, ModelFile, Outcome, Part, Task
from insource.evals.answering import Answerer, outcome
from insource.evals.certificate import Evidence, certify, plain
from insource.evals.comparison import (
    Trial,
    TrialEnd,
    covered,
    decide_verdict,
    exchanges_for_gate,
    figures,
    search_gate,
)
from insource.evals.screening import BATCH, SCREEN_ANSWERS, SCREEN_TOKENS, Screen, Screened
from insource.stats.multiplicity import bonferroni_alpha
from insource.stats.power import n_needed_for_zero_loss
from insource.workflows.services import Progress, Services, engine_settings

CALIBRATION_ANSWERS = 400
"""Answers of a model on the calibration part at most, in hash order: enough for 2 % with three losses."""
TEST_ANSWERS = 200
"""Answers of a model on the test part at most: the audit need only contradict, not prove."""
SCREEN_FIT = 1_500
"""Train examples that the held-out predictions of a screening are made from: twice a fit on half of them."""


_Exchanged = TypeVar("_Exchanged", Example, Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One task's evaluation under way: everything that its recipes share."""

    services: Services
    task: Task
    scorer: Scorer
    parts: dict[Part, list[Example]]
    engine: Engine | None
    model: ModelFile | None
    ceiling: Interval | None
    since: datetime | None
    """Earlier exchanges may be learnt from but are not compared with: the hosted quality has drifted since."""
    warnings: tuple[str, ...]
    progress: Progress

    def compared(self, part: Part) -> list[Example]:
        return [e for e in self.parts[part] if self.since is None or e.created >= self.since]


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One recipe in the contest."""

    recipe: Recipe
    fitted: Fitted
    candidate: Candidate
    answerer: Answerer
    screened: Screened | None = None
    outcomes: list[Outcome] = field(default_factory=list[Outcome])


async def try_recipes(contest: Contest, recipes: Sequence[Recipe]) -> tuple[list[Trial], list[Evaluation]]:
    """Screening of all, then calibration of the survivors until one has a gate."""
    trials: list[Trial] = []
    evaluations: list[Evaluation] = []
    survivors: list[Attempt] = []
    for recipe in recipes:
        short = _too_few(contest, recipe, _alpha(contest))
        if short is not None:
            trials.append(short)
            continue
        try:
            attempt = _attempt(contest, recipe)
            attempt.screened = await _screen(contest, attempt)
        except BadInput as error:
            trials.append(Trial(recipe=recipe.name, end="refused", reason=error.message))
            continue
        if attempt.screened.futile or not attempt.screened.promising:
            trials.append(_dropped(attempt.screened, recipe.name))
            evaluations.append(_evaluation(contest, attempt, trials[-1], alpha=_alpha(contest)))
        else:
            survivors.append(attempt)
    # Holm's first step for each: k is known before calibration data is touched, so the order can't be chosen by it.
    delta = bonferroni_alpha(_alpha(contest), max(len(survivors), 1))
    for attempt in survivors:
        trial, evaluation = await _certify(contest, attempt, delta)
        trials.append(trial)
        evaluations.append(evaluation)
        if trial.end == "certified":
            break
    return trials, evaluations


def _too_few(contest: Contest, recipe: Recipe, delta: float) -> Trial | None:
    """A model is not asked when not even a flawless one could be certified: answers cost time, the sum costs none."""
    margin = contest.services.settings.margin
    n, least = len({e.cluster for e in contest.compared("calibration")}), n_needed_for_zero_loss(margin, delta)
    if not recipe.asks_model or n >= least:
        return None
    reason = f"{n} calibration inputs could not prove a margin of {margin:.1%} even without a loss."
    return Trial(recipe=recipe.name, end="too few", reason=reason, n_needed=_of_the_task(contest, least))


def _of_the_task(contest: Contest, calibration_inputs: int) -> int:
    """Exchanges of the task that hold so many calibration inputs, if it goes on as it did; more than it has now."""
    total = sum(len(part) for part in contest.parts.values())
    inputs = len({e.cluster for e in contest.compared("calibration")})
    return max(math.ceil(calibration_inputs * total / max(inputs, 1)), total + 1)


def _alpha(contest: Contest) -> float:
    return round(1 - contest.services.settings.confidence, 12)


def _attempt(contest: Contest, recipe: Recipe) -> Attempt:
    services, task = contest.services, contest.task
    contest.progress(f"{task.name}: fitting {recipe.name}", 0, None)
    fitted = recipe.fit(task.output, contest.parts["train"], seed=services.settings.seed)
    settings = engine_settings(services) if recipe.asks_model else None
    model = contest.model if recipe.asks_model else None
    candidate = Candidate(
        id="",
        task_id=task.id,
        recipe=recipe.name,
        artifact_sha256=services.registry.put_artifact(fitted.artifact()),
        model_ref=model.ref if model else None,
        model_sha256=model.sha256 if model else None,
        settings=settings,
    )
    digest = content_address(plain(candidate)).removeprefix("sha256:")
    candidate = replace(candidate, id=f"{recipe.name}-{digest[:8]}")
    services.registry.put_candidate(candidate)
    answerer = Answerer(fitted, contest.engine, slots=services.settings.slots)
    return Attempt(recipe=recipe, fitted=fitted, candidate=candidate, answerer=answerer)


async def _screen(contest: Contest, attempt: Attempt) -> Screened:
    settings = contest.services.settings
    screen = Screen(margin=settings.margin, alpha=_alpha(contest), min_coverage=settings.min_coverage)
    if not attempt.recipe.asks_model:
        attempt.outcomes = await _held_out(contest, attempt)
        for one in _one_a_cluster(attempt.outcomes):
            screen.add(confidence=one.confidence, difference=one.loss_local - one.loss_hosted)
        return screen.result()
    pool = _one_a_cluster(contest.compared("train"))[:SCREEN_ANSWERS]
    for start in range(0, len(pool), BATCH):
        for one in await _outcomes(contest, attempt, pool[start : start + BATCH], part="train"):
            attempt.outcomes.append(one)
            screen.add(confidence=one.confidence, difference=one.loss_local - one.loss_hosted)
        contest.progress(f"{contest.task.name}: screening {attempt.recipe.name}", start + BATCH, len(pool))
        if screen.futile or attempt.answerer.tokens >= SCREEN_TOKENS:
            break
    return screen.result()


def _one_a_cluster(items: Sequence[_Exchanged]) -> list[_Exchanged]:
    """In their order. The futility test takes independent values, and repeats of an input are none; which one of them
    stands for all is drawn by a hash, so that it is neither the oldest nor the best."""
    chosen: dict[str, _Exchanged] = {}
    for item in sorted(items, key=lambda i: sha256_hex(i.exchange_id.encode())):
        chosen.setdefault(item.cluster, item)
    kept = {item.exchange_id for item in chosen.values()}
    return [item for item in items if item.exchange_id in kept]


async def _held_out(contest: Contest, attempt: Attempt) -> list[Outcome]:
    """A learnt recipe's answers to train examples that it did not learn from: each half by a fit on the other."""
    pool = contest.parts["train"][:SCREEN_FIT]
    halves: tuple[list[Example], list[Example]] = ([], [])
    for example in pool:  # by the input, so that a repeat can't be learnt from
        halves[int(sha256_hex(example.input_sha256.encode())[0], 16) % 2].append(example)
    found: list[Outcome] = []
    for learnt, asked in (halves, halves[::-1]):
        fitted = attempt.recipe.fit(contest.task.output, learnt, seed=contest.services.settings.seed)
        answerer = Answerer(fitted, None, slots=1)
        answers = await answerer.answers(asked)
        found += [
            outcome(a, e, "train", scorer=contest.scorer, output=contest.task.output)
            for a, e in zip(answers, asked, strict=True)
            if contest.since is None or e.created >= contest.since
        ]
    return found


async def _outcomes(contest: Contest, attempt: Attempt, examples: Sequence[Example], *, part: Part) -> list[Outcome]:
    answers = await attempt.answerer.answers(
        examples,
        progress=lambda done: contest.progress(
            f"{contest.task.name}: {part} answers of {attempt.recipe.name}", done, len(examples)
        ),
    )
    return [
        outcome(a, e, part, scorer=contest.scorer, output=contest.task.output)
        for a, e in zip(answers, examples, strict=True)
    ]


def _dropped(screened: Screened, recipe: str) -> Trial:
    shown = f"loses {screened.mean:.1%} more than the reference even at its best gate"
    bound = f"at least {screened.lower:.1%}" if screened.futile else "not shown at every gate"
    return Trial(recipe=recipe, end="dropped", reason=f"{shown} ({bound}, n {screened.n}).", n=screened.n)


async def _certify(contest: Contest, attempt: Attempt, delta: float) -> tuple[Trial, Evaluation]:
    settings, name = contest.services.settings, attempt.recipe.name
    calibration, test = contest.compared("calibration"), contest.compared("test")
    short = _too_few(contest, attempt.recipe, delta)
    if short is not None:
        return short, _evaluation(contest, attempt, short, alpha=delta)
    if attempt.recipe.asks_model:
        calibration, test = calibration[:CALIBRATION_ANSWERS], test[:TEST_ANSWERS]
    calibrated = await _outcomes(contest, attempt, calibration, part="calibration")
    search = search_gate(calibrated, margin=settings.margin, delta=delta, min_coverage=settings.min_coverage)
    gate = search.gate
    # A test answer of a model costs time, and without a gate there is nothing to audit.
    wanted = gate is not None or not attempt.recipe.asks_model
    audited = await _outcomes(contest, attempt, test, part="test") if wanted else []
    attempt.outcomes = [*calibrated, *audited]
    n = len(attempt.outcomes)
    if gate is None:
        end: TrialEnd = "too few" if search.too_few else "no gate"
        needed = search.n_needed if search.too_few else exchanges_for_gate(search, calibrated, delta=delta)
        n_needed = None if needed is None else _of_the_task(contest, needed)
        tried = min(search.tried, key=lambda t: t.loss_upper, default=None)
        bound = f"loses at most {tried.loss_upper:.1%} at its best gate" if tried else "nothing was measured"
        reason = f"{bound}, which does not prove {settings.margin:.1%} (n {len(calibrated)})."
        trial = Trial(recipe=name, end=end, reason=reason, n=n, n_needed=n_needed)
        return trial, _evaluation(contest, attempt, trial, alpha=delta)
    kept = covered(audited, gate.threshold)
    coverage = len(kept) / len(audited) if audited else gate.coverage
    audit = figures(kept, margin=settings.margin, alpha=delta, confidence=settings.confidence)
    if audit is not None and audit.difference_interval.low > settings.margin:
        reason = f"the audit contradicts the bound: at least {audit.difference_interval.low:.1%} lost (n {audit.n})."
        trial = Trial(recipe=name, end="void", reason=reason, n=n)
        return trial, _evaluation(contest, attempt, trial, alpha=delta)
    quality = f"{audit.quality:.1%} right on {audit.n} test exchanges" if audit else "no test exchange is covered"
    reason = f"loses at most {gate.loss_upper:.2%} on the {coverage:.0%} it covers; {quality}."
    trial = Trial(recipe=name, end="certified", reason=reason, n=n, coverage=coverage, gate=gate.threshold)
    return trial, _evaluation(contest, attempt, trial, alpha=delta, loss_upper=gate.loss_upper)


def _evaluation(
    contest: Contest, attempt: Attempt, trial: Trial, *, alpha: float, loss_upper: float | None = None
) -> Evaluation:
    """Stores the evaluation with its outcomes, and the certificate of one that found a gate."""
    settings = contest.services.settings
    measured: dict[str, Any] = {"margin": settings.margin, "alpha": alpha, "confidence": settings.confidence}
    certified = trial.end == "certified" and trial.gate is not None
    test = [o for o in attempt.outcomes if o.part == "test"]
    digest = content_address(
        [plain(attempt.candidate), plain(attempt.outcomes), settings.margin, settings.confidence, alpha]
    )
    screened = attempt.screened
    evaluation = Evaluation(
        id="eval-" + digest.removeprefix("sha256:")[:16],
        task_id=contest.task.id,
        candidate_id=attempt.candidate.id,
        created=contest.services.clock.now(),
        verdict=decide_verdict([trial], untried=[], references=1, least=1).verdict,
        reason=trial.reason,
        margin=settings.margin,
        confidence=settings.confidence,
        alpha_used=alpha,
        gate=trial.gate if certified else None,
        coverage=trial.coverage,
        loss_upper=loss_upper,
        covered=figures(covered(test, trial.gate), **measured) if certified and trial.gate is not None else None,
        overall=figures(attempt.outcomes, **measured),
        self_agreement=contest.ceiling,
        warnings=contest.warnings,
        answers=attempt.answerer.asked if attempt.recipe.asks_model or screened is None else screened.n,
    )
    registry = contest.services.registry
    if certified:
        outcomes = attempt.outcomes
        ids = {o.exchange_id for o in outcomes}
        certificate = certify(
            Evidence(
                task=contest.task,
                candidate=attempt.candidate,
                evaluation=evaluation,
                outcomes=outcomes,
                examples=[e for part in contest.parts.values() for e in part if e.exchange_id in ids],
                scorer=contest.scorer.name,
                min_coverage=settings.min_coverage,
            )
        )
        evaluation = replace(evaluation, certificate_id=certificate.id)
        registry.put_evaluation(evaluation, outcomes)
        registry.put_certificate(certificate, evaluation.id)
        return evaluation
    registry.put_evaluation(evaluation, attempt.outcomes)
    return evaluation
