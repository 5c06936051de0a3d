"""Certificates are renewed from the share: the standing candidate is measured on what came in since.

What an engine has to answer is asked in the gateway's loop, a few at a time; the rest is done in a thread, so that no
request waits for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from insource.core.evidence import Evaluation, Event
from insource.core.values import Stage
from insource.workflows.asking import Local
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.attempts import Attempt, Contest, standing_attempt
from insource.workflows.prove.expiry import why_expired
from insource.workflows.prove.measure import BATCH, measure, pool_of
from insource.workflows.prove.task_log import read_task_log
from insource.workflows.services import quiet
from insource.workflows.watch.look import Watch
from insource.workflows.watch.pairs import extras


async def renew(watch: Watch, local: Local | None) -> bool:
    """True: the move stands on a newer certificate."""
    contest, attempt = await asyncio.to_thread(_prepare, watch)
    if local is not None and attempt.recipe.asks_model:
        await _ask_missing(contest, attempt, local)
    evaluation = await asyncio.to_thread(lambda: asyncio.run(measure(contest, attempt)).evaluation)
    return evaluation is not None and await asyncio.to_thread(_take_up, watch, evaluation)


def _prepare(watch: Watch) -> tuple[Contest, Attempt]:
    services, move = watch.services, watch.move
    shares = [exchange.id for exchange in extras(services, move, "share_of")]
    services.exchanges.assign_more(dict.fromkeys(shares, move.task_id))
    task = next(task for task in services.registry.tasks() if task.id == move.task_id)
    log = replace(read_task_log(services, task), criterion=watch.candidate.criterion, scoring=watch.scoring)
    contest = Contest(
        services=services,
        log=log,
        scoring=watch.scoring,
        budget=Budget(now=services.clock.monotonic),
        progress=quiet,
        thorough=True,
    )
    return contest, standing_attempt(contest, move.candidate_id)


async def _ask_missing(contest: Contest, attempt: Attempt, local: Local) -> None:
    examples = [example for _, example in pool_of(contest, attempt)]
    kept = await asyncio.to_thread(attempt.answerer.kept, examples)
    missing = [example for example in examples if example.exchange_id not in kept]
    attempt.answerer.local = replace(attempt.answerer.local, engine=local.engine)
    for start in range(0, len(missing), BATCH):
        await attempt.answerer.answers(missing[start : start + BATCH])
    attempt.answerer.local = replace(attempt.answerer.local, engine=None)


def _take_up(watch: Watch, evaluation: Evaluation) -> bool:
    services, move = watch.services, watch.move
    if evaluation.certificate_id is None or evaluation.certificate_id == move.certificate_id:
        return False
    former = watch.certificate()
    following = replace(
        move,
        certificate_id=evaluation.certificate_id,
        gate=evaluation.gate or 0.0,
        serves=evaluation.serves,
    )
    before = "" if former is None else f" (before: {former.loss_upper:.2%} on {former.n})"
    upper = evaluation.loss_upper if evaluation.loss_upper is not None else 1.0
    event = Event(
        created=services.clock.now(),
        task_id=move.task_id,
        kind="renewed",
        text=f"{watch.name!r}: Certificate renewed; quality loss at most {upper:.2%} on {evaluation.n} examples"
        f"{before}.",
        figures={"certificate": evaluation.certificate_id, "loss_upper": upper, "n": evaluation.n},
    )
    return services.registry.change_move(move, following, event)


def expire(watch: Watch) -> bool:
    """A move whose certificate no longer holds answers nobody: its candidate goes on in the shadow, where all requests
    are evidence, until it is certified again."""
    certificate = watch.certificate()
    why = None if certificate is None else why_expired(watch.services, certificate)
    if certificate is None or why is None or watch.move.stage is Stage.SHADOW:
        return False
    now = watch.services.clock.now()
    event = Event(
        created=now,
        task_id=watch.move.task_id,
        kind="expired",
        text=f"{watch.name!r}: Back in stage shadow, because the certificate expired. {why} "
        f"Next: insource evaluate {watch.move.task_id}",
        figures={"certificate": certificate.id},
    )
    following = replace(watch.move, stage=Stage.SHADOW, changed=now, reason="its certificate expired")
    return watch.services.registry.change_move(watch.move, following, event)
