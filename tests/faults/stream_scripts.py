"""Faults of streams: as scripts.py."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

from tests.faults.scripts import HTML, JSON_TYPE, TEXT, Fault, Spend, answer, chunked, error
from tests.faults.upstream import End, Script

SSE = ("Content-Type: text/event-stream",)
DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return json.dumps(body).encode()


def event(data: bytes, end: bytes = b"\n\n") -> bytes:
    return b"data: " + data + end


ROLE = event(chunk({"role": "assistant", "content": ""}))
WORDS = [event(chunk({"content": word + " "})) for word in TEXT.split()]
FINISH = event(chunk({}, "stop"))
USAGE = event(
    json.dumps({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}}).encode()
)
WHOLE = b"".join([ROLE, *WORDS, FINISH])
SAYS_DONE = event(chunk({"content": "It ends with data: [DONE]"}))
BIG = event(chunk({"content": "y" * 5_000_000}))


def _play(*pieces: bytes, headers: tuple[str, ...] = SSE) -> Script:
    """Each piece in a chunk of its own."""
    return (chunked(*pieces, headers=headers),)


def _good(*pieces: bytes, spend: Spend = "estimated", headers: tuple[str, ...] = SSE) -> Fault:
    return Fault(script=_play(*pieces, headers=headers), whole=True, spend=spend, stream=True)


def _broken(*pieces: bytes, spend: Spend = "estimated", headers: tuple[str, ...] = SSE) -> Fault:
    return Fault(script=_play(*pieces, headers=headers), whole=False, spend=spend, stream=True)


def _cut(*pieces: bytes, how: End = End.CLOSE, spend: Spend = "estimated") -> Fault:
    script = (chunked(*pieces, headers=SSE, end=b""), how)
    return Fault(script=script, whole=False, spend=spend, stream=True)


def _lines(end: str) -> bytes:
    return (WHOLE + DONE).replace(b"\n", end.encode())


OVERLOADED = {"error": {"message": "overloaded", "code": 529}}
STREAMS: Mapping[str, Fault] = {
    "good, with LF": _good(WHOLE, USAGE, DONE, spend="counted"),
    "good, with CRLF": _good(_lines("\r\n")),
    "good, with CR": _good(_lines("\r")),
    "good, with comments": _good(b": hello\n\n", WHOLE, b": still here\n\n", DONE),
    "good, no space after data:": _good((WHOLE + DONE).replace(b"data: ", b"data:")),
    "good, with a usage chunk": _good(WHOLE, USAGE, DONE, spend="counted"),
    "429 as JSON": Fault(script=(error("429 Too Many Requests"),), whole=False, spend="none", stream=True, status=429),
    "cut early": _cut(ROLE, spend="none"),
    "cut late": _cut(ROLE, *WORDS),
    "cut inside an event": _cut(ROLE, WORDS[0], WORDS[1][:20]),
    "reset late": _cut(ROLE, *WORDS, how=End.RESET),
    "clean end without [DONE] and without a finish reason": _broken(ROLE, *WORDS),
    "clean end after the role only": _broken(ROLE, spend="none"),
    "no event at all": Fault(script=(answer(b"", headers=SSE),), whole=False, spend="none", stream=True),
    "finish reason and then a cut": _cut(WHOLE),
    "[DONE] twice": _good(WHOLE, DONE, DONE),
    "[DONE] missing after a finish reason": _good(WHOLE),
    "[DONE] without a finish reason": _broken(ROLE, *WORDS, DONE),
    "an answer whose text holds [DONE]": _good(ROLE, SAYS_DONE, FINISH, DONE),
    "cut right after a text that holds [DONE]": _cut(ROLE, SAYS_DONE),
    "error event in the middle": _broken(ROLE, *WORDS, event(json.dumps(OVERLOADED).encode())),
    "error event with a name": _broken(
        ROLE, *WORDS, b"event: error\n" + event(json.dumps({"message": "overloaded"}).encode())
    ),
    "error event as a string": _broken(ROLE, *WORDS, event(b'{"error": "overloaded"}')),
    "error event as the first event": _broken(event(json.dumps(OVERLOADED).encode()), spend="none"),
    "error event followed by [DONE]": _broken(ROLE, *WORDS, event(json.dumps(OVERLOADED).encode()), DONE),
    "finish reason error": _broken(ROLE, *WORDS, event(chunk({}, "error")), DONE),
    "invalid UTF-8 in an event": _broken(
        ROLE, event(chunk({"content": "Paris"}).replace(b"Paris", b"Par\xff")), FINISH, DONE, spend="none"
    ),
    "an event that is not JSON": _broken(ROLE, WORDS[0], b"data: {broken\n\n", FINISH, DONE),
    "no blank line between events": _broken((WHOLE + DONE).replace(b"\n\n", b"\n") + b"\n", spend="none"),
    "stall in the middle": Fault(
        script=(chunked(ROLE, *WORDS, headers=SSE, end=b""), 30.0), whole=False, spend="estimated", stream=True
    ),
    "first event after a while": Fault(
        script=(answer(b"", headers=SSE, length=None), 0.6, WHOLE + DONE, End.CLOSE),
        whole=True,
        spend="estimated",
        stream=True,
    ),
    "gzip": _good(gzip.compress(WHOLE + DONE), headers=(*SSE, "Content-Encoding: gzip")),
    "trailers": Fault(
        script=(chunked(WHOLE, DONE, headers=SSE, end=b"0\r\nX-Sum: 1\r\n\r\n"),),
        whole=True,
        spend="estimated",
        stream=True,
    ),
    "one event of 5 MB": _good(ROLE, BIG, FINISH, DONE),
    "right events under application/json": _good(WHOLE, DONE, headers=JSON_TYPE),
    "cut ones under text/plain": _broken(ROLE, *WORDS, headers=("Content-Type: text/plain",)),
    "HTML instead of events": Fault(script=(answer(HTML, headers=SSE),), whole=False, spend="none", stream=True),
    "usage missing": _good(WHOLE, DONE),
}
