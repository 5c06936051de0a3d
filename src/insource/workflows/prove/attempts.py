"""Making candidates of a task: fitted, their terms set on the fit part alone, kept until the fit part has doubled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from insource.adapt.familiarity import FittedFamiliarity, fit_familiarity, load_familiarity
from insource.core.errors import BadInput, InsourceError
from insource.core.evidence import Candidate, Example, Terms, model_key
from insource.core.hashing import content_address
from insource.core.ports import Engine, Familiarity, Learnt, Recipe, Trained
from insource.core.values import EngineSettings, JsonObject, LocalAnswer, Model, OutputKind
from insource.evals.certainty import Certainty, Held, fit_certainty, load_certainty
from insource.evals.comparison import Trial
from insource.evals.documents import plain
from insource.evals.examples import Scoring
from insource.evals.repeats import repeats_artifact
from insource.evals.screening import BATCH, SCREEN_TOKENS, Screen, screen_answers
from insource.evals.terms import FitPart, Prospect, set_terms, whole_terms
from insource.workflows.asking import Local
from insource.workflows.prove.answers import Answerer, Asked, Budget
from insource.workflows.prove.task_log import TaskLog
from insource.workflows.services import Progress, Services

REFIT_AT = 2.0
"""A candidate is made anew when the fit part has so many times the exchanges that it was fitted on."""
_HELD_ANSWERS = 300
"""Of a trained model to the fit part: with 200 LoRA is certified on 68 % of slot messages at 5 points."""
_REPEATS_MATTER = 0.02
"""Share of repeats in the fit part from which they are worth an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A model that is ready to be asked."""

    engine: Engine
    model: Model
    settings: EngineSettings
    adapter_sha256: str | None = None

    @property
    def origin(self) -> Origin:
        return Origin(
            ref=self.model.ref, sha256=self.model.sha256, settings=self.settings, adapter_sha256=self.adapter_sha256
        )

    @property
    def key(self) -> str | None:
        return model_key(self.model.sha256, self.adapter_sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a candidate's answers come from; nothing: the recipe answers by itself."""

    ref: str | None = None
    sha256: str | None = None
    settings: EngineSettings | None = None
    adapter_sha256: str | None = None
    stated: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One task's evaluation under way: everything that its candidates share."""

    services: Services
    log: TaskLog
    scoring: Scoring
    budget: Budget
    progress: Progress
    warnings: tuple[str, ...] = ()
    doubtful: frozenset[str] = frozenset()
    """Exchanges of the fit part whose labels look wrong: no gate is set by them."""
    thorough: bool = False
    """All evidence is looked at, also where less would do for a certificate: for a bound as narrow as it gets."""

    @property
    def alpha(self) -> float:
        """The task's error budget."""
        return round(1 - self.services.settings.confidence, 12)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One candidate in the contest."""

    recipe: Recipe
    candidate: Candidate
    answerer: Answerer
    familiarity: Familiarity | None
    held_out: Mapping[str, Asked] = field(default_factory=dict[str, Asked])
    """Its answers to the fit part by fits that did not see them, by exchange id."""


def alpha_of(rank: int, alpha: float) -> float:
    """What the rank-th candidate may spend: the shares sum to the task's budget, however many come."""
    return alpha / (rank * (rank + 1))


async def make_attempt(contest: Contest, recipe: Recipe, running: Running | None) -> Attempt | Trial:
    """The standing candidate of this recipe and model, or a new one; a Trial where the fit part promises nothing."""
    standing = standing_candidate(
        contest, recipe, model=running.model if running else None, settings=running.settings if running else None
    )
    if standing is not None:
        return resume(contest, recipe, standing, running=running)
    contest.progress(f"Fitting {recipe.name}: {contest.log.task.name}", 0, None)
    try:
        learnt = recipe.fit(contest.log.task.output, taught(contest), seed=contest.services.settings.seed)
    except BadInput as error:
        return Trial(recipe=recipe.name, end="refused", reason=error.message)
    return await new_attempt(contest, recipe, learnt, running=running)


def taught(contest: Contest) -> list[Example]:
    """What of the fit part may be learnt from."""
    return [example for example in contest.log.of("fit") if example.teaches]


