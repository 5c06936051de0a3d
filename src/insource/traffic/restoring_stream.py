"""The user's own values in a stream of server-sent events: chat, completions, Responses and Anthropic, cut anywhere.

A piece of text that may be the beginning of a placeholder waits for the next piece of the same text. What still waits
when a text ends goes out before the event that ends it. Events without a text of the model pass as they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.restoring import JSON_KEYS, SIGNED, Form, Restored, TextRestorer, restore_json
from insource.wire import json_text

_BLANK = re.compile(rb"\r?\n\r?\n|\r\r")
_NAMES = frozenset({"role", "id", "type", "name", "index", "data", "logprobs", "finish_reason"}) | SIGNED
"""Keys of a delta whose strings are no pieces of a text."""
_BYTES = ("audio.delta", "partial_image")
"""Ends of event types whose `delta` is encoded bytes."""

Channel = tuple[Any, ...]
"""Names one text of a stream."""


@dataclass(slots=True)
class _Open:
    """A text that has not ended."""

    restorer: TextRestorer
    event: Callable[[str], JsonObject]
    """The event that carries so much more of it."""


@dataclass(slots=True)
class StreamRestorer:
    """Feed it bytes as they come."""

    restored: Restored
    found: Callable[[JsonObject], None] = lambda value: None
    """Sees every event that is a JSON object, as it came."""
    _tail: bytes = b""
    _texts: dict[Channel, _Open] = field(default_factory=dict[Channel, _Open])
    _added: int = 0
    """Events that the provider did not send: sequence numbers move on by so many."""
    _number: int = -1
    """The provider's number of the event that is being read."""

    def feed(self, chunk: bytes) -> bytes:
        data = self._tail + chunk
        out: list[bytes] = []
        at = 0
        for blank in _BLANK.finditer(data):
            out.append(self._event(data[at : blank.start()], blank.group()))
            at = blank.end()
        self._tail = data[at:]
        return b"".join(out)

    def end(self) -> bytes:
        """What waits, where the stream ended without an end; and a comment where something could not be restored."""
        rest, self._tail = self._tail, b""
        last = self._event(rest, b"") if rest else b""
        self._number += 1
        waiting = b"".join(map(_written, self._flush(lambda channel: True)))
        lost = len(self.restored.lost)
        return last + waiting + (f": insource: {lost} placeholders not restored\n\n".encode() if lost else b"")

    def _event(self, block: bytes, blank: bytes) -> bytes:
        lines = block.splitlines()
        pieces = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        data = b"\n".join(pieces)
        if data.strip() == b"[DONE]":
            return b"".join(map(_written, self._flush(lambda channel: True))) + block + blank
        try:
            value = json_text.decode(data)
        except ValueError:
            return block + blank
        if not isinstance(value, dict):
            return block + blank
        self.found(value)
        number = value.get("sequence_number")
        self._number = number if isinstance(number, int) else self._number
        before, shown = self._restore(value)
        shown = self._renumbered(shown)
        if shown == value and not before:
            return block + blank
        others = [line for line in lines if not line.startswith(b"data:")]
        own = [*others, b"data: " + json_text.encode(shown)]
        return b"".join([*map(_written, before), b"\n".join(own) + b"\n\n"])

    def _restore(self, value: JsonObject) -> tuple[list[JsonObject], JsonObject]:
        """Events to send before it, and it."""
        kind = str(value.get("type") or "")
        if isinstance(value.get("choices"), list):
            return [], self._chat(value)
        if kind == "content_block_delta" and isinstance(value.get("delta"), dict):
            return [], self._block_delta(value)
        if kind == "content_block_stop":
            return list(self._flush(lambda channel: channel[:2] == ("block", value.get("index")))), value
        if kind.endswith(".delta") and isinstance(value.get("delta"), str) and not kind.endswith(_BYTES):
            return [], self._item_delta(value, kind.removesuffix(".delta"))
        before: list[JsonObject] = []
        if kind.endswith(".done"):
            before = list(self._flush(lambda channel: channel[:5] == _item(value, kind.removesuffix(".done"))))
        return before, restore_json(value, self.restored)

    # ------------------------------------------------------------------------------------- chat and completions

    def _chat(self, chunk: JsonObject) -> JsonObject:
        head = {key: value for key, value in chunk.items() if key != "usage"}
        return {**chunk, "choices": [self._choice(choice, head) for choice in chunk["choices"]]}

    def _choice(self, choice: Any, head: JsonObject) -> Any:
        if not isinstance(choice, dict):
            return choice
        index = choice.get("index", 0)
        shown = dict(choice)
        for key in ("delta", "text"):
            if key in choice:
                shown[key] = self._walk(choice[key], ("choice", index, key), head)
        if choice.get("finish_reason"):
            for channel in [each for each in self._texts if each[:2] == ("choice", index)]:
                rest = self._texts.pop(channel).restorer.feed("", last=True)
                shown = _joined(shown, _nested(channel[2:], rest)) if rest else shown
        return shown

    def _walk(self, value: Any, channel: Channel, head: JsonObject) -> Any:
        if isinstance(value, str):
            return self._feed(channel, value, lambda text: _chunk(head, channel[1], channel[2:], text=text))
        if isinstance(value, dict):
            return {
                key: inner if key in _NAMES else self._walk(inner, (*channel, key), head)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self._walk(inner, (*channel, _place(inner, at)), head) for at, inner in enumerate(value)]
        return value

    # ----------------------------------------------------------------------------------- Anthropic and Responses

    def _block_delta(self, event: JsonObject) -> JsonObject:
        delta: JsonObject = event["delta"]
        shown = dict(delta)
        for key in ("text", "partial_json"):
            if isinstance(delta.get(key), str):

                def more(text: str, key: str = key) -> JsonObject:
                    return {**event, "delta": {**delta, key: text}}

                shown[key] = self._feed(("block", event.get("index"), key), delta[key], more)
        return {**event, "delta": shown}

    def _item_delta(self, event: JsonObject, kind: str) -> JsonObject:
        def more(text: str) -> JsonObject:
            return {**event, "delta": text}

        key = "arguments" if kind.endswith("arguments") else ""
        return more(self._feed((*_item(event, kind), *([key] if key else [])), event["delta"], more))

    # ------------------------------------------------------------------------------------------------- the texts

    def _feed(self, channel: Channel, piece: str, event: Callable[[str], JsonObject]) -> str:
        text = self._texts.get(channel)
        if text is None:
            form: Form = "json" if channel[-1] in JSON_KEYS else "unknown"
            text = self._texts[channel] = _Open(TextRestorer(self.restored, form=form), event)
        text.event = event
        return text.restorer.feed(piece)

    def _flush(self, ended: Callable[[Channel], bool]) -> Iterator[JsonObject]:
        for channel in [each for each in self._texts if ended(each)]:
            text = self._texts.pop(channel)
            rest = text.restorer.feed("", last=True)
            if rest:
                yield self._renumbered(text.event(rest))
                self._added += 1

    def _renumbered(self, event: JsonObject) -> JsonObject:
        """With its number among all that were sent."""
        return {**event, "sequence_number": self._number + self._added} if "sequence_number" in event else event


