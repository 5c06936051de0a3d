"""What a sample log is, and what a reader must find in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

RULES = "Sort the parcel complaint. Answer with late or broken."
ASKED = "The box came in two halves"
SAID = "broken"
SECONDS = 1_790_000_000
CREATED = datetime.fromtimestamp(SECONDS, UTC)
ISO = CREATED.isoformat().replace("+00:00", "Z")
MODEL = "gpt-4o-mini"
SPENT: dict[str, Any] = {
    "request_id": "r1",
    "call_type": "acompletion",
    "spend": 0.002,
    "prompt_tokens": 30,
    "completion_tokens": 2,
    "startTime": ISO,
    "endTime": ISO,
    "model": MODEL,
}
"""What every row of LiteLLM's spend log states."""
MESSAGES: tuple[dict[str, Any], ...] = ({"role": "system", "content": RULES}, {"role": "user", "content": ASKED})
CALLS = '[{"arguments":{"city":"Quito"},"name":"weather"}]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Of the sample's first exchange. None: not stated by the log."""

    asked: str = ASKED
    """The last user message."""
    rules: str = RULES
    """The system prompt."""
    answer: str | None = SAID
    label: str | None = None
    correct: bool | None = None
    created: datetime | None = CREATED
    tokens: tuple[int, int] | None = (30, 2)
    cost_usd: float | None = None
    """As recorded."""
    latency_seconds: float | None = None
    model: str | None = MODEL
    status: int = 200
    count: int = 1
    format: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """Some of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    name: str
    files: tuple[bytes, ...]
    wanted: Wanted | str
    """A text: the file is refused, and that is in the sentence."""


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()


def chat_body(**others: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": list(MESSAGES), **others}


def chat_answer(text: str | None = SAID, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": SECONDS,
        "model": MODEL,
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32},
    }


def anthropic_body(**others: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": [{"type": "text", "text": ASKED}]}]
    return {"model": "claude-sonnet-4-5", "max_tokens": 9, "system": RULES, "messages": said, **others}


def anthropic_answer(*content: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": list(content) or [{"type": "text", "text": SAID}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 10, "output_tokens": 2},
    }


def csv(*rows: Iterable[Any], delimiter: str = ",") -> bytes:
    def cell(value: Any) -> str:
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        return '"' + text.replace('"', '""') + '"'

    return "".join(delimiter.join(cell(value) for value in row) + "\n" for row in rows).encode()


def attributes(**named: Any) -> list[dict[str, Any]]:
    """OTLP's list; `__` stands for a dot."""
    return [{"key": key.replace("__", "."), "value": _any_value(value)} for key, value in named.items()]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def span(*, events: Any = (), **named: Any) -> bytes:
    one = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat",
        "startTimeUnixNano": str(SECONDS * 10**9),
        "endTimeUnixNano": str(SECONDS * 10**9 + 1_500_000_000),
        "attributes": attributes(**named),
        "events": list(events),
        "status": {},
    }
    return lines({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [one]}]}]})