async def new_attempt(contest: Contest, recipe: Recipe, learnt: Learnt, *, running: Running | None) -> Attempt | Trial:
    """Its terms set on the fit part; a Trial where that promises nothing."""
    fit, origin = taught(contest), running.origin if running else Origin()
    try:
        familiar = fit_familiarity(fit, contest.log.labels)
    except BadInput as error:
        return Trial(recipe=recipe.name, model=origin.ref, end="refused", reason=error.message)
    answerer = answerer_of(contest, recipe, learnt, running=running)
    held_out = await _held_out(contest, recipe, learnt, fit=fit, answerer=answerer)
    if held_out is None:
        return Trial(recipe=recipe.name, model=origin.ref, end="unmeasured", reason=_unmeasured(answerer))
    if isinstance(held_out, Trial):
        return replace(held_out, model=origin.ref)
    certainty = certainty_of(contest, held_out, fit)
    held_out = {id: _sure(asked, certainty) for id, asked in held_out.items()}
    prospect = prospect_of(contest, held_out, familiar, learns=recipe.learns)
    if prospect.terms is None:
        return no_terms(contest, recipe, origin, prospect=prospect)
    terms = with_artifacts(contest, prospect.terms, certainty)
    candidate = keep(contest, recipe, origin, learnt=learnt, terms=terms)
    return Attempt(
        recipe=recipe,
        candidate=candidate,
        answerer=answerer_of(contest, recipe, learnt, running=running, certainty=certainty),
        familiarity=familiar.familiarity,
        held_out=held_out,
    )


def standing_candidate(
    contest: Contest, recipe: Recipe, *, model: Model | None, settings: EngineSettings | None
) -> Candidate | None:
    """The latest that is still good: same recipe, model, settings and criterion, and the fit part has not doubled."""
    fit = sum(place.part in ("fit", "held out") for place in contest.log.places)
    same = [
        candidate
        for candidate in contest.services.registry.candidates(contest.log.task.id)
        if candidate.recipe == recipe.name
        and candidate.model_sha256 == (model.sha256 if model else None)
        and candidate.settings == settings
        and candidate.criterion.scorer == contest.log.criterion.scorer
        and candidate.criterion.arguments.keys() == contest.log.criterion.arguments.keys()
        and fit < REFIT_AT * candidate.terms.fitted
    ]
    return max(same, key=lambda candidate: (candidate.terms.fitted, candidate.id), default=None)


def standing_attempt(contest: Contest, candidate_id: str) -> Attempt:
    """One that was made before, to look at what it said; its engine is not there."""
    candidates = contest.services.registry.candidates(contest.log.task.id)
    candidate = next(each for each in candidates if each.id == candidate_id)
    recipe = contest.services.recipes.get(candidate.recipe)
    if recipe is None:
        raise InsourceError(
            f"The recipe {candidate.recipe!r} is not installed.", next_step="Install the package that provides it."
        )
    attempt = resume(contest, recipe, candidate, running=None)
    answerer = attempt.answerer
    answerer.local = replace(answerer.local, model=candidate.model_ref or recipe.name)
    answerer.model, answerer.settings = candidate.model_key, candidate.settings
    return attempt


def resume(contest: Contest, recipe: Recipe, candidate: Candidate, *, running: Running | None) -> Attempt:
    registry, terms = contest.services.registry, candidate.terms
    fitted = recipe.load(registry.artifact(candidate.artifact_sha256))
    certainty = None if terms.certainty_sha256 is None else load_certainty(registry.artifact(terms.certainty_sha256))
    answerer = answerer_of(contest, recipe, Learnt(fitted=fitted), running=running, certainty=certainty)
    sha256 = terms.familiarity_sha256
    familiarity = None if sha256 is None else load_familiarity(registry.artifact(sha256))
    return Attempt(recipe=recipe, candidate=candidate, answerer=answerer, familiarity=familiarity)


def answerer_of(
    contest: Contest,
    recipe: Recipe,
    learnt: Learnt,
    *,
    running: Running | None,
    certainty: Certainty | None = None,
) -> Answerer:
    local = Local(
        model=running.model.ref if running else recipe.name,
        engine=running.engine if running else None,
        fitted=learnt.fitted,
        recipe=recipe.name,
        certainty=None if certainty is None else certainty.sure,
    )
    return Answerer(
        services=contest.services,
        local=local,
        model=running.model.sha256 if running else None,
        settings=running.settings if running else None,
        budget=contest.budget,
    )


