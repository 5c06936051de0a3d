"""Evaluating a task: its recipes, the least effort first, against the reference; certificates for what is proven.

Each recipe is fitted and screened on the train part. What survives is calibrated (its gate is the certificate's bound,
at alpha divided by the number of survivors) and audited on the test part; the first that gets a gate ends the search.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from insource.core.errors import EmptyLog, UsageError
from insource.core.ports import Engine, ExchangeFilter, Recipe
from insource.core.values import (
    Evaluation,
    Example,
    JsonObject,
    ModelFile,
    Task,
    Verdict,
)
from insource.evals.certificate import plain
from insource.evals.comparison import (
    Decision,
    Trial,
    decide_verdict,
    references_for_train,
)
from insource.evals.examples import hosted_loss, self_agreement, to_example
from insource.evals.scorers import canonical_answer, choose_scorer
from insource.evals.splits import compared_since, part_of, split, split_warnings
from insource.workflows.prove.try_recipes import Contest, try_recipes
from insource.workflows.services import Progress, Services, engine_settings, quiet


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
    applicable, refused, untried = _sort_recipes(services, task, examples, wanted=recipes)
    scorer = services.scorers[choose_scorer(task.output)]
    losses = [hosted_loss(e, scorer=scorer, output=task.output) for e in examples]
    categories = [canonical_answer(e.reference, task.output) for e in examples] if task.output.labels else []
    warnings = split_warnings(examples, categories=categories, hosted_losses=losses)
    trials = list(refused)
    evaluations: list[Evaluation] = []
    if len(examples) >= services.settings.min_exchanges:
        wants_engine = any(recipe.asks_model for recipe in applicable)
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
                since=compared_since(examples, losses),
                warnings=warnings,
                progress=progress,
            )
            ran, evaluations = await try_recipes(contest, applicable)
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
    services: Services, task: Task, examples: Sequence[Example], *, wanted: Sequence[str] | None
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
        refusal = recipe.refusal(task.output, train)
        if wanted is not None and recipe.name not in wanted:
            untried.extend([] if refusal else [recipe.name])
        elif refusal is None:
            applicable.append(recipe)
        else:
            needed = refusal.examples_needed
            n_needed = None if needed is None else references_for_train(needed)
            refused.append(Trial(recipe=recipe.name, end="refused", reason=refusal.reason, n_needed=n_needed))
    return applicable, refused, untried


@asynccontextmanager
async def _engine(
    services: Services, engine: Engine | None, *, wanted: bool
) -> AsyncGenerator[tuple[Engine | None, ModelFile | None]]:
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


def evaluation_json(evaluation: Evaluation) -> JsonObject:
    """DESIGN §6's figures of one candidate, as `evaluate --json` prints them."""
    return plain(evaluation)
