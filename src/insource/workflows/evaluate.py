"""Evaluating a task: its recipes, the least effort first, against the reference; certificates for what is proven.

Each recipe is fitted and screened on the train part. What survives is calibrated (its gate is the certificate's bound,
at alpha divided by the number of survivors) and audited on the test part; the first that gets a gate ends the search.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from insource.core.errors import BadInput, EmptyLog, UsageError
from insource.core.hashing import content_address, sha256_hex
from insource.core.ports import Engine, ExchangeFilter, Fitted, Recipe, Scorer
from insource.core.values import (
    Candidate,
    Evaluation,
    Example,
    Interval,
    JsonObject,
    ModelFile,
    Outcome,
    Part,
    Task,
    Verdict,
)
from insource.evals.answering import Answerer, outcome
from insource.evals.certificate import Evidence, certify, plain
from insource.evals.comparison import (
    Decision,
    Trial,
    TrialEnd,
    calibration_needed,
    covered,
    decide_verdict,
    exchanges_for_gate,
    figures,
    references_for_train,
    search_gate,
)
from insource.evals.examples import hosted_loss, self_agreement, to_example
from insource.evals.scorers import canonical_answer, choose_scorer
from insource.evals.screening import BATCH, SCREEN_ANSWERS, SCREEN_TOKENS, Screen, Screened
from insource.evals.splits import part_of, split, split_warnings
from insource.stats.multiplicity import bonferroni_alpha
from insource.workflows.load_routing import engine_settings
from insource.workflows.services import Progress, Services, quiet

CALIBRATION_ANSWERS = 400
"""Answers of a model on the calibration part at most, in hash order: enough for 2 % with three losses."""
TEST_ANSWERS = 200
"""Answers of a model on the test part at most: the audit need only contradict, not prove."""
SCREEN_FIT = 1_500
"""Train examples that the held-out predictions of a screening are made from: twice a fit on half of them."""
_MANY = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvaluation:
    task_id: str
    decision: Decision
    evaluations: tuple[Evaluation, ...]
    trials: tuple[Trial, ...]
    references: int
    unusable: int
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        return self.decision.verdict

    @property
    def reason(self) -> str:
        return self.decision.reason

    @property
    def n_needed(self) -> int | None:
        return self.decision.n_needed

    @property
    def best(self) -> Evaluation | None:
        """The evaluation whose candidate may be moved."""
        return next((e for e in self.evaluations if e.certificate_id is not None), None)


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
    warnings: tuple[str, ...]
    progress: Progress


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One recipe in the contest."""

    recipe: Recipe
    fitted: Fitted
    candidate: Candidate
    answerer: Answerer
    screened: Screened | None = None
    outcomes: list[Outcome] = field(default_factory=list[Outcome])


def read_examples(services: Services, task_id: str) -> tuple[list[Example], int]:
    """The examples of a task, and how many of its exchanges are none."""
    found = [to_example(exchange) for exchange in services.exchanges.read(ExchangeFilter(task_id=task_id))]
    examples = [example for example in found if isinstance(example, Example)]
    return examples, len(found) - len(examples)


async def evaluate_task(
    services: Services,
    task: Task,
    *,
    recipes: Sequence[str] | None = None,
    engine: Engine | None = None,
    progress: Progress = quiet,
) -> TaskEvaluation:
    """Stores candidates, evaluations, outcomes and certificates, and says what they come to.

    `engine`: one that is ready, to share among tasks; without it one is started when a recipe needs it, and stopped.
    """
    examples, unusable = read_examples(services, task.id)
    if not examples and not unusable:
        raise EmptyLog(
            f"The task {task.name!r} has no exchanges.", next_step="Run `insource import` or `insource tasks`."
        )
    applicable, refused, untried = _sort_recipes(services, task, examples, recipes)
    scorer = services.scorers[choose_scorer(task.output)]
    warnings = _warnings(task, scorer, examples)
    trials = list(refused)
    evaluations: list[Evaluation] = []
    if len(examples) >= services.settings.min_exchanges:
        wants_engine = any(recipe.needs_engine for recipe in applicable)
        async with _engine(services, engine, wanted=wants_engine) as (ready, model):
            contest = Contest(
                services=services,
                task=task,
                scorer=scorer,
                parts=split(examples),
                engine=ready,
                model=model,
                ceiling=self_agreement(
                    examples, scorer=scorer, output=task.output, confidence=services.settings.confidence
                ),
                warnings=warnings,
                progress=progress,
            )
            ran, evaluations = await _run(contest, applicable)
            trials = sorted([*trials, *ran], key=lambda t: services.recipes[t.recipe].effort)
    decision = decide_verdict(trials, untried=untried, references=len(examples), least=services.settings.min_exchanges)
    return TaskEvaluation(
        task_id=task.id,
        decision=decision,
        evaluations=tuple(evaluations),
        trials=tuple(trials),
        references=len(examples),
        unusable=unusable,
        warnings=warnings,
    )


def _sort_recipes(
    services: Services, task: Task, examples: Sequence[Example], wanted: Sequence[str] | None
) -> tuple[list[Recipe], list[Trial], list[str]]:
    """Those to try by effort, the trials of those that refuse, and the names of those that could but were left out."""
    for name in wanted or ():
        if name not in services.recipes:
            known = ", ".join(sorted(services.recipes))
            raise UsageError(f"There is no recipe {name!r} (known: {known}).", next_step="Name one of them.")
    train = sum(part_of(e.input_sha256) == "train" for e in examples)
    applicable: list[Recipe] = []
    refused: list[Trial] = []
    untried: list[str] = []
    for recipe in sorted(services.recipes.values(), key=lambda r: (r.effort, r.name)):
        why = recipe.refusal(task.output, train)
        if wanted is not None and recipe.name not in wanted:
            untried.extend([] if why else [recipe.name])
        elif why is None:
            applicable.append(recipe)
        else:
            needed = _train_needed(recipe, task)
            n_needed = None if needed is None else references_for_train(needed)
            refused.append(Trial(recipe=recipe.name, end="refused", reason=why, n_needed=n_needed))
    return applicable, refused, untried