async def _held_out(
    contest: Contest, recipe: Recipe, learnt: Learnt, *, fit: Sequence[Example], answerer: Answerer
) -> Mapping[str, Asked] | Trial | None:
    """Answers to the fit part; a Trial for what is hopeless or was not finished; None: the engine answers nothing.

    A recipe that learns has given them. One that does not is asked, of one exchange a cluster, until it is hopeless or
    enough is known to set its gates.
    """
    if learnt.held_out:
        return {id: Asked(answer) for id, answer in learnt.held_out.items()}
    pool = _unseen(fit, learnt.trained)
    most = screen_answers(len(contest.log.labels)) if learnt.trained is None else _HELD_ANSWERS
    pool = _one_a_cluster(pool)[:most]
    settings = contest.services.settings
    screen = Screen(
        margin=settings.margin,
        alpha=contest.alpha,
        min_coverage=0.25,
        reference_loss=float(np.mean([contest.scoring.loss_hosted(example) for example in pool] or [0.0])),
    )
    found: dict[str, Asked] = {}
    for start in range(0, len(pool), BATCH):
        batch = pool[start : start + BATCH]
        asked = await answerer.answers(batch)
        found.update(asked)
        for example in batch:
            answer = asked[example.exchange_id].answer if example.exchange_id in asked else None
            if answer is not None and not contest.scoring.undecided(answer.text, example):
                screen.add(confidence=answer.confidence, difference=_difference(contest, answer, example))
        contest.progress(f"Trying {recipe.name}: {contest.log.task.name}", start + len(batch), len(pool))
        if answerer.unable:
            return None
        if screen.futile:
            said, mean = _futile(screen), screen.result().mean
            return Trial(recipe=recipe.name, end="dropped", reason=said, n=len(found), loss=mean)
        if contest.budget.spent:
            reason = f"the time was over after {len(found)} answers."
            return Trial(recipe=recipe.name, end="unfinished", reason=reason, n=len(found))
        if answerer.tokens >= SCREEN_TOKENS and learnt.trained is None:
            break
    return found if any(each.answer is not None for each in found.values()) else None


def _unseen(fit: Sequence[Example], trained: Trained | None) -> Sequence[Example]:
    """Of clusters that a training saw nothing of."""
    if trained is None:
        return fit
    seen = {example.cluster for example in fit if example.exchange_id in trained.seen}
    return [example for example in fit if example.cluster not in seen]


def _difference(contest: Contest, answer: LocalAnswer, example: Example) -> float:
    return contest.scoring.loss_local(answer.text, example) - contest.scoring.loss_hosted(example)


def _futile(screen: Screen) -> str:
    result = screen.result()
    return (
        f"{result.mean:.0%} more wrong than the reference even at its best gate "
        f"(at least {result.lower:.1%}, n {result.n})."
    )


def _unmeasured(answerer: Answerer) -> str:
    fault = answerer.last_fault or "nothing was answered."
    return f"could not be measured: the engine answered none of its requests. {fault}"


def _one_a_cluster(examples: Sequence[Example]) -> list[Example]:
    """The first of each, in their order."""
    chosen: dict[str, Example] = {}
    for example in examples:
        chosen.setdefault(example.cluster, example)
    return list(chosen.values())


def certainty_of(contest: Contest, held_out: Mapping[str, Asked], fit: Sequence[Example]) -> Certainty | None:
    """Of answers in fields, where the recipe says how sure it is."""
    if contest.log.task.output.kind not in (OutputKind.JSON, OutputKind.TOOL_CALL):
        return None
    held: list[Held] = []
    for example in _one_a_cluster([e for e in fit if e.exchange_id in held_out]):
        answer = held_out[example.exchange_id].answer
        if answer is not None and example.exchange_id not in contest.doubtful:
            difference = _difference(contest, answer, example)
            held.append(Held(answer=answer.text, confidence=answer.confidence, difference=difference))
    return fit_certainty(held) if len({one.confidence for one in held}) > 1 else None


def _sure(asked: Asked, certainty: Certainty | None) -> Asked:
    answer = asked.answer
    if answer is None or certainty is None:
        return asked
    return replace(asked, answer=replace(answer, confidence=certainty.sure(answer.text, answer.confidence)))


