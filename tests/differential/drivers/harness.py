"""What the drivers share: the calls' material, and playing them one after the other.

Each driver prints one JSON line per call and then waits for a line on its standard input, so that whoever runs it can
tell which requests belong to which call; with nothing to read (`< /dev/null`) it goes straight on. Runs in the
environment of a foreign client: standard library only.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import sys
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import Any

Call = Callable[[], Any]

QUESTION = "What is the capital of France? «Où» 🗼"
PRIVATE = "Write to Ada Lovelace <ada.lovelace@example.com>, card 4111 1111 1111 1111, phone +44 20 7946 0958."
LONG = "The quick brown fox jumps over the lazy dog. " * 4500
"""200 kB."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}
TOOL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00" + (
    b"\x02\x00\x10\x00data" + b"\x00\x00\x00\x00" + bytes(range(256)) * 40
)
LINES = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n' * 3
FAULTS = ("429", "429 once", "500", "500 once", "400", "html", "cut", "stall", "no answer", "no answer once")
"""Of an answer that is not streamed."""
STREAM_FAULTS = ("429", "500", "html", "cut", "reset", "error event", "stall midway", "no answer")

IMPATIENT_SECONDS = 2.0
"""The clients' own time-out where the upstream stalls."""


def base_url() -> str:
    return sys.argv[1]


def picture_url(*, padding_bytes: int = 0) -> str:
    """`padding_bytes`: makes it large; the mock does not look at it."""
    return "data:image/png;base64," + base64.b64encode(PICTURE + b"\0" * padding_bytes).decode()


def faulty(name: str) -> str:
    return f"{QUESTION} [[fault: {name}]]"


def play(calls: Mapping[str, Call]) -> None:
    """Only those whose name holds the second argument, where there is one."""
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    out, sys.stdout = sys.stdout, sys.stderr  # some clients print
    for name, call in calls.items():
        if wanted not in name:
            continue
        outcome = outcome_of(call)
        out.write(json.dumps({"call": name, "outcome": outcome}) + "\n")
        out.flush()
        sys.stdin.readline()


def outcome_of(call: Call) -> dict[str, Any]:
    try:
        return {"value": plain(call())}
    except Exception as error:
        return raised(error)


def collected(items: Iterable[Any]) -> list[Any]:
    """The items of a stream in their order, and what ended it where that is an error."""
    found: list[Any] = []
    try:
        found.extend(plain(item) for item in items)
    except Exception as error:
        return [*found, raised(error)]
    return found


async def acollected(items: AsyncIterable[Any]) -> list[Any]:
    found: list[Any] = []
    try:
        async for item in items:
            found.append(plain(item))
    except Exception as error:
        return [*found, raised(error)]
    return found


_RUNNER = asyncio.Runner()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """All on one event loop, because clients keep the connections of theirs."""
    return _RUNNER.run(work)


def raised(error: BaseException) -> dict[str, Any]:
    """What an application can see of an exception."""
    kind = type(error)
    told: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}", "message": str(error)}
    for name in ("status_code", "code", "type", "param", "body", "request_id"):
        if getattr(error, name, None) is not None:
            told[name] = plain(getattr(error, name))
    response = getattr(error, "response", None)
    if response is not None and hasattr(response, "headers"):
        told["headers"] = shown_headers(response.headers)
    cause = error.__cause__
    if cause is not None:
        told["cause"] = {"class": f"{type(cause).__module__}.{type(cause).__qualname__}", "message": str(cause)}
    return {"raised": told}


NEVER_COMPARED = frozenset({"connection", "keep-alive", "transfer-encoding", "set-cookie"})
"""Headers of a connection, and cookies, which stay behind at the gateway."""


def shown_headers(headers: Any) -> list[list[str]]:
    """Those of the message, in their order; `headers` has the shape of httpx's."""
    pairs = headers.multi_items() if hasattr(headers, "multi_items") else headers.items()
    return [
        [name.lower(), value]
        for name, value in pairs
        if name.lower() not in NEVER_COMPARED and not name.lower().startswith("x-insource-")
    ]


def plain(value: Any) -> Any:
    """As JSON; long bytes as their length and digest."""
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json", warnings=False))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
