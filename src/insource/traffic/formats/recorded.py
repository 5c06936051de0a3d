"""A call to a model as another tool wrote it down, and the exchange that it comes to.

This is the one record between the formats and the log: a format only says where its fields are. What is made of it is
checked here, once for all formats: an exchange has messages, and an answer, a label, a failure, or a reason why not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from insource.core.values import CHAT_ENDPOINT, Exchange, JsonObject, ReferenceKind
from insource.traffic.formats.fields import get, moment
from insource.wire import chat, dialects, json_text

Missing = Literal["messages", "answer"]
NO_ANSWER = "no_answer"
"""Key of the metadata that says why an exchange has no answer."""
CUT = "the tool that recorded it cut a text"
"""`Exchange.incomplete` of an exchange whose texts another tool shortened."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CUT_MARKS = re.compile(
    r"litellm_truncated skipped \d+ chars"
    r"|\.\.\. \(truncated \d+ chars\)"
    r"|<truncated due to size exceeding limit>"
    r"|(?:\[|<|\(|…|\.\.\.)\s?truncated(?: \d+ \w+)?[\])>]?\s*\Z",
    re.IGNORECASE,
)
"""LiteLLM's, its older one, Langfuse's, and what many put at the end of a text that they shorten."""
_REDACTED = re.compile(r"\s*(?:redacted[-_ ]by[-_ ]litellm?|\[?redacted\]?|<redacted>)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One call. Bodies are in whatever dialect they were; None and "" mean that the log does not say."""

    request: JsonObject | None
    response: JsonObject | None = None
    endpoint: str = ""
    """The path that was called, where it is known."""
    model: str | None = None
    """Where the request does not name it."""
    id: str | None = None
    """The tool's own; None: one is made of the content."""
    created: datetime | None = None
    latency_seconds: float | None = None
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    """Where the answer does not state its usage."""
    status: int = 200
    incomplete: str | None = None
    reference: str | None = None
    reference_kind: ReferenceKind | None = None
    reference_correct: bool | None = None
    metadata: JsonObject = field(default_factory=dict[str, Any])
    join: str | None = None
    """Half of a call, whose other half is another record with the same key; the half that lacks is None."""
    no_answer: str | None = None
    """Why there is none, where the format knows."""
    next_step: str = ""
    """What to do where it lacks its request or its answer, as a sentence."""
    made: Exchange | None = None
    """An exchange of insource's own, with fields that no other tool knows."""
    exported: bool = False
    """`made` was written by insource itself: whatever it lacks, it lacked in that log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A record that is a call to a model and can't become an exchange."""

    what: Missing
    reason: str
    """The end of a sentence that begins with the record."""
    next_step: str = ""
    """What the user can do about it, as a sentence."""


def to_exchange(call: Recorded, *, id: str, number: int) -> Exchange | Lacking:
    """`number` is the record's place in its file: it stands for a time that is not known (see log_line.py)."""
    made = call.made
    request, response = (call.request, call.response) if made is None else (made.request, made.response)
    if made is not None and (call.exported or call.endpoint not in ("", CHAT_ENDPOINT)):
        # It comes back as it was, also a body of another dialect that the gateway recorded.
        empty = not made.request and not is_answered(made)
        return Lacking(what="messages", reason="its request is empty") if empty else replace(made, id=id)
    if request is None:
        return Lacking(what="messages", reason="it holds no request", next_step=call.next_step)
    said = dialects.to_chat(_with_model(request, call.model), response, endpoint=call.endpoint)
    if made is None:
        exchange = _exchange(call, said, id=id, number=number)
    else:
        exchange = replace(
            made,
            id=id,
            created=call.created or _stated(response) or _EPOCH + timedelta(seconds=number),
            endpoint=said.endpoint,
            request=said.request,
            response=said.response,
        )
    return _checked(exchange, call)


def _with_model(request: JsonObject, model: str | None) -> JsonObject:
    return request if model is None or request.get("model") else {**request, "model": model}


def _exchange(call: Recorded, said: dialects.Translated, *, id: str, number: int) -> Exchange:
    response = said.response
    error = response.get("error") if response is not None else None
    failed = call.status >= 400 or bool(error)
    metadata = {key: value for key, value in call.metadata.items() if value not in (None, "", [], {})}
    if error:
        metadata.setdefault("error", error)
    return Exchange(
        id=id,
        created=call.created or _stated(response) or _EPOCH + timedelta(seconds=number),
        request=said.request,
        response=None if response is None or failed else _with_usage(response, call),
        status=500 if failed and call.status == 200 else call.status,
        endpoint=said.endpoint,
        latency_seconds=call.latency_seconds,
        cost_usd=call.cost_usd,
        cost_source=None if call.cost_usd is None else "recorded",
        incomplete=None if failed else call.incomplete,
        reference=call.reference,
        reference_kind=call.reference_kind or (None if call.reference is None else "label"),
        reference_correct=call.reference_correct,
        metadata=metadata,
    )


def _stated(response: JsonObject | None) -> datetime | None:
    """The time in the answer itself: Unix seconds, or Ollama's and Gemini's dates."""
    return moment(get(response, "created", "created_at", "createTime"))


def _with_usage(response: JsonObject, call: Recorded) -> JsonObject:
    if call.input_tokens is None or chat.usage_tokens(response) is not None:
        return response
    counted: JsonObject = {"prompt_tokens": call.input_tokens}
    if call.output_tokens is not None:
        counted |= {"completion_tokens": call.output_tokens, "total_tokens": call.input_tokens + call.output_tokens}
    return {**response, "usage": counted}


# ------------------------------------------------------------------------------------------------- the check


def _checked(exchange: Exchange, call: Recorded) -> Exchange | Lacking:
    missing = _unasked(exchange)
    if missing is not None:
        return Lacking(what="messages", reason=missing, next_step=call.next_step)
    if exchange.response is not None and exchange.is_whole and not _answered(exchange):
        kept = {**exchange.metadata, "response": exchange.response}
        exchange = replace(exchange, response=None, metadata=kept)
    if is_answered(exchange):
        cut = exchange.incomplete is None and (_is_cut(exchange.request) or _is_cut(exchange.response))
        return replace(exchange, incomplete=CUT) if cut else exchange
    reason = call.no_answer or "the log holds no answer"
    return replace(exchange, metadata={**exchange.metadata, NO_ANSWER: reason})


def _unasked(exchange: Exchange) -> str | None:
    """Why nothing was asked, as the end of a sentence; None: something was."""
    request = exchange.request
    if exchange.endpoint != CHAT_ENDPOINT:
        asked = any(request.get(key) for key in ("input", "inputs", "content", "messages", "prompt", "requests"))
        return None if asked or exchange.response is not None else "its request is empty"
    messages = chat.messages(request)
    if isinstance(request.get("prompt"), list) and not messages:
        return "it asks several prompts in one call"
    if not any(_says(message) for message in messages):
        return "its messages are empty" if "messages" in request else "it has no messages"
    texts = [content for m in messages if isinstance(content := m.get("content"), str)]
    if texts and all(_REDACTED.fullmatch(content) for content in texts):
        return "its messages were redacted"
    return None


def _says(message: JsonObject) -> bool:
    content = message.get("content")
    if isinstance(content, str):
        return bool(content.strip())
    return bool(content) or bool(message.get("tool_calls"))


def _answered(exchange: Exchange) -> bool:
    """Whether the answer says something; an empty text in a body of its own is an answer."""
    response = exchange.response
    if exchange.endpoint != CHAT_ENDPOINT:
        return bool(response)
    message = chat.answer_message(response) or {}
    says = any(message.get(key) for key in ("content", "tool_calls", "function_call", "refusal", "audio"))
    content = message.get("content")
    redacted = isinstance(content, str) and _REDACTED.fullmatch(content) is not None
    return (says or content == "") and not redacted


def is_answered(exchange: Exchange) -> bool:
    """Whether it says what came of the request: an answer, what would have been right, or a failure."""
    labelled = exchange.reference is not None and bool(exchange.reference.strip())
    return exchange.response is not None or labelled or exchange.status != 200


def _is_cut(body: JsonObject | None) -> bool:
    written = json_text.encode(body)  # one search of it all: hardly any body holds the word
    if b"runcated" not in written and b"RUNCATED" not in written:
        return False
    return any(_CUT_MARKS.search(text) for text in chat.strings(body) if "runcated" in text or "RUNCATED" in text)


def label(message: Any) -> str | None:
    """The right answer that an assistant's message states, as text or as calls."""
    if not isinstance(message, Mapping):
        return None
    return chat.answer_or_calls({"choices": [{"message": dict(message)}]})