def prospect_of(
    contest: Contest, held_out: Mapping[str, Asked], familiar: FittedFamiliarity, *, learns: bool
) -> Prospect:
    """`learns`: from the fit part, which then is no evidence, also where no gate can be set."""
    services, log = contest.services, contest.log
    rank = len(services.evidence.ranks(log.task.id)) + 1
    sha256 = services.registry.put_artifact(familiar.familiarity.artifact())
    alpha = alpha_of(rank, contest.alpha)
    fit = _fit_part(contest, held_out, familiar)
    if not np.unique(fit.confidence).size > 1 and (fit.confidence == 0).all():
        known = sha256 if learns else None
        terms = replace(whole_terms(), fitted=fit.exchanges, clusters=fit.clusters, familiarity_sha256=known)
        return Prospect(terms=terms)
    return set_terms(fit, margin=services.settings.margin, alpha=alpha, familiarity_sha256=sha256)


def _fit_part(contest: Contest, held_out: Mapping[str, Asked], familiar: FittedFamiliarity) -> FitPart:
    log = contest.log
    seen = [e for e in log.of("fit") if e.teaches and e.exchange_id in held_out]
    fit = [e for e in seen if e.exchange_id not in contest.doubtful]
    rows = [e for e in _one_a_cluster(fit) if _decided(contest, held_out[e.exchange_id], e)]
    answers = [held_out[e.exchange_id].answer or LocalAnswer(text="", confidence=0.0) for e in rows]
    looks = [familiar.held_out[e.exchange_id] for e in rows]
    labels = tuple(next((look.probabilities for look in looks if look.probabilities), {}))
    place = {label: at for at, label in enumerate(labels)}
    known = [place.get(log.canonical(e), len(labels)) for e in rows] if labels else []
    return FitPart(
        confidence=np.array([answer.confidence for answer in answers]),
        difference=np.array([_difference(contest, a, e) for a, e in zip(answers, rows, strict=True)]),
        familiarity=np.array([look.score for look in looks]),
        left_out=familiar.left_out,
        labels=labels,
        label=np.array(known, dtype=np.int64),
        probabilities=np.array([list((look.probabilities or {}).values()) for look in looks]),
        exchanges=sum(place.part in ("fit", "held out") for place in log.places),
    )


def _decided(contest: Contest, asked: Asked, example: Example) -> bool:
    return asked.answer is not None and not contest.scoring.undecided(asked.answer.text, example)


def no_terms(contest: Contest, recipe: Recipe, origin: Origin, *, prospect: Prospect) -> Trial:
    if prospect.hopeless:
        return Trial(recipe=recipe.name, model=origin.ref, end="dropped", reason=prospect.reason)
    total = len(contest.log.places)
    return Trial(recipe=recipe.name, model=origin.ref, end="too few", reason=prospect.reason, n_needed=2 * total)


def with_artifacts(contest: Contest, terms: Terms, certainty: Certainty | None) -> Terms:
    if certainty is not None:
        terms = replace(terms, certainty_sha256=contest.services.registry.put_artifact(certainty.artifact()))
    if 1 - terms.new_share < _REPEATS_MATTER:
        return terms
    texts = [example.text for example in contest.log.of("fit")]
    artifact = repeats_artifact(texts, contest.log.rules)
    return replace(terms, repeats_sha256=contest.services.registry.put_artifact(artifact))


def keep(contest: Contest, recipe: Recipe, origin: Origin, *, learnt: Learnt, terms: Terms) -> Candidate:
    registry = contest.services.registry
    candidate = Candidate(
        id="",
        task_id=contest.log.task.id,
        recipe=recipe.name,
        artifact_sha256=registry.put_artifact(learnt.fitted.artifact()),
        model_ref=origin.ref,
        model_sha256=origin.sha256,
        settings=origin.settings,
        adapter_sha256=origin.adapter_sha256,
        criterion=contest.log.criterion,
        terms=terms,
        stated=origin.stated,
    )
    digest = content_address(plain(candidate)).removeprefix("sha256:")
    candidate = replace(candidate, id=f"{recipe.name}-{digest[:8]}")
    registry.put_candidate(candidate)
    return candidate