def _item(event: JsonObject, kind: str) -> Channel:
    return (kind, *(event.get(key) for key in ("item_id", "output_index", "content_index", "summary_index")))


def _place(item: Any, at: int) -> int:
    """Of an item in a list of pieces: tool calls state it."""
    index = item.get("index") if isinstance(item, dict) else None
    return index if isinstance(index, int) else at


def _nested(path: Channel, text: str) -> Any:
    """A delta that holds one text at its place."""
    if not path:
        return text
    key, inner = path[0], _nested(path[1:], text)
    return [{"index": key, **inner} if isinstance(inner, dict) else inner] if isinstance(key, int) else {key: inner}


def _chunk(head: JsonObject, index: Any, path: Channel, *, text: str) -> JsonObject:
    return {**head, "choices": [{"index": index, **_nested(path, text), "finish_reason": None}]}


def _joined(first: Any, then: Any) -> Any:
    """Two deltas as one."""
    if first is None:
        return then
    if isinstance(first, str) and isinstance(then, str):
        return first + then
    if isinstance(first, dict) and isinstance(then, dict):
        return {**first, **{key: _joined(first.get(key), value) for key, value in then.items()}}
    return [*first, *then] if isinstance(first, list) and isinstance(then, list) else first


def _written(event: Mapping[str, Any]) -> bytes:
    """Anthropic and Responses name the event's type once more before it."""
    name = f"event: {event['type']}\n".encode() if isinstance(event.get("type"), str) else b""
    return name + b"data: " + json_text.encode(event) + b"\n\n"
