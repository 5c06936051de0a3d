"""A candidate of answers made elsewhere, measured like any other."""

from __future__ import annotations

from dataclasses import replace

from insource.adapt.familiarity import fit_familiarity
from insource.core.evidence import Candidate
from insource.core.ports import Learnt
from insource.evals.comparison import Trial
from insource.evals.terms import whole_terms
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


async def attempt_elsewhere(contest: Contest, answers: AnswersFile) -> Attempt | Trial:
    """The standing candidate of these very answers, or a new one. Where each answer has a confidence its gates are set
    on the answers to the fit part; else all of the log is evidence, and it is all or none."""
    recipe, learnt = contest.services.recipes["answers"], Learnt(fitted=answers.fitted)
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
    prospect = prospect_of(contest, held_out, familiar)
    if prospect.terms is None:
        return no_terms(contest, recipe, origin, prospect=prospect)
    terms = with_artifacts(contest, prospect.terms, familiar)
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
