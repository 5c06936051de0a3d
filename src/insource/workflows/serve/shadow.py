"""Answers of shadow candidates: after the client has its own, never instead of it, never more than a few at once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from insource.core.errors import InsourceError
from insource.core.values import Marks, Route
from insource.routing.decide import Decision
from insource.workflows.asking import Local
from insource.workflows.serve.answer_locally import answer_locally, client_completion
from insource.workflows.serve.record_exchange import Ending, Underway, replace_id

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowFigures:
    """Since the start."""

    answered: int
    skipped: int
    """Because as many as allowed were being answered already."""
    failed: int


class Shadows:
    def __init__(self, *, most: int = 4) -> None:
        """`most` at once: more would only wait for each other in the engine, and make the live answers wait."""
        self._most = most
        self._running: set[asyncio.Task[None]] = set()
        self._answered = self._skipped = self._failed = 0

    @property
    def figures(self) -> ShadowFigures:
        return ShadowFigures(answered=self._answered, skipped=self._skipped, failed=self._failed)

    def offer(self, shadowed: Underway, local: Local, decision: Decision) -> None:
        """Answers in the background, or skips when it is busy; returns at once."""
        if len(self._running) >= self._most:
            self._skipped += 1
            return
        task = asyncio.create_task(self._answer(shadowed, local, decision))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """What is still running is given up: nobody waits for it."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _answer(self, shadowed: Underway, local: Local, decision: Decision) -> None:
        underway = replace_id(shadowed, f"{shadowed.id}-shadow")
        route = Route(
            upstream=local.upstream,
            model=local.model,
            reason="stage shadow",
            task_id=decision.task_id,
            candidate_id=decision.shadow_candidate_id,
        )
        marks = Marks(shadow_of=shadowed.id, covered=False)
        try:
            admitted = local.not_admitted(underway.request) is None
            answer = await answer_locally(local, underway.request)
        except InsourceError as error:
            self._failed += 1
            _LOG.warning("The shadow of %s failed. %s", shadowed.id, error)
            underway.end(route, Ending(status=503), marks)
            return
        self._answered += 1
        created = int(underway.created.timestamp())
        completion = client_completion(answer, local, underway.request, id=underway.id, created=created)
        marks = replace(marks, covered=admitted and answer.confidence >= decision.gate)
        underway.end(replace(route, confidence=answer.confidence), Ending(status=200, response=completion), marks)
