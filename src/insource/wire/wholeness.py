"""One judge of whether an answer is whole: what the log keeps of it, and why it may not count as an answer.

It reads bytes as an upstream sent them and trusts no header: a stream may come as JSON, JSON as text, and a captive
portal's page with status 200. Pure. The client's side is not decided here: in pass-through it gets the bytes as they
came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from insource.core.values import JsonObject
from insource.wire import json_text
from insource.wire.sse import assemble, parse

_STREAM_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What an answer came to."""

    response: JsonObject | None
    """The answer as one JSON object, as far as it can be read; a stream is put together. None: nothing was read."""
    flaw: str | None
    """Why it is not whole, as the end of a sentence; None: it is."""


def judge(endpoint: str, status: int, body: bytes) -> Judged:
    """Of a body that arrived to its end, decoded. `endpoint` is the request's path.

    An error status is no answer and has no flaw: the status says it.
    """
    if status != 200:
        return Judged(response=None, flaw=None)
    kind = endpoint.rstrip("/")
    rules = next((rules for end, rules in _RULES.items() if kind.endswith(end)), None)
    if not body.strip():
        return Judged(response=None, flaw=None if rules is None else "its body is empty")
    if body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_STREAM_STARTS):
        return _judge_stream(body, rules)
    value = _json(body)
    if rules is None:
        return Judged(response=value if isinstance(value, dict) else None, flaw=None)
    if not isinstance(value, dict):
        found = "not JSON" if value is _NOT_JSON else f"a JSON {type(value).__name__}, not an object"
        return Judged(response=None, flaw=f"its body is {found}")
    if value.get("error"):
        return Judged(response=value, flaw="it is an error")
    return Judged(response=value, flaw=rules.flaw(value))


# ----------------------------------------------------------------------------------------- one JSON object


def _chat_flaw(body: JsonObject) -> str | None:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return "it has no choices"
    if not choices:
        return "its list of choices is empty"
    return next((flaw for choice in choices if (flaw := _choice_flaw(choice)) is not None), None)


def _choice_flaw(choice: Any) -> str | None:
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return "a choice has no message"
    finish = choice.get("finish_reason")
    if finish == "error":
        return "its finish reason is an error"
    message: JsonObject = choice["message"]
    says = any(message.get(key) for key in ("content", "tool_calls", "function_call", "refusal", "audio"))
    if says or message.get("content") == "":
        return None
    return "a message has neither content nor a tool call"


def _completion_flaw(body: JsonObject) -> str | None:
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        return "it has no choices"
    if any(not isinstance(choice, dict) or not isinstance(choice.get("text"), str) for choice in choices):
        return "a choice has no text"
    return "its finish reason is an error" if any(c.get("finish_reason") == "error" for c in choices) else None


def _responses_flaw(body: JsonObject) -> str | None:
    status = body.get("status")
    if not isinstance(body.get("output"), list):
        return "it has no output"
    return None if status in (None, "completed", "incomplete") else f"its status is {str(status)[:40]!r}"


def _messages_flaw(body: JsonObject) -> str | None:
    if body.get("type") == "error":
        return "it is an error"
    return None if isinstance(body.get("content"), list) else "it has no content"


def _embeddings_flaw(body: JsonObject) -> str | None:
    return None if isinstance(body.get("data"), list) and body["data"] else "it has no data"


# ---------------------------------------------------------------------------------------------- streams


def _judge_stream(body: bytes, rules: _Rules | None) -> Judged:
    events = parse(body)
    chunks: list[JsonObject] = []
    for event in events:
        if event.data.strip() == "[DONE]":
            continue
        value = None if event.damaged else _json(event.data.encode("utf-8", "surrogatepass"))
        if not isinstance(value, dict):
            flaw = "an event is not valid UTF-8" if event.damaged else "an event is not a JSON object"
            return Judged(response=_put_together(chunks, rules), flaw=flaw)
        if value.get("error") or event.event == "error" or value.get("type") == "error":
            return Judged(response=_put_together(chunks, rules), flaw="an event is an error")
        chunks.append(value)
    if not chunks:
        return Judged(response=None, flaw="its stream holds no event")
    response = _put_together(chunks, rules)
    if rules is None:
        return Judged(response=response, flaw=None)
    return Judged(response=response, flaw=rules.stream_flaw(chunks, response or {}))


def _put_together(chunks: list[JsonObject], rules: _Rules | None) -> JsonObject | None:
    if not chunks or rules is None:
        return None
    return rules.put_together(chunks)


