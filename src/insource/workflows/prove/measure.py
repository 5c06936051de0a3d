"""Looking at a candidate's evidence: answers in the ledger's order, what they come to, and its certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from insource.core.evidence import Certificate, End, Evaluation, Example, Outcome, Stratum
from insource.evals.bundle import Evidence, bundle_of, certificate_id, outcomes_in, same_evidence
from insource.evals.comparison import Trial, figures
from insource.evals.examples import self_agreement
from insource.evals.ledger import Look, Stakes, bets, bets_needed, fewest_bets, label_figures, look
from insource.workflows.prove.attempts import Attempt, Contest, alpha_of
from insource.workflows.prove.judging import calibration_of
from insource.workflows.prove.outcomes import outcome

BATCH = 16
"""Answers of an engine between two looks."""
_MOST_WAITING = 120
"""Answers that wait for a person at which the engine is asked for no more."""
_WORTH_A_LOOK = 0.2
"""Share of losses above which no review would save a candidate."""
_FAULTS_NAMED = 0.01
"""Share of requests at which the engine failed from which the verdict says so."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What a look at a candidate's evidence has come to."""

    stakes: Stakes
    rank: int
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    end: End | None = None
    """Why the asking ended before its time; None: it did not."""
    waiting: int = 0
    """Answers that a person has to judge first. The ledger stops at the first of them."""
    _found: Look | None = None

    def look(self, attempt: Attempt) -> Look:
        self._found = look(attempt.candidate.terms, self.outcomes, self.stakes)
        return self._found

    @property
    def found(self) -> Look:
        assert self._found is not None
        return self._found


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    trial: Trial
    evaluation: Evaluation | None = None
    """None: nothing was looked at."""
    outcomes: Sequence[Outcome] = ()
    unjudged: int = 0
    """Answers that differ from the reference where a person's word could change the verdict."""


async def measure(contest: Contest, attempt: Attempt) -> Measured:
    """Asks for what is needed, and stores what was found."""
    candidate, services = attempt.candidate, contest.services
    pool = pool_of(contest, attempt)
    known = services.evidence.ranks(contest.log.task.id)
    rank = known.get(candidate.id) or len(known) + 1
    stakes = _stakes(contest, alpha_of(rank, contest.alpha))
    calibration = calibration_of(contest, attempt, alpha=stakes.alpha)
    if calibration is not None:
        stakes = replace(stakes, errors=calibration.errors)
        contest = replace(contest, warnings=(*contest.warnings, calibration.reason))
    short = None if candidate.id in known else _too_few(contest, attempt, pool, stakes=stakes)
    if short is not None:
        return Measured(trial=short)
    services.evidence.rank(contest.log.task.id, candidate.id)
    started = services.clock.monotonic()
    seen = await _ask(contest, attempt, pool, seen=_Seen(stakes=stakes, rank=rank))
    evaluation = _evaluation(contest, attempt, seen, seconds=services.clock.monotonic() - started)
    if calibration is not None and not calibration.usable:
        evaluation = replace(evaluation, reason=f"{calibration.reason} So far {evaluation.reason}")
    if seen.found.gate is not None:
        evaluation = _certify(contest, attempt, evaluation, seen=seen)
    services.evidence.put_evaluation(evaluation)
    return Measured(
        trial=_trial(attempt, evaluation),
        evaluation=evaluation,
        outcomes=tuple(seen.outcomes),
        unjudged=seen.waiting or _unjudged(contest, seen),
    )


def pool_of(contest: Contest, attempt: Attempt) -> list[tuple[Stratum, Example]]:
    """The exchanges that may bet, in the ledger's order: the first of each cluster of new inputs, and of each cluster
    of repeats the first of a day. A candidate that was fitted on nothing has new inputs only."""
    log = contest.log
    whole = attempt.candidate.terms.familiarity_sha256 is None
    pool: list[tuple[Stratum, Example]] = []
    seen: set[tuple[str, int]] = set()
    for place in log.places:
        stratum: Stratum = "repeats" if place.part == "held out" and not whole else "new"
        if place.part == "between" or (place.part == "fit" and not whole):
            continue
        example = log.examples[place.exchange_id]
        if not attempt.candidate.counts(example.created):
            continue
        day = example.created.toordinal() if stratum == "repeats" else 0
        if (place.cluster, day) not in seen:
            seen.add((place.cluster, day))
            pool.append((stratum, example))
    return pool


def _stakes(contest: Contest, alpha: float) -> Stakes:
    places = contest.log.places
    firsts = {place.cluster for place in places if place.part in ("fit", "held out")}
    repeats = sum(place.part in ("fit", "held out") for place in places) - len(firsts)
    return Stakes(margin=contest.services.settings.margin, alpha=alpha, repeats_share=repeats / max(len(places), 1))