def _train_needed(recipe: Recipe, task: Task) -> int | None:
    """The fewest train examples with which the recipe would not refuse; None: examples are not what it lacks."""
    if recipe.refusal(task.output, _MANY) is not None:
        return None
    low, high = 0, _MANY
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if recipe.refusal(task.output, middle) is None else (middle, high)
    return high


def _warnings(task: Task, scorer: Scorer, examples: Sequence[Example]) -> tuple[str, ...]:
    labelled = bool(task.output.labels)
    return split_warnings(
        examples,
        categories=[canonical_answer(e.reference, task.output) for e in examples] if labelled else [],
        hosted_losses=[hosted_loss(e, scorer=scorer, output=task.output) for e in examples],
    )


@asynccontextmanager
async def _engine(
    services: Services, engine: Engine | None, *, wanted: bool
) -> AsyncIterator[tuple[Engine | None, ModelFile | None]]:
    if not wanted:
        yield None, None
        return
    model = services.find_model(services.settings.model)
    if engine is not None:
        yield engine, model
        return
    own = services.make_engine(model, engine_settings(services))
    try:
        await own.start()
        yield own, model
    finally:
        await own.stop()


async def _run(contest: Contest, recipes: Sequence[Recipe]) -> tuple[list[Trial], list[Evaluation]]:
    """Screening of all, then calibration of the survivors until one has a gate."""
    trials: list[Trial] = []
    evaluations: list[Evaluation] = []
    survivors: list[Attempt] = []
    for recipe in recipes:
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


def _alpha(contest: Contest) -> float:
    return round(1 - contest.services.settings.confidence, 12)


def _attempt(contest: Contest, recipe: Recipe) -> Attempt:
    services, task = contest.services, contest.task
    contest.progress(f"{task.name}: fitting {recipe.name}", 0, None)
    fitted = recipe.fit(task.output, contest.parts["train"], seed=services.settings.seed)
    settings = engine_settings(services) if recipe.needs_engine else None
    model = contest.model if recipe.needs_engine else None
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
    if not attempt.recipe.needs_engine:
        attempt.outcomes = await _held_out(contest, attempt)
        for one in attempt.outcomes:
            screen.add(confidence=one.confidence, difference=one.loss_local - one.loss_hosted)
        return screen.result()
    pool = contest.parts["train"][:SCREEN_ANSWERS]
    for start in range(0, len(pool), BATCH):
        for one in await _outcomes(contest, attempt, pool[start : start + BATCH], "train"):
            attempt.outcomes.append(one)
            screen.add(confidence=one.confidence, difference=one.loss_local - one.loss_hosted)
        contest.progress(f"{contest.task.name}: screening {attempt.recipe.name}", start + BATCH, len(pool))
        if screen.futile or attempt.answerer.tokens >= SCREEN_TOKENS:
            break
    return screen.result()


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
        ]
    return found


async def _outcomes(contest: Contest, attempt: Attempt, examples: Sequence[Example], part: Part) -> list[Outcome]:
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
    shown = f"loses {screened.mean:.1%} more than the reference even at its best gate (at least {screened.lower:.1%}"
    return Trial(recipe=recipe, end="dropped", reason=f"{shown}, n {screened.n}).", n=screened.n)


async def _certify(contest: Contest, attempt: Attempt, delta: float) -> tuple[Trial, Evaluation]:
    settings, name = contest.services.settings, attempt.recipe.name
    calibration, test = contest.parts["calibration"], contest.parts["test"]
    least = calibration_needed(settings.margin, delta)
    if attempt.recipe.needs_engine and len(calibration) + len(test) < least * 0.3:
        reason = f"{len(calibration)} calibration exchanges can't prove a margin of {settings.margin:.1%}."
        trial = Trial(recipe=name, end="too few", reason=reason, n_needed=least)
        return trial, _evaluation(contest, attempt, trial, alpha=delta)
    if attempt.recipe.needs_engine:
        calibration, test = calibration[:CALIBRATION_ANSWERS], test[:TEST_ANSWERS]
    calibrated = await _outcomes(contest, attempt, calibration, "calibration")
    audited = await _outcomes(contest, attempt, test, "test")
    attempt.outcomes = [*calibrated, *audited]
    search = search_gate(calibrated, margin=settings.margin, delta=delta, min_coverage=settings.min_coverage)
    n = len(calibrated) + len(audited)
    gate = search.gate
    if gate is None:
        end: TrialEnd = "too few" if search.too_few else "no gate"
        needed = least if search.too_few else exchanges_for_gate(search, delta=delta)
        tried = min(search.tried, key=lambda t: t.loss_upper, default=None)
        bound = f"loses at most {tried.loss_upper:.1%} at its best gate" if tried else "nothing was measured"
        reason = f"{bound}, which does not prove {settings.margin:.1%} (n {len(calibrated)})."
        trial = Trial(recipe=name, end=end, reason=reason, n=n, n_needed=needed)
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
        answers=attempt.answerer.asked if attempt.recipe.needs_engine or screened is None else screened.n,
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


def evaluation_json(evaluation: Evaluation) -> JsonObject:
    """DESIGN §6's figures of one candidate, as `evaluate --json` prints them."""
    return plain(evaluation)
