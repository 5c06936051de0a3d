"""A candidate's answer beside its reference, under the candidate's terms."""

from __future__ import annotations

from datetime import UTC, datetime

from insource.core.admission import not_admitted
from insource.core.errors import InsourceError
from insource.core.evidence import Example, Outcome, Stratum
from insource.core.values import JsonObject
from insource.workflows.prove.answers import Asked
from insource.workflows.prove.attempts import Attempt, Contest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def outcome(contest: Contest, attempt: Attempt, example: Example, *, asked: Asked, stratum: Stratum) -> Outcome:
    """One answer beside its reference, under the candidate's terms."""
    look = _look(attempt, example.request)
    place = contest.log.place_of[example.exchange_id]
    answer = asked.answer
    return Outcome(
        exchange_id=example.exchange_id,
        place=place.place,
        cluster=place.cluster,
        stratum=stratum,
        day=(example.created - EPOCH).days,
        answer="" if answer is None else answer.text,
        confidence=0.0 if answer is None else answer.confidence,
        admitted=look is None,
        answered=answer is not None,
        label=contest.log.canonical(example) if contest.log.labels else None,
        loss_local=1.0 if answer is None else contest.scoring.loss_local(answer.text, example),
        loss_hosted=contest.scoring.loss_hosted(example),
        requests=contest.log.requests.get(place.cluster, 1),
    )


def _look(attempt: Attempt, request: JsonObject) -> str | None:
    """Why the request would not be answered here, whatever the candidate says; None: the gate decides."""
    try:
        familiar = None if attempt.familiarity is None else attempt.familiarity.look(request)
    except InsourceError as error:
        return error.message
    return not_admitted(attempt.candidate.terms, familiar)
