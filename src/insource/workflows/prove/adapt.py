"""`insource adapt`: the ladder of recipes, by what a served request costs and then by what making it costs.

Every rung keeps its figures, and one that buys nothing beside a cheaper one is refused. What was made, answered and
measured is kept as it comes: a ladder that is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from insource.core.errors import InsourceError, UsageError
from insource.core.evidence import Evaluation, Event, Example, Outcome
from insource.core.ports import Recipe
from insource.core.stores import ExchangeFilter
from insource.core.values import JsonObject, Task
from insource.evals.comparison import Trial
from insource.evals.documents import plain
from insource.evals.ladder import Answers, Step, area_of, compare
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.attempts import Attempt, Contest, make_attempt
from insource.workflows.prove.evaluate import (
    ENOUGH,
    Engines,
    Found,
    TaskEvaluation,
    begin,
    best_coverage,
    conclude,
    sort_recipes,
    task_evaluation_json,
)
from insource.workflows.prove.measure import Measured, measure
from insource.workflows.prove.training import trained_attempt
from insource.workflows.services import Progress, Services, candidate_files, quiet

_TIMED = 50
"""Requests by which the milliseconds of an answer without a model are measured."""
_TERMS_FACT = "training terms noticed: "

State = Literal["taken", "refused", "not tried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One recipe on the ladder, with what it cost and what it bought."""

    recipe: str
    """With " on MODEL" where that is not the configured one."""
    state: State
    reason: str
    """A sentence: what it bought beside the cheaper ones, or why it is refused or was not tried."""
    trial: Trial | None = None
    evaluation: Evaluation | None = None
    made_seconds: float = 0.0
    """Fitting it and setting its gates, now; what was kept from before takes none."""
    milliseconds: float | None = None
    """Of an answer; None: nothing was asked now."""
    size_bytes: int = 0
    """Of its artifact and adapter, without the model."""
    area: float | None = None
    """Under its curve of loss over coverage; less is better."""
    outcomes: Sequence[Outcome] = ()
    step: Step | None = None
    """Beside the best cheaper one; None: there is none, or too little was answered by both."""

    @property
    def coverage(self) -> float:
        return self.trial.coverage if self.trial is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    evaluation: TaskEvaluation
    rungs: tuple[Rung, ...]
    stopped: str
    """Why it went no further, as a sentence."""

    @property
    def may_go_on(self) -> bool:
        """There is evidence, and what is certified leaves enough for a dearer rung to buy."""
        trials = [rung.trial for rung in self.rungs if rung.trial is not None]
        return bool(self.rungs) and best_coverage(trials) < ENOUGH

    @property
    def best(self) -> Rung | None:
        """The last rung that was taken and may answer something."""
        return next((r for r in reversed(self.rungs) if r.state == "taken" and r.coverage > 0), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What of the ladder a user wants."""

    recipes: Sequence[str] | None = None
    """Only these; None: all that serve such a task."""
    most_examples: int | None = None
    """That a training may use; None: what the recipe thinks useful."""
    terms_noticed: bool = False
    """The user has read the notice on the terms of the providers."""


@dataclass(slots=True, kw_only=True)
class _Climb:
    contest: Contest
    engines: Engines
    wish: Wish
    found: Found
    rungs: list[Rung] = field(default_factory=list[Rung])
    base: Answers | None = None
    """What the last rung that was taken said on evidence."""
    ref: str = ""
    """Of the model that is asked; "": the configured one."""

    def named(self, recipe: Recipe) -> str:
        return f"{recipe.name} on {self.ref}" if self.ref else recipe.name


async def adapt_task(
    services: Services,
    task: Task,
    *,
    wish: Wish | None = None,
    budget: Budget | None = None,
    progress: Progress = quiet,
) -> Ladder:
    """Raises EmptyLog, and UsageError where a recipe that was asked for by name lacks its extra or its notice."""
    wish = wish or Wish()
    begun = begin(services, task, budget=budget, progress=progress)
    found, stopped = Found(), "Nothing was tried."
    rungs: list[Rung] = []
    if begun.contest is not None:
        applicable = sort_recipes(begun.contest, found, wanted=wish.recipes)
        rungs = [Rung(recipe=t.recipe, state="not tried", reason=t.reason, trial=t) for t in found.trials]
        async with Engines(services) as engines:
            climb = _Climb(contest=begun.contest, engines=engines, wish=wish, found=found, rungs=rungs)
            stopped = await _climb(climb, applicable)
    evaluation = conclude(services, begun, found)
    return Ladder(evaluation=evaluation, rungs=tuple(rungs), stopped=stopped)


async def adapt_larger(
    services: Services,
    task: Task,
    ladder: Ladder,
    *,
    ref: str,
    budget: Budget | None = None,
    progress: Progress = quiet,
) -> Ladder:
    """The ladder with the rungs of a further model on top, by the same rule. None of them is trained."""
    begun = begin(services, task, budget=budget, progress=progress)
    if begun.contest is None:
        return ladder
    found = Found.of(ladder.evaluation)
    recipes = [r for r in sort_recipes(begun.contest, Found(), wanted=None) if r.asks_model and not r.trains]
    taken = next((rung for rung in reversed(ladder.rungs) if rung.state == "taken"), None)
    async with Engines(services) as engines:
        climb = _Climb(
            contest=begun.contest,
            engines=engines,
            wish=Wish(),
            found=found,
            rungs=list(ladder.rungs),
            base=None if taken is None else _said_by(taken),
            ref=ref,
        )
        stopped = await _climb(climb, recipes)
    return Ladder(evaluation=conclude(services, begun, found), rungs=tuple(climb.rungs), stopped=stopped)


def _said_by(rung: Rung) -> Answers:
    return Answers(outcomes=rung.outcomes, gate=rung.evaluation.gate if rung.evaluation is not None else None)


async def _climb(climb: _Climb, recipes: Sequence[Recipe]) -> str:
    for recipe in recipes:
        best = best_coverage([r.trial for r in climb.rungs if r.trial is not None and r.state == "taken"])
        if best >= ENOUGH:
            last = next(rung for rung in reversed(climb.rungs) if rung.state == "taken")
            return (
                f"Stopped at {last.recipe}: it may answer {best:.0%}, so whatever costs more could buy at most "
                f"{1 - best:.0%}."
            )
        if climb.contest.budget.spent:
            return f"Stopped before {climb.named(recipe)}: the time was up. The next run continues from there."
        rung = await _rung(climb, recipe)
        climb.rungs.append(rung)
        _keep(climb.contest, rung)
    if not recipes:
        return "No recipe that was wanted serves such a task with so many examples."
    if climb.ref:
        return f"Every recipe that could ask {climb.ref} was tried."
    named = climb.wish.recipes is not None
    return f"Every recipe that {'was asked for' if named else 'serves such a task'} was tried."


async def _rung(climb: _Climb, recipe: Recipe) -> Rung:
    contest, clock = climb.contest, climb.contest.services.clock
    began = clock.monotonic()
    try:
        made = await _made(climb, recipe)
    except UsageError as error:
        if climb.wish.recipes is not None:
            raise
        climb.found.untried.append(recipe.name)
        return Rung(recipe=climb.named(recipe), state="not tried", reason=f"{error.message} {error.next_step}")
    seconds = clock.monotonic() - began
    if isinstance(made, Trial):
        climb.found.trials.append(made)
        return Rung(recipe=climb.named(recipe), state="refused", reason=made.reason, trial=made, made_seconds=seconds)
    measured = await measure(contest, made)
    climb.found.add(measured)
    return _judged(climb, made, measured, made_seconds=seconds)


async def _made(climb: _Climb, recipe: Recipe) -> Attempt | Trial:
    if recipe.trains:
        _require_notice(climb)
        return await trained_attempt(climb.contest, recipe, climb.engines, most_examples=climb.wish.most_examples)
    running = await climb.engines.running(climb.ref) if recipe.asks_model else None
    return await make_attempt(climb.contest, recipe, running)


def _judged(climb: _Climb, attempt: Attempt, measured: Measured, *, made_seconds: float) -> Rung:
    settings = climb.contest.services.settings
    evaluation = measured.evaluation
    own = Answers(outcomes=measured.outcomes, gate=evaluation.gate if evaluation is not None else None)
    step = None
    if climb.base is not None and measured.outcomes:
        step = compare(climb.base, own, confidence=settings.confidence, seed=settings.seed)
    state, reason = _verdict(climb, measured.trial, step)
    if state == "taken":
        climb.base = own
    return Rung(
        recipe=climb.named(attempt.recipe),
        state=state,
        reason=reason,
        trial=measured.trial,
        evaluation=evaluation,
        made_seconds=made_seconds,
        milliseconds=_milliseconds(climb.contest, attempt, evaluation),
        size_bytes=_size_bytes(climb.contest.services, attempt),
        area=area_of(measured.outcomes),
        outcomes=measured.outcomes,
        step=step,
    )


def _verdict(climb: _Climb, trial: Trial, step: Step | None) -> tuple[State, str]:
    """Whether a rung is taken, and what it bought. A rung that spends more must show that it gives more."""
    taken = next((rung for rung in reversed(climb.rungs) if rung.state == "taken"), None)
    if trial.end not in ("certified", "not shown"):
        return "refused", trial.reason
    if taken is None:
        return "taken", f"The first that was measured. {_sentence(trial.reason)}"
    if step is None:
        few = f"Too few inputs were answered by it and by {taken.recipe} to compare them."
        return "refused", f"{few} {_sentence(trial.reason)}"
    told = f"{_beside(step, taken.recipe)} {_sentence(trial.reason)}"
    if step.gains:
        return "taken", f"It buys something: {told}"
    return "refused", f"It buys nothing beyond noise: {told}"


def _beside(step: Step, cheaper: str) -> str:
    gain, span, area = step.coverage, step.coverage_interval, step.area_interval
    amount = f"{abs(100 * gain):.0f} points {'less' if gain < 0 else 'more'}"
    return (
        f"of {step.n:,} inputs it may answer {amount} than {cheaper} "
        f"({100 * span.low:+.0f} to {100 * span.high:+.0f}), and its area under the curve of loss over coverage is "
        f"{abs(step.area):.3f} {'larger, so worse' if step.area > 0 else 'smaller, so better'} "
        f"({area.low:+.3f} to {area.high:+.3f})."
    )


def _sentence(reason: str) -> str:
    """A trial's reason goes on from the name of its recipe."""
    return f"It {reason}" if reason.startswith("loses ") else reason[:1].upper() + reason[1:]


def _milliseconds(contest: Contest, attempt: Attempt, evaluation: Evaluation | None) -> float | None:
    if attempt.recipe.asks_model:
        return 1000 * evaluation.seconds / evaluation.answers if evaluation and evaluation.answers else None
    requests = [example.request for example in list(contest.log.examples.values())[:_TIMED]]
    fitted, clock = attempt.answerer.local.fitted, contest.services.clock
    if fitted is None or not requests:
        return None
    began, answered = clock.monotonic(), 0
    for request in requests:
        try:
            fitted.prepare(request)
        except InsourceError:
            continue
        answered += 1
    return 1000 * (clock.monotonic() - began) / answered if answered else None


def _size_bytes(services: Services, attempt: Attempt) -> int:
    candidate = attempt.candidate
    size_bytes = len(services.registry.artifact(candidate.artifact_sha256))
    if candidate.adapter_sha256 is not None:
        size_bytes += candidate_files(services).find(candidate.adapter_sha256).stat().st_size
    return size_bytes


def _keep(contest: Contest, rung: Rung) -> None:
    contest.services.registry.put_event(
        Event(
            created=contest.services.clock.now(),
            task_id=contest.log.task.id,
            kind="adapted",
            text=f"{rung.recipe}: {rung.state}. {rung.reason}",
            figures=rung_json(rung),
        )
    )


# --------------------------------------------------------------------------------------------------- the notice


def _require_notice(climb: _Climb) -> None:
    """Raises UsageError until the user said once, for each source of answers, to have read its notice."""
    registry = climb.contest.services.registry
    named = _providers(climb.contest.services, [e for e in climb.contest.log.of("fit") if e.reference_kind == "hosted"])
    new = [name for name in named if registry.fact(_TERMS_FACT + name) is None]
    if new and not climb.wish.terms_noticed:
        raise UsageError(
            f"The answers that would be trained on come from {', '.join(new)}, whose terms may restrict training "
            "models on its outputs.",
            next_step="Read them, then run the command again with --terms-read; it asks once.",
        )
    for name in new:
        registry.put_fact(_TERMS_FACT + name, climb.contest.services.clock.now().isoformat())


def _providers(services: Services, examples: Sequence[Example]) -> list[str]:
    """Of hosted answers: the models that gave them."""
    ids = frozenset(example.exchange_id for example in examples)
    found: set[str] = set()
    for exchange in services.exchanges.read(ExchangeFilter(ids=ids)) if ids else ():
        model = (exchange.response or {}).get("model") or exchange.request.get("model")
        found.add(f"the provider of {model}" if model else "an unnamed provider")
    return sorted(found)


# --------------------------------------------------------------------------------------------------------- JSON


def rung_json(rung: Rung) -> JsonObject:
    return {
        "recipe": rung.recipe,
        "state": rung.state,
        "reason": rung.reason,
        "candidate": rung.trial.candidate_id if rung.trial else None,
        "coverage": rung.coverage,
        "made_seconds": rung.made_seconds,
        "milliseconds": rung.milliseconds,
        "size_bytes": rung.size_bytes,
        "area": rung.area,
        "step": plain(rung.step) if rung.step else None,
    }


def ladder_json(ladder: Ladder) -> JsonObject:
    """DESIGN §8's `adapt --json`: as `evaluate --json`, with the rungs."""
    best = ladder.best
    return {
        **task_evaluation_json(ladder.evaluation),
        "rungs": [rung_json(rung) for rung in ladder.rungs],
        "stopped": ladder.stopped,
        "best": best.trial.candidate_id if best and best.trial else None,
    }
