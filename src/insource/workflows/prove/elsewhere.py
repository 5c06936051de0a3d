"""A candidate of answers made elsewhere: measured like any other, and moved only behind a model that says the same."""

from __future__ import annotations

from dataclasses import replace

from insource.adapt.answers import MISSING
from insource.adapt.familiarity import fit_familiarity
from insource.core.errors import UsageError
from insource.core.evidence import Candidate
from insource.core.ports import Ask, Learnt
from insource.core.values import LocalAnswer, Task
from insource.evals.comparison import Trial
from insource.evals.terms import whole_terms
from insource.wire.chat import answer_or_calls
from insource.workflows.asking import Local, complete
from insource.workflows.prove.answers import Asked
from insource.workflows.prove.answers_file import AnswersFile
from insource.workflows.prove.attempts import (
    Attempt,
    Contest,
    Origin,
    answerer_of,
    keep,
    no_terms,
    prospect_of,
    resume,
    with_artifacts,
)
from insource.workflows.prove.engines import Engines
from insource.workflows.prove.task_log import read_task_log, scoring_by
from insource.workflows.services import Services


async def attempt_elsewhere(contest: Contest, answers: AnswersFile) -> Attempt | Trial:
    """The standing candidate of these very answers, or a new one. Where each answer has a confidence its gates are set
    on the answers to the fit part; else all of the log is evidence, and it is all or none."""
    recipe, learnt = contest.services.recipes["answers"], Learnt(fitted=answers.fitted)
    if all(answers.fitted.prepare(e.request) == MISSING for e in contest.log.examples.values()):
        # It was made for other tasks. With one answer to this one, what it left out counts as lost.
        reason = "The file answers none of its requests."
        return Trial(recipe=recipe.name, model=answers.ref, end="refused", reason=reason)
    origin = Origin(ref=answers.ref, stated=answers.stated)
    standing = _standing(contest, contest.services.registry.put_artifact(answers.fitted.artifact()), origin)
    if standing is not None:
        return resume(contest, recipe, standing, running=None)
    answerer = answerer_of(contest, recipe, learnt, running=None)
    if not answers.has_confidence:
        size = sum(place.part in ("fit", "held out") for place in contest.log.places)
        candidate = keep(contest, recipe, origin, learnt=learnt, terms=replace(whole_terms(), fitted=size))
        return Attempt(recipe=recipe, candidate=candidate, answerer=answerer, familiarity=None)
    fit = [example for example in contest.log.of("fit") if example.teaches]
    familiar = fit_familiarity(fit, contest.log.labels)
    held_out = {e.exchange_id: Asked(answers.fitted.prepare(e.request)) for e in fit if answers.counts(e.created)}
    prospect = prospect_of(contest, held_out, familiar, learns=False)
    if prospect.terms is None:
        return no_terms(contest, recipe, origin, prospect=prospect)
    terms = with_artifacts(contest, prospect.terms, None)
    candidate = keep(contest, recipe, origin, learnt=learnt, terms=terms)
    return Attempt(
        recipe=recipe, candidate=candidate, answerer=answerer, familiarity=familiar.familiarity, held_out=held_out
    )


def _standing(contest: Contest, artifact_sha256: str, origin: Origin) -> Candidate | None:
    same = [
        candidate
        for candidate in contest.services.registry.candidates(contest.log.task.id)
        if candidate.artifact_sha256 == artifact_sha256
        and candidate.stated == origin.stated
        and candidate.criterion.scorer == contest.log.criterion.scorer
    ]
    return same[-1] if same else None


AGREEING = 20
"""Answers that a model is asked for again before it stands in for a file of them."""


async def check_stand_in(services: Services, task: Task, candidate: Candidate, *, ref: str) -> None:
    """Asks the model of this reference for the first of the file's answers again. Raises UsageError where one differs,
    EngineFailed where the model does not answer."""
    log = read_task_log(services, task)
    scoring = scoring_by(services, candidate.criterion)
    fitted = services.recipes[candidate.recipe].load(services.registry.artifact(candidate.artifact_sha256))
    chosen = [
        (example, answer)
        for place in log.places
        if (answer := fitted.prepare((example := log.examples[place.exchange_id]).request)) != MISSING
        and isinstance(answer, LocalAnswer)
    ][:AGREEING]
    if scoring is None or not chosen:
        raise UsageError(f"{candidate.id} has no answers to compare with.", next_step="Evaluate its file again.")
    async with Engines(services) as engines:
        running = await engines.running(ref)
        local = Local(model=running.model.ref, engine=running.engine)
        answers = [await complete(local, Ask(body={**example.request, "model": local.model})) for example, _ in chosen]
    differ = [
        (example.exchange_id, said)
        for (example, answer), completion in zip(chosen, answers, strict=True)
        if scoring.canonical(said := answer_or_calls(completion) or "") != scoring.canonical(answer.text)
    ]
    if differ:
        raise UsageError(
            f"{ref} answers {len(differ)} of {len(chosen)} requests otherwise than the file does; the first is "
            f"{differ[0][0]!r}: {differ[0][1][:80]!r}.",
            next_step="Run the same model with the same settings, or evaluate this one: `insource evaluate "
            f"{task.id} --model {ref}`.",
        )
