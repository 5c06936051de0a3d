"""The story of a candidate's evidence: from its certificate's bundle, else from the answers that were kept."""

from __future__ import annotations

from insource.core.evidence import Evaluation
from insource.core.values import Task
from insource.evals.bundle import read_bundle
from insource.evals.ledger import Stakes
from insource.evals.story import Story, tell
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.attempts import Contest, standing_attempt
from insource.workflows.prove.measure import pool_of
from insource.workflows.prove.outcomes import outcome
from insource.workflows.prove.task_log import read_task_log
from insource.workflows.services import Services, quiet


def story_of(services: Services, task: Task, evaluation: Evaluation) -> Story | None:
    """None: there is nothing to tell. Nothing is asked of an engine."""
    raw = services.evidence.bundle(evaluation.certificate_id) if evaluation.certificate_id else None
    if raw is not None:
        bundle = read_bundle(raw)
        return tell(bundle.candidate.terms, [record.outcome for record in bundle.records], bundle.stakes)
    if not any(each.id == evaluation.candidate_id for each in services.registry.candidates(task.id)):
        return None
    if evaluation.n == 0:
        return None
    log = read_task_log(services, task)
    if log.scoring is None:
        return None
    budget = Budget(now=services.clock.monotonic, until=0.0)
    contest = Contest(services=services, log=log, scoring=log.scoring, budget=budget, progress=quiet)
    attempt = standing_attempt(contest, evaluation.candidate_id)
    pool = pool_of(contest, attempt)
    kept = attempt.answerer.kept([example for _, example in pool])
    outcomes = [
        outcome(contest, attempt, example, asked=kept[example.exchange_id], stratum=stratum)
        for stratum, example in pool
        if example.exchange_id in kept
    ]
    if not outcomes:
        return None
    stakes = Stakes(margin=evaluation.margin, alpha=evaluation.alpha)
    return tell(attempt.candidate.terms, outcomes, stakes)
