"""`POST /insource/feedback`: what the application says of an answer that its user saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from insource.core.errors import BadInput
from insource.core.evidence import Judgement
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, JsonObject
from insource.wire.chat import answer_or_calls
from insource.workflows.services import Services

_WAIT_SECONDS = 2.0
_STEP_SECONDS = 0.1
_MOST_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    exchange_id: str
    correct: bool | None
    """Whether the answer was right."""
    reference: str | None
    """What it should have been."""


def read_feedback(body: Any) -> Feedback:
    """Of `{"exchange", "correct", "reference"}`. Raises BadInput."""
    found: JsonObject = body if isinstance(body, dict) else {}
    exchange, correct, reference = found.get("exchange"), found.get("correct"), found.get("reference")
    if not isinstance(exchange, str) or not exchange:
        raise BadInput(
            "Feedback needs the exchange that it is about.",
            next_step='Send {"exchange": the value of the answer\'s x-insource-exchange header, "correct": true}.',
        )
    if not isinstance(correct, bool | None) or not isinstance(reference, str | None):
        raise BadInput("'correct' is true or false, and 'reference' a text.", next_step="Correct the request.")
    if correct is None and not (reference or "").strip():
        raise BadInput("The feedback says nothing.", next_step="Send 'correct', 'reference', or both.")
    if reference is not None and len(reference) > _MOST_CHARACTERS:
        raise BadInput(f"'reference' is longer than {_MOST_CHARACTERS:,} characters.", next_step="Shorten it.")
    return Feedback(exchange_id=exchange, correct=correct, reference=reference)


async def take_feedback(services: Services, body: Any) -> None:
    """Keeps it with its exchange. Raises BadInput, also for an exchange that is not in the log."""
    feedback = read_feedback(body)
    exchange = await _find(services, feedback.exchange_id)
    if exchange is None:
        raise BadInput(
            f"There is no exchange {feedback.exchange_id[:100]!r} in the log.",
            next_step="Send the value of the answer's x-insource-exchange header.",
        )
    await asyncio.to_thread(_keep, services, exchange, feedback)


async def _find(services: Services, exchange_id: str) -> Exchange | None:
    """The log is written in batches: an exchange that has just ended may take a moment."""
    where = ExchangeFilter(ids=frozenset({exchange_id}))
    for _ in range(round(_WAIT_SECONDS / _STEP_SECONDS)):
        found = await asyncio.to_thread(lambda: next(iter(services.exchanges.read(where)), None))
        if found is not None:
            return found
        await asyncio.sleep(_STEP_SECONDS)
    return None


def _keep(services: Services, exchange: Exchange, feedback: Feedback) -> None:
    here = exchange.route is not None and exchange.route.upstream.startswith("engine:")
    answer = answer_or_calls(exchange.response)
    task_id = services.exchanges.assignments().get(exchange.id) or (exchange.route.task_id if exchange.route else None)
    if feedback.reference is not None and feedback.reference.strip():
        services.exchanges.set_reference(exchange.id, reference=feedback.reference, kind="feedback")
    if feedback.correct is None:
        return
    if not here:
        services.exchanges.set_correct(exchange.id, correct=feedback.correct)
    elif answer is not None and task_id is not None:
        judged = Judgement(exchange_id=exchange.id, answer=answer, right=feedback.correct, judged=services.clock.now())
        services.evidence.put_judgements(task_id, [judged])