def _too_few(
    contest: Contest, attempt: Attempt, pool: Sequence[tuple[Stratum, Example]], *, stakes: Stakes
) -> Trial | None:
    """A candidate is not looked at when not even a flawless one could be certified: a look would cost budget."""
    terms = attempt.candidate.terms
    new = sum(stratum == "new" for stratum, _ in pool)
    repeats = len(pool) - new
    needed = fewest_bets(terms, stakes)
    for_repeats = fewest_bets(replace(terms, new_share=1 - terms.new_share), stakes) if terms.new_share < 1 else None
    if new >= needed or (for_repeats is not None and repeats >= for_repeats):
        return None
    reason = (
        f"{new} inputs of evidence can't prove a margin of {stakes.margin:.1%} even without a loss; it takes {needed}."
    )
    return Trial(
        recipe=attempt.recipe.name,
        model=attempt.candidate.model_ref,
        end="too few",
        reason=reason,
        n_needed=_exchanges_for(contest, needed, new),
        candidate_id=attempt.candidate.id,
    )


def _exchanges_for(contest: Contest, bets_wanted: int, bets_now: int) -> int:
    """Exchanges of the task that hold so many inputs of evidence, if it goes on as it did; more than it has now."""
    total = len(contest.log.places)
    return max(math.ceil(bets_wanted * total / max(bets_now, 1)), total + 1)


async def _ask(contest: Contest, attempt: Attempt, pool: Sequence[tuple[Stratum, Example]], *, seen: _Seen) -> _Seen:
    """All at once where no engine is asked; else batch by batch, until more answers would change nothing."""
    engine = attempt.recipe.asks_model and not contest.thorough
    size = BATCH if engine else max(len(pool), 1)
    seen.look(attempt)
    for start in range(0, len(pool), size):
        batch = pool[start : start + size]
        asked = await attempt.answerer.answers([example for _, example in batch])
        for stratum, example in batch:
            answer = asked.get(example.exchange_id)
            if answer is None:  # the time was over; what comes after it counts when this one does
                break
            if answer.answer is not None and contest.scoring.undecided(answer.answer.text, example):
                seen.waiting += 1
            if not seen.waiting:
                seen.outcomes.append(outcome(contest, attempt, example, asked=answer, stratum=stratum))
        done = len(seen.outcomes) + seen.waiting
        contest.progress(f"Measuring {attempt.recipe.name}: {contest.log.task.name}", done, len(pool))
        found = seen.look(attempt)
        if attempt.answerer.unable:
            seen.end = "unmeasured"
            break
        if contest.budget.spent and len(seen.outcomes) < len(pool):
            seen.end = "unfinished"
            break
        if engine and (found.whole or found.futile or seen.waiting >= _MOST_WAITING):
            break
    return seen


def _evaluation(contest: Contest, attempt: Attempt, seen: _Seen, *, seconds: float) -> Evaluation:
    settings, candidate, found = contest.services.settings, attempt.candidate, seen.found
    margin, alpha = seen.stakes.margin, seen.stakes.alpha
    end, reason, needed = _ending(contest, attempt, seen)
    gate = found.gate if found.gate is not None else candidate.terms.thresholds[candidate.terms.first]
    examples = list(contest.log.examples.values())
    return Evaluation(
        id=candidate.id,
        task_id=contest.log.task.id,
        candidate_id=candidate.id,
        created=contest.services.clock.now(),
        end=end,
        reason=reason,
        margin=margin,
        confidence=settings.confidence,
        rank=seen.rank,
        alpha=alpha,
        gate=found.gate,
        serves=found.serves,
        coverage=found.coverage,
        whole=found.whole,
        loss_upper=found.loss_upper,
        n=len(seen.outcomes),
        clusters=len({o.cluster for o in seen.outcomes}),
        unanswered=attempt.answerer.faults,
        n_needed=needed,
        ledgers=found.ledgers,
        covered=figures(found.covered, margin=margin, alpha=alpha, confidence=settings.confidence),
        overall=figures(seen.outcomes, margin=margin, alpha=alpha, confidence=settings.confidence),
        labels=label_figures(bets(seen.outcomes, "new") or seen.outcomes, gate),
        self_agreement=self_agreement(examples, contest.log.place_of, contest.scoring, confidence=settings.confidence),
        warnings=contest.warnings,
        answers=attempt.answerer.asked,
        seconds=seconds,
    )


def _ending(contest: Contest, attempt: Attempt, seen: _Seen) -> tuple[End, str, int | None]:
    """How it ended, why in a sentence, and the exchanges that would change it."""
    found, faults = seen.found, _faults(attempt, seen.outcomes)
    if found.gate is not None:
        return "certified", _certified(found) + _new_inputs(contest, attempt, seen) + faults, None
    if seen.end == "unmeasured":
        reason = f"could not be measured: the engine failed again and again. {attempt.answerer.last_fault}"
        return "unmeasured", reason.strip(), None
    if found.stopped is not None:
        return "not shown", f"its loss is shown, but {found.stopped}.{faults}", None
    mean = sum(o.difference for o in found.covered) / len(found.covered) if found.covered else 0.0
    where = f"{len(found.covered)} inputs" + (" it is surest of" if len(attempt.candidate.terms.thresholds) > 1 else "")
    shown = f"{abs(mean):.1%} {'less' if mean < 0 else 'more'} wrong than the reference on the {where}"
    if seen.end == "unfinished":
        return "unfinished", f"the time was over after {len(seen.outcomes)} answers ({shown} so far).{faults}", None
    if seen.waiting and not found.futile:
        reason = f"{seen.waiting} answers differ from the reference, and only a person can say which one is right"
        return "waiting", f"{reason}{f' ({shown} so far)' if found.covered else ''}.{faults}", None
    needed = bets_needed(attempt.candidate.terms, found, seen.stakes)
    if found.futile or needed is None:
        return "not shown", f"{shown}: more than the margin of {seen.stakes.margin:.1%}.{faults}", None
    reason = f"{shown}, which does not prove {seen.stakes.margin:.1%} yet.{faults}"
    return "not shown", reason, _exchanges_for(contest, needed, len(bets(seen.outcomes, "new")))


