"""The exchange log: a page at a time, filtered and searched, and one exchange with the reasoning of its route."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import urlencode

from starlette.responses import Response

from insource.core.errors import UsageError
from insource.core.evidence import Candidate
from insource.core.log_figures import LogSearch, Position, Where
from insource.core.values import Exchange, JsonObject
from insource.web.desk import Ask, Desk
from insource.web.differences import differences
from insource.wire.chat import answer_or_calls, content_text, conversation_text, messages
from insource.workflows.prove.replay import replay

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FILTERS: tuple[tuple[Where, str], ...] = (
    ("", "all"),
    ("here", "answered here"),
    ("hosted", "hosted"),
    ("private", "with private data"),
    ("escalated", "escalated"),
    ("failed", "failed"),
    ("shadow", "shadow answers"),
)


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    text: str


def listed(desk: Desk, ask: Ask) -> Response:
    where: Where = next((each for each in get_args(Where) if each == ask.query.get("where")), "")
    search = LogSearch(task_id=ask.query.get("task") or None, where=where, text=ask.query.get("text", "").strip())
    page = desk.services.exchanges.figures.page(search, before=_position(ask.query.get("before", "")))
    kept = {name: value for name, value in ask.query.items() if name in ("task", "where", "text") and value}
    names = {task.id: task.name for task in desk.services.registry.tasks()}
    return desk.page(
        "requests",
        here="requests",
        page=page,
        search=search,
        filters=_FILTERS,
        names=names,
        asked={each.id: conversation_text(each.request) for each in page.exchanges},
        older=None if page.older is None else urlencode({**kept, "before": _written(page.older)}),
        first="before" not in ask.query,
        kept=urlencode(kept),
    )


def _written(position: Position) -> str:
    return f"{(position.created - _EPOCH) // _MICROSECOND}-{position.id}"


def _position(text: str) -> Position | None:
    moment, _, id = text.partition("-")
    if not (moment.isascii() and moment.isdigit()) or len(moment) > 17:
        return None
    return Position(_EPOCH + int(moment) * _MICROSECOND, id)


def _found(desk: Desk, id: str) -> tuple[Exchange, str | None]:
    found = desk.services.exchanges.figures.one(id)
    if found is None:
        raise UsageError(
            f"There is no exchange {id[:100]!r} in the log.",
            next_step="It may have been pruned; the list shows what there is.",
        )
    return found


def _candidates(desk: Desk, exchange: Exchange, task_id: str | None) -> list[Candidate]:
    """Those of its task that can be asked: an answer made elsewhere can't be asked for again."""
    if task_id is None or not messages(exchange.request):
        return []
    return [each for each in desk.services.registry.candidates(task_id) if not each.made_elsewhere]


def replayed(desk: Desk, ask: Ask) -> Response:
    """The recorded answer beside that of a candidate, asked now."""
    exchange, task_id = _found(desk, ask.path["exchange"])
    wanted = ask.form.get("candidate", "")
    candidate = next((each for each in _candidates(desk, exchange, task_id) if each.id == wanted), None)
    if candidate is None:
        raise UsageError(f"There is no candidate {wanted[:100]!r} for it.", next_step="Go back and choose another.")
    monotonic = desk.services.clock.monotonic
    started = monotonic()
    answer = asyncio.run(replay(desk.services, exchange, candidate))
    recorded = answer_or_calls(exchange.response) or ""
    given = answer.text if answer.completion is None else answer_or_calls(answer.completion) or answer.text
    left, right = differences(recorded, given)
    return desk.page(
        "replay",
        here="requests",
        exchange=exchange,
        candidate=candidate,
        left=left,
        right=right,
        same=recorded == given,
        confidence=answer.confidence,
        took=monotonic() - started,
        turns=turns_of(exchange.request),
    )


def show(desk: Desk, ask: Ask) -> Response:
    exchange, task_id = _found(desk, ask.path["exchange"])
    task = next((task for task in desk.services.registry.tasks() if task.id == task_id), None)
    return desk.page(
        "exchange",
        here="requests",
        exchange=exchange,
        task=task,
        candidates=_candidates(desk, exchange, task_id),
        turns=turns_of(exchange.request),
        answer=answer_or_calls(exchange.response),
        route=route_words(exchange),
        request_json=_json(exchange.request),
        response_json=None if exchange.response is None else _json(exchange.response),
    )


def turns_of(request: JsonObject) -> list[Turn]:
    """Its messages as text; what is no text is shown as JSON."""
    return [
        Turn(str(message.get("role")), content_text(message.get("content")) or _json(message))
        for message in messages(request)
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def route_words(exchange: Exchange) -> list[str]:
    """Why the exchange went where it went, as sentences. Pure."""
    route, marks = exchange.route, exchange.marks
    if route is None:
        return ["It was imported: it did not pass through this gateway, so a hosted service answered it."]
    here = route.upstream.startswith("engine:")
    words = [f"{'Answered here' if here else 'Answered by the hosted service'}: {route.upstream}, {route.model}."]
    words.append(f"Reason: {route.reason}")
    if route.candidate_id:
        on = f"on certificate {route.certificate_id}" if route.certificate_id else "without a certificate"
        words.append(f"Its task is routed to candidate {route.candidate_id}, {on}.")
    if route.confidence is not None:
        words.append(f"The candidate's confidence was {route.confidence:.3f}.")
    if marks.escalated:
        words.append("It escalated: the answer from here was below the gate.")
    if marks.fallback:
        words.append(f"The local side failed ({marks.fallback}), so the hosted service answered.")
    if marks.shadow_of:
        words.append(f"A second answer to {marks.shadow_of}, measured and thrown away: no client saw it.")
    if route.pinned:
        words.append("It had to stay on this machine.")
    return words
