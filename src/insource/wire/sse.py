"""Server-sent events: reading them however the bytes are split, writing them, and chat streams as completions.

The grammar is WHATWG HTML §9.2.6: lines end in LF, CRLF or CR; a blank line dispatches; what stands after the
last blank line is an incomplete event and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from insource.core.values import JsonObject

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    data: str
    event: str = ""
    """The event's type; "" when the stream gave none."""
    damaged: bool = False
    """Its bytes are not valid UTF-8; what could not be read is U+FFFD in `data`."""


class Parser:
    """Feed it bytes as they come; it gives the events that they complete."""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._after_cr = False
        self._first_line = True
        self._data: list[str] = []
        self._event = ""
        self._damaged = False

    def feed(self, chunk: bytes) -> list[Event]:
        if self._after_cr and chunk:
            # The CR has already ended its line; an LF that follows it belongs to the same line end.
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        lines = chunk.splitlines()
        whole = chunk.endswith((b"\n", b"\r"))
        self._after_cr = chunk.endswith(b"\r")
        events: list[Event] = []
        for number, line in enumerate(lines):
            if number == len(lines) - 1 and not whole:
                self._tail += line
                break
            if self._tail:
                line = bytes(self._tail) + line
                self._tail.clear()
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _line(self, line: bytes) -> Event | None:
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            data = "\n".join(self._data)
            event = Event(data=data, event=self._event, damaged=self._damaged) if self._data else None
            self._data, self._event, self._damaged = [], "", False
            return event
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text, self._damaged = value.decode("utf-8", "replace"), True
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._event = text
        return None


def parse(data: bytes) -> list[Event]:
    return Parser().feed(data)


def format_event(body: JsonObject) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


# ------------------------------------------------------------------------------------- chunks to completion


_SET_ONCE = frozenset({"role", "id", "type", "name", "index"})
"""Strings that name something; all other strings of a delta are pieces to be joined."""

_MOST_ITEMS = 1024
"""Tool calls in one message; an index above it is a stranger's attempt at our memory."""


class _Text(list[str]):
    """Pieces of one string, joined once at the end: long streams must not cost the square of their length."""


def assemble(chunks: Iterable[JsonObject]) -> JsonObject:
    """One `chat.completion` out of `chat.completion.chunk`s, with the unknown fields of both."""
    completion: JsonObject = {}
    choices: dict[int, JsonObject] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key == "choices":
                for choice in value if isinstance(value, list) else ():
                    if isinstance(choice, dict):
                        _add_choice(choices, choice)
            elif value is not None or key not in completion:
                completion[key] = value
    completion["object"] = "chat.completion"
    completion["choices"] = [_joined(choices[index]) for index in sorted(choices)]
    if completion.get("usage", 0) is None:
        del completion["usage"]  # `include_usage` writes null into every chunk but the last
    return completion


def _add_choice(choices: dict[int, JsonObject], piece: JsonObject) -> None:
    index = piece.get("index")
    index = index if isinstance(index, int) else 0
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
    for key, value in piece.items():
        if key == "delta":
            if isinstance(value, dict):
                _add_delta(choice["message"], value)
        elif key == "logprobs":
            _add_logprobs(choice, value)
        elif key != "index" and (value is not None or key not in choice):
            choice[key] = value


def _add_delta(into: JsonObject, delta: JsonObject) -> None:
    for key, value in delta.items():
        old = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, str) and key not in _SET_ONCE:
            if not isinstance(old, _Text):
                old = into[key] = _Text()
            old.append(value)
        elif isinstance(value, list):
            into[key] = _add_items(old if isinstance(old, list) else [], value)
        elif isinstance(value, dict):
            merged: JsonObject = dict(old) if isinstance(old, dict) else {}
            _add_delta(merged, value)
            into[key] = merged
        elif value != "" or old is None:
            into[key] = value


def _add_items(old: list[Any], new: list[Any]) -> list[Any]:
    """Items with an `index` (tool calls) are joined by it; others are appended."""
    items = list(old)
    for item in new:
        index = item.get("index") if isinstance(item, dict) else None
        if not isinstance(index, int):
            items.append(item)
            continue
        while len(items) <= index < _MOST_ITEMS:
            items.append({})
        if 0 <= index < len(items) and isinstance(items[index], dict):
            _add_delta(items[index], {key: value for key, value in item.items() if key != "index"})
    return items


def _add_logprobs(choice: JsonObject, value: Any) -> None:
    if not isinstance(value, dict):
        choice.setdefault("logprobs", None)
        return
    merged: JsonObject = choice.get("logprobs") or {}
    for key, part in value.items():
        if isinstance(part, list):
            merged.setdefault(key, [])
        if isinstance(part, list) and isinstance(merged[key], list):
            merged[key].extend(part)
        elif part is not None or key not in merged:
            merged[key] = part
    choice["logprobs"] = merged


def _joined(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    return [_joined(item) for item in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------- completion to chunks


def completion_to_sse(completion: JsonObject, *, include_usage: bool) -> Iterator[bytes]:
    """The stream that a client who asked for one gets for a finished answer. `assemble` gives it back."""
    head = {key: value for key, value in completion.items() if key not in ("choices", "usage", "object")}
    head["object"] = "chat.completion.chunk"
    choices: list[JsonObject] = completion.get("choices") or []
    extra: JsonObject = {"usage": None} if include_usage else {}
    for choice in choices:
        delta = dict(choice.get("message") or {})
        if delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(delta["tool_calls"])]
        rest = {k: v for k, v in choice.items() if k not in ("message", "finish_reason")}
        yield format_event({**head, "choices": [{**rest, "delta": delta, "finish_reason": None}], **extra})
        last = {"index": choice.get("index", 0), "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield format_event({**head, "choices": [last], **extra})
    if include_usage:
        yield format_event({**head, "choices": [], "usage": completion.get("usage")})
    yield DONE