def _chat_stream_flaw(chunks: list[JsonObject], completion: JsonObject) -> str | None:
    choices: list[JsonObject] = completion.get("choices") or []
    if not choices:
        return "its stream holds no choice"
    if any(not choice.get("finish_reason") for choice in choices):
        return "its stream has no finish reason"
    return _chat_flaw(completion)


def _last_event(chunks: list[JsonObject], *names: str) -> JsonObject | None:
    return next((chunk for chunk in reversed(chunks) if chunk.get("type") in names), None)


def _responses_stream(chunks: list[JsonObject]) -> JsonObject | None:
    """The event that ends a stream of the Responses API holds the whole response."""
    last = _last_event(chunks, "response.completed", "response.incomplete", "response.failed")
    response = last.get("response") if last is not None else None
    return response if isinstance(response, dict) else None


def _responses_stream_flaw(chunks: list[JsonObject], response: JsonObject) -> str | None:
    if _last_event(chunks, "response.failed") is not None:
        return "its status is 'failed'"
    return None if response else "its stream has no end"


def _messages_stream(chunks: list[JsonObject]) -> JsonObject | None:
    """Anthropic's events: a message, blocks that grow, a delta with the stop reason and the usage."""
    start = _last_event(chunks, "message_start")
    begun = start.get("message") if start is not None else None
    message: JsonObject = dict(begun) if isinstance(begun, dict) else {}
    blocks: dict[int, JsonObject] = {}
    for chunk in chunks:
        index, kind = chunk.get("index"), chunk.get("type")
        if kind == "content_block_start" and isinstance(index, int) and isinstance(chunk.get("content_block"), dict):
            blocks[index] = dict(chunk["content_block"])
        elif kind == "content_block_delta" and index in blocks and isinstance(chunk.get("delta"), dict):
            _grow(blocks[index], chunk["delta"])
        elif kind == "message_delta":
            message |= chunk["delta"] if isinstance(chunk.get("delta"), dict) else {}
            usage = {**(message.get("usage") or {}), **(chunk.get("usage") or {})}
            message |= {"usage": usage} if usage else {}
    return {**message, "content": [blocks[index] for index in sorted(blocks)]} if message else None


def _grow(block: JsonObject, delta: JsonObject) -> None:
    for key, into in (("text", "text"), ("partial_json", "partial_json"), ("thinking", "thinking")):
        if isinstance(delta.get(key), str):
            block[into] = str(block.get(into) or "") + delta[key]


def _messages_stream_flaw(chunks: list[JsonObject], message: JsonObject) -> str | None:
    return None if _last_event(chunks, "message_stop") is not None else "its stream has no end"


def _completion_stream(chunks: list[JsonObject]) -> JsonObject | None:
    """Text chunks joined by choice, in the shape of a whole completion."""
    texts: dict[int, JsonObject] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            if isinstance(choice, dict):
                index = choice.get("index")
                held = texts.setdefault(index if isinstance(index, int) else 0, {"text": ""})
                held["text"] += str(choice.get("text") or "")
                held |= {key: value for key, value in choice.items() if key != "text" and value is not None}
    return {**chunks[-1], "choices": [texts[index] for index in sorted(texts)]}


def _completion_stream_flaw(chunks: list[JsonObject], completion: JsonObject) -> str | None:
    choices: list[JsonObject] = completion.get("choices") or []
    if not choices or any(not choice.get("finish_reason") for choice in choices):
        return "its stream has no finish reason"
    return _completion_flaw(completion)


def _never(chunks: list[JsonObject], response: JsonObject) -> str | None:
    return "it is a stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What makes an answer of one endpoint whole."""

    flaw: Callable[[JsonObject], str | None]
    put_together: Callable[[list[JsonObject]], JsonObject | None]
    stream_flaw: Callable[[list[JsonObject], JsonObject], str | None]


_RULES: Mapping[str, _Rules] = {
    "/chat/completions": _Rules(flaw=_chat_flaw, put_together=assemble, stream_flaw=_chat_stream_flaw),
    "/completions": _Rules(flaw=_completion_flaw, put_together=_completion_stream, stream_flaw=_completion_stream_flaw),
    "/responses": _Rules(flaw=_responses_flaw, put_together=_responses_stream, stream_flaw=_responses_stream_flaw),
    "/messages": _Rules(flaw=_messages_flaw, put_together=_messages_stream, stream_flaw=_messages_stream_flaw),
    "/embeddings": _Rules(flaw=_embeddings_flaw, put_together=lambda chunks: None, stream_flaw=_never),
}
"""By the end of the path. Of every other endpoint only the status and the transport are judged."""

_NOT_JSON = object()


def _json(data: bytes) -> Any:
    """The value, or _NOT_JSON."""
    try:
        return json_text.decode(data)
    except ValueError:
        return _NOT_JSON
