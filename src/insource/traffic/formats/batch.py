"""Batch files: what was asked and what was answered, on one record or on two of one or two files.

OpenAI's (and Groq's, Mistral's, vLLM's) `{"custom_id", "body"}` and `{"custom_id", "response": {"status_code",
"body"}}`; Anthropic's `{"custom_id", "params"}` and `{"custom_id", "result"}`; Gemini's `{"key", "request"}` and
`{"key", "response"}`; Bedrock's `{"recordId", "modelInput", "modelOutput"}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import as_response
from insource.traffic.formats.fields import count, get, moment, text
from insource.traffic.formats.recorded import Lacking, Recorded

_ASKS = ("body", "params", "modelInput", "request")
_ANSWERS = ("response", "result", "modelOutput", "error")
NO_ANSWERS = "It is a batch's input: import its output file together with it, as in: insource import INPUT OUTPUT."
NO_REQUESTS = "It is a batch's output: import its input file together with it, as in: insource import INPUT OUTPUT."


class BatchReader:
    name = "batch"
    rank = 0
    keys = frozenset({"custom_id", "body", "params", "response", "result", "method", "url", "recordId", "modelInput"})

    def recognises(self, record: JsonObject) -> bool:
        if "custom_id" in record:
            return any(name in record for name in (*_ASKS, *_ANSWERS))
        if "recordId" in record:
            return "modelInput" in record or "modelOutput" in record
        if not isinstance(record.get("key"), str):
            return False
        return isinstance(record.get("request"), dict) or isinstance(record.get("response"), dict)

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        name = next(key for key in ("custom_id", "recordId", "key") if key in record)
        key = text(record[name])
        if key is None:
            yield Lacking(what="messages", reason=f"its {name} is not a text")
            return
        asked = next((record[part] for part in _ASKS if isinstance(record.get(part), dict)), None)
        answered = any(record.get(part) is not None for part in _ANSWERS)
        answer, status, failure = _answer(record) if answered else (None, 200, None)
        yield Recorded(
            request=asked,
            response=answer,
            endpoint=urlsplit(str(record.get("url") or "")).path,
            # The service's own, where there is one: a custom_id comes back in the next batch for something else.
            id=text(record.get("id")) if answered else None,
            created=moment(get(answer, "created", "created_at")),
            status=status,
            metadata={name: key, **({} if failure is None else {"error": failure})},
            join=None if asked is not None and answered else key,
            no_answer="its batch has no answer to it",
            next_step=NO_REQUESTS if answered else NO_ANSWERS,
        )


def _answer(record: JsonObject) -> tuple[JsonObject | None, int, Any]:
    """(the answer, its HTTP status, why it failed)."""
    found, failure = get(record, "response", "result", "modelOutput"), record.get("error")
    status = count(get(found, "status_code")) or 200
    if isinstance(found, dict) and isinstance(found.get("type"), str) and ("message" in found or "error" in found):
        failure, found = found.get("error"), found.get("message")  # Anthropic's
    elif isinstance(found, dict) and found.get("type") in ("errored", "canceled", "expired"):
        failure, found = found["type"], None
    elif isinstance(found, dict) and "body" in found:
        found = found["body"]
    if status >= 400 or failure:
        return None, status if status >= 400 else 500, failure or found
    return as_response(found, parsed=False), status, None


def join(asked: Recorded, answered: Recorded) -> Recorded:
    """The two halves of a call as one."""
    return Recorded(
        request=asked.request,
        response=answered.response,
        endpoint=asked.endpoint,
        id=answered.id,
        created=answered.created,
        status=answered.status,
        metadata={**asked.metadata, **answered.metadata},
        no_answer=answered.no_answer,
    )
