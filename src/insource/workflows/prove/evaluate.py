"""Evaluating a task: its candidates, the cheapest to serve first, against the reference.

Each is fitted, and its terms are set, on the fit part. What that makes promising is looked at on evidence, in the
ledger's order; going on with one is free, a new one spends of the task's error budget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from insource.core.errors import EmptyLog, InsourceError, UsageError
from insource.core.evidence import Criterion, Evaluation, Verdict
from insource.core.ports import Recipe
from insource.core.values import JsonObject, ModelFile, Task
from insource.evals.comparison import Decision, Trial, decide_verdict
from insource.evals.documents import plain
from insource.evals.placing import FIT_SHARE
from insource.evals.suspicious import Seen, warnings
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.answers_file import AnswersFile
from insource.workflows.prove.attempts import Attempt, Contest, make_attempt, resume, standing_candidate
from insource.workflows.prove.elsewhere import attempt_elsewhere
from insource.workflows.prove.engines import Engines
from insource.workflows.prove.measure import Measured, measure
from insource.workflows.prove.suspects import Noise, noise_of
from insource.workflows.prove.task_log import TaskLog, has_labels, read_task_log
from insource.workflows.services import Progress, Services, quiet

ENOUGH = 0.9
"""Coverage from which no further candidate is tried for the rest of a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What may be tried for a task."""

    recipes: Sequence[str] | None = None
    """Names; None: all that serve it."""
    models: Sequence[str] = ("",)
    """References, the cheapest to serve first; "" is the configured one."""
    answers: Sequence[AnswersFile] = ()
    """Made elsewhere, by models that are not here."""
    after: TaskEvaluation | None = None
    """What was found before: these models come on top of it, and only they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvaluation:
    task_id: str
    criterion: Criterion
    decision: Decision
    evaluations: tuple[Evaluation, ...]
    trials: tuple[Trial, ...]
    references: int
    clusters: int
    unusable: int
    warnings: tuple[str, ...]
    suspects: tuple[str, ...] = ()
    """Exchanges whose label looks wrong, the surest first."""
    untried: tuple[str, ...] = ()
    """Names of recipes that serve such a task but were left out."""
    unjudged: int = 0
    """The most answers of one candidate that a person could look at to change the verdict."""

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
        certified = [e for e in self.evaluations if e.certificate_id is not None]
        return max(certified, key=lambda e: e.coverage, default=None)