def _new_inputs(contest: Contest, attempt: Attempt, seen: _Seen) -> str:
    """What new inputs need where only repeats may be answered."""
    if seen.found.serves != ("repeats",):
        return ""
    terms, new = attempt.candidate.terms, len(bets(seen.outcomes, "new"))
    needed = bets_needed(terms, seen.found, seen.stakes) or fewest_bets(terms, seen.stakes)
    return f" New inputs need more data: about {_exchanges_for(contest, max(needed, new + 1), new)} exchanges."


def _unjudged(contest: Contest, seen: _Seen) -> int:
    """How many losses were counted because a hosted answer differs, where without them the margin would hold."""
    covered, log = seen.found.covered, contest.log
    lost = [o for o in covered if o.difference > 0]
    nobody = [o for o in lost if log.examples[o.exchange_id].reference_kind == "hosted"]
    nobody = [o for o in nobody if contest.scoring.canonical(o.answer) not in log.examples[o.exchange_id].judged]
    net = sum(o.difference for o in covered)
    if len(lost) > _WORTH_A_LOOK * len(covered) or net - len(nobody) > seen.stakes.margin * len(covered):
        return 0
    return len(nobody)


def _faults(attempt: Attempt, outcomes: Sequence[Outcome]) -> str:
    failed = attempt.answerer.faults
    if not outcomes or failed <= _FAULTS_NAMED * len(outcomes):
        return ""
    return f" The engine failed at {failed} of {len(outcomes)} requests; they count as escalated."


def _certified(found: Look) -> str:
    served: dict[tuple[Stratum, ...], str] = {
        ("new",): ", new inputs only",
        ("repeats",): ", repeats of what it learnt only",
    }
    quality = 1 - sum(o.loss_local for o in found.covered) / max(len(found.covered), 1)
    bound = "" if found.loss_upper is None else f"loses at most {found.loss_upper:.2%} "
    return (
        f"{bound}on the {found.coverage:.0%} it may answer{served.get(found.serves, '')}; "
        f"{quality:.1%} right on {len(found.covered)} inputs of evidence."
    )


def _trial(attempt: Attempt, evaluation: Evaluation) -> Trial:
    return Trial(
        recipe=attempt.recipe.name,
        model=attempt.candidate.model_ref,
        end=evaluation.end,
        reason=evaluation.reason,
        n=evaluation.n,
        coverage=evaluation.coverage,
        whole=evaluation.whole,
        n_needed=evaluation.n_needed,
        candidate_id=attempt.candidate.id,
    )


def _certify(contest: Contest, attempt: Attempt, evaluation: Evaluation, *, seen: _Seen) -> Evaluation:
    """Keeps the certificate with its bundle. Older ones of the candidate go, but for what a move stands on."""
    store, log = contest.services.evidence, contest.log
    bundle = bundle_of(
        Evidence(
            task=log.task,
            candidate=attempt.candidate,
            evaluation=evaluation,
            stakes=seen.stakes,
            rules=log.rules,
            records=outcomes_in(seen.outcomes, log.examples, contest.scoring),
        )
    )
    covered = evaluation.covered
    former = [c for c in store.certificates(log.task.id) if c.candidate_id == attempt.candidate.id]
    for each in former:
        kept = store.bundle(each.id)
        if kept is not None and same_evidence(kept, bundle):  # nothing new: what was handed on stays valid
            return replace(evaluation, certificate_id=each.id)
    same = next((c for c in former if c.n == evaluation.n), None)
    certificate = Certificate(
        id=certificate_id(bundle),
        created=evaluation.created,
        task_id=log.task.id,
        candidate_id=attempt.candidate.id,
        criterion=log.criterion,
        n=evaluation.n,
        clusters=evaluation.clusters,
        margin=evaluation.margin,
        confidence=evaluation.confidence,
        coverage=evaluation.coverage,
        gate=evaluation.gate or 0.0,
        serves=evaluation.serves,
        loss_upper=evaluation.loss_upper if evaluation.loss_upper is not None else 1.0,
        quality=covered.quality if covered else 0.0,
        labels=evaluation.labels,
        renewed=evaluation.created if same is None else same.renewed or same.created,
    )
    store.put_certificate(certificate, bundle)
    in_use = {move.certificate_id for move in contest.services.registry.moves()}
    store.remove_certificates([c.id for c in former if c.id not in in_use | {certificate.id}])
    return replace(evaluation, certificate_id=certificate.id)