async def evaluate_task(
    services: Services,
    task: Task,
    *,
    candidates: Wanted | None = None,
    engines: Engines | None = None,
    budget: Budget | None = None,
    progress: Progress = quiet,
) -> TaskEvaluation:
    """Stores candidates, evaluations and certificates, and says what they come to. What it has when it is stopped is
    kept: the next one goes on there. A recipe that trains is measured where a candidate of it stands, never trained.
    `engines`: to share among tasks; without them its own are started and stopped."""
    wish, begun = candidates or Wanted(), begin(services, task, budget=budget, progress=progress)
    found = Found() if wish.after is None else Found.of(wish.after)
    if begun.contest is not None:
        applicable = sort_recipes(begun.contest, found if wish.after is None else Found(), wanted=wish.recipes)
        if wish.after is not None:
            applicable = [recipe for recipe in applicable if recipe.asks_model]
        async with Engines(services) as own:
            await _try(begun.contest, applicable, wish, engines=engines or own, found=found)
    return conclude(services, begun, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A task's evidence as it stands, before any candidate is looked at."""

    log: TaskLog
    noise: Noise
    contest: Contest | None
    """None: there is too little, or nobody can tell right from wrong."""
    warnings: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Found:
    """What became of the candidates."""

    trials: list[Trial] = field(default_factory=list[Trial])
    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    untried: list[str] = field(default_factory=list[str])
    """As a `TaskEvaluation` has them."""
    unjudged: int = 0

    @staticmethod
    def of(before: TaskEvaluation) -> Found:
        return Found(
            trials=list(before.trials),
            evaluations=list(before.evaluations),
            untried=list(before.untried),
            unjudged=before.unjudged,
        )

    def add(self, measured: Measured) -> None:
        self.trials.append(measured.trial)
        self.unjudged = max(self.unjudged, measured.unjudged)
        if measured.evaluation is not None:
            self.evaluations.append(measured.evaluation)


def begin(services: Services, task: Task, *, budget: Budget | None, progress: Progress) -> Begun:
    """Raises EmptyLog."""
    log = read_task_log(services, task)
    if not log.examples and not log.unusable:
        raise EmptyLog(
            f"The task {task.name!r} has no exchanges.", next_step="Run `insource import` or `insource tasks`."
        )
    noise = noise_of(log)
    said = (*_warnings(log), *([noise.sentence] if noise.sentence else []))
    contest = None
    if log.scoring is not None and len(log.examples) >= services.settings.min_exchanges:
        contest = Contest(
            services=services,
            log=log,
            scoring=log.scoring,
            budget=budget or Budget(now=services.clock.monotonic),
            progress=progress,
            warnings=said,
            doubtful=frozenset(s.exchange_id for s in noise.suspects) if noise.sentence else frozenset(),
        )
    return Begun(log=log, noise=noise, contest=contest, warnings=said)


def conclude(services: Services, begun: Begun, found: Found) -> TaskEvaluation:
    """The task's verdict."""
    log, noise = begun.log, begun.noise
    decision = decide_verdict(
        found.trials,
        criterion=log.criterion,
        untried=found.untried,
        references=len(log.examples),
        least=services.settings.min_exchanges,
    )
    return TaskEvaluation(
        task_id=log.task.id,
        criterion=log.criterion,
        decision=_with_review(_with_noise(decision, noise, log.task), found, log),
        evaluations=tuple(found.evaluations),
        trials=tuple(found.trials),
        references=len(log.examples),
        clusters=len({place.cluster for place in log.places}),
        unusable=sum(log.unusable.values()),
        warnings=begun.warnings,
        suspects=tuple(suspect.exchange_id for suspect in noise.suspects) if noise.sentence else (),
        untried=tuple(found.untried),
        unjudged=found.unjudged,
    )


def _with_noise(decision: Decision, noise: Noise, task: Task) -> Decision:
    """Labels that look wrong come before whatever else speaks against a move."""
    if noise.sentence is None or decision.verdict in (Verdict.MOVE, Verdict.MOVE_PART):
        return decision
    first = f"{noise.sentence} Look at them first: `insource review {task.id}`."
    return replace(decision, reason=f"{first} {decision.reason}")


def _with_review(decision: Decision, found: Found, log: TaskLog) -> Decision:
    """Points to the review where a person's word could change the verdict."""
    if not found.unjudged or decision.verdict in (Verdict.MOVE, Verdict.MOVE_PART):
        return decision
    command = f"`insource review {log.task.id}`"
    if decision.verdict is Verdict.SAY_WHAT_COUNTS:
        return replace(decision, reason=f"{decision.reason} Decide them: {command}.")
    said = f"{found.unjudged} answers count as wrong only because they differ from the hosted ones; look at them:"
    return replace(decision, reason=f"{decision.reason} {said} {command}.")


async def _try(contest: Contest, recipes: Sequence[Recipe], wish: Wanted, *, engines: Engines, found: Found) -> None:
    """What needs no model first, then model by model in their order, which is the cheapest to serve first."""
    for recipe, make in _attempts(contest, recipes, wish, engines=engines):
        if best_coverage(found.trials) >= ENOUGH or any(trial.end == "waiting" for trial in found.trials):
            break
        attempt = await make()
        if attempt is None:
            found.untried.append(recipe)
        elif isinstance(attempt, Trial):
            found.trials.append(attempt)
        elif (skipped := _skipped(attempt, best_coverage(found.trials))) is not None:
            found.trials.append(skipped)
        else:
            found.add(await measure(contest, attempt))


def _skipped(attempt: Attempt, certified: float) -> Trial | None:
    """A candidate that can't be expected to cover more than what is certified is not worth budget and time."""
    promise = attempt.candidate.terms.promise
    if promise > certified:
        return None
    reason = f"promises to cover {promise:.0%} at most, and {certified:.0%} is certified already."
    return Trial(
        recipe=attempt.recipe.name,
        model=attempt.candidate.model_ref,
        end="dropped",
        reason=reason,
        candidate_id=attempt.candidate.id,
    )


def best_coverage(trials: Sequence[Trial]) -> float:
    return max((trial.coverage for trial in trials if trial.end == "certified"), default=0.0)


def _attempts(
    contest: Contest, recipes: Sequence[Recipe], wish: Wanted, *, engines: Engines
) -> Iterator[tuple[str, Callable[[], Awaitable[Attempt | Trial | None]]]]:
    for recipe in recipes:
        if not recipe.asks_model:
            yield recipe.name, partial(make_attempt, contest, recipe, None)
    for ref in wish.models:
        for recipe in recipes:
            if recipe.asks_model:
                yield recipe.name, partial(_on_model, contest, recipe, ref, engines=engines)
    for answers in wish.answers:
        yield "answers", partial(attempt_elsewhere, contest, answers)


async def _on_model(contest: Contest, recipe: Recipe, ref: str, *, engines: Engines) -> Attempt | Trial | None:
    try:
        return await attempt_of(contest, recipe, engines, ref=ref)
    except InsourceError as error:
        return Trial(recipe=recipe.name, model=ref or None, end="unmeasured", reason=f"no answer: {error}")


async def attempt_of(contest: Contest, recipe: Recipe, engines: Engines, *, ref: str = "") -> Attempt | Trial | None:
    """None: it would have to be trained first. Raises UnknownModel, EngineFailed."""
    if not recipe.asks_model:
        return await make_attempt(contest, recipe, None)
    if recipe.trains:
        model = engines.model(ref)
        standing = standing_candidate(contest, recipe, model=model, settings=engines.settings)
        if standing is None or standing.adapter_sha256 is None or not isinstance(model, ModelFile):
            return None
        return resume(contest, recipe, standing, running=await engines.adapted(standing.adapter_sha256, file=model))
    running = await engines.running(ref)
    if recipe.learns and not running.engine.is_here:
        reason = f"It sends examples of the log along, and {running.model.ref} is not on this machine."
        return Trial(recipe=recipe.name, model=running.model.ref, end="refused", reason=reason)
    return await make_attempt(contest, recipe, running)


def sort_recipes(contest: Contest, found: Found, *, wanted: Sequence[str] | None) -> list[Recipe]:
    """Those to try by effort. Adds the trials of those that refuse, and the names of those that were left out."""
    services, output = contest.services, contest.log.task.output
    for name in wanted or ():
        if name not in services.recipes:
            known = ", ".join(sorted(services.recipes))
            raise UsageError(f"There is no recipe {name!r} (known: {known}).", next_step="Name one of them.")
    fit = sum(example.teaches for example in contest.log.of("fit"))
    applicable: list[Recipe] = []
    for recipe in sorted(services.recipes.values(), key=lambda r: (r.effort, r.name)):
        refusal = recipe.refusal(output, fit)
        if wanted is not None and recipe.name not in wanted:
            found.untried.extend([] if refusal else [recipe.name])
        elif refusal is None:
            applicable.append(recipe)
        else:
            needed = refusal.examples_needed
            n_needed = None if needed is None else round(needed / FIT_SHARE)
            found.trials.append(Trial(recipe=recipe.name, end="refused", reason=refusal.reason, n_needed=n_needed))
    return applicable


def _warnings(log: TaskLog) -> tuple[str, ...]:
    if log.scoring is None:
        return ()
    seen = [
        Seen(created=e.created, category=log.canonical(e), hosted_loss=log.scoring.loss_hosted(e))
        for e in log.examples.values()
    ]
    return warnings(seen, has_labels=has_labels(log))


def budget_of(services: Services, minutes: float | None) -> Budget:
    """None: as long as it takes."""
    now = services.clock.monotonic
    return Budget(now=now, until=None if minutes is None else now() + 60 * minutes)


def task_evaluation_json(found: TaskEvaluation) -> JsonObject:
    """DESIGN §8's `evaluate --json`."""
    evaluations = {evaluation.candidate_id: evaluation for evaluation in found.evaluations}
    return {
        "task": found.task_id,
        "criterion": criterion_json(found.criterion),
        "verdict": found.verdict.value,
        "reason": found.reason,
        "n_needed": found.n_needed,
        "candidates": [_candidate_json(trial, evaluations.get(trial.candidate_id or "")) for trial in found.trials],
        "exchanges": found.references,
        "clusters": found.clusters,
        "warnings": list(found.warnings),
        "suspects": list(found.suspects),
    }


def criterion_json(criterion: Criterion) -> JsonObject:
    return {
        "kind": criterion.scorer,
        "chosen_by": criterion.chosen_by,
        "confidence": criterion.confidence,
        "reason": criterion.reason,
    }


def _candidate_json(trial: Trial, evaluation: Evaluation | None) -> JsonObject:
    said = {
        "id": trial.candidate_id,
        "model": trial.model,
        "recipe": trial.recipe,
        "end": trial.end,
        "reason": trial.reason,
        "n_needed": trial.n_needed,
    }
    if evaluation is None:
        return said
    measured = plain(evaluation)
    measured["certificate"] = measured.pop("certificate_id")
    return {**measured, **said}
