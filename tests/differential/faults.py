"""How the mock spoils an answer. A prompt that holds `[[fault: NAME]]` asks for one, so that a client needs no option
for it; every fault works on the answers of every endpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from tests.differential.answers import Answer, error_answer
from tests.faults.scripts import HTML, HTML_TYPE, answer, chunked, error
from tests.faults.upstream import End, Script

_NAMED = re.compile(rb"\[\[fault: ([a-z0-9 -]+)\]\]")
_STALL_SECONDS = 20.0
"""Longer than any client here waits."""
_COMMON = (
    "x-request-id: req_1",
    "openai-processing-ms: 7",
    "x-ratelimit-remaining-requests: 99",
    "x-twice: 1",
    "x-twice: 2",
    "set-cookie: provider=1; path=/",
)


def whole(found: Answer) -> Script:
    headers = (f"Content-Type: {found.content_type}", *found.headers, *_COMMON)
    if found.streamed:
        return (chunked(*found.pieces, headers=headers),)
    return (answer(b"".join(found.pieces), status=found.status, headers=headers),)


def _half(found: Answer) -> Script:
    """The beginning of an answer whose end never comes."""
    headers = (f"Content-Type: {found.content_type}", *found.headers, *_COMMON)
    if found.streamed:
        return (chunked(*found.pieces[: len(found.pieces) // 2], headers=headers, end=b""),)
    body = b"".join(found.pieces)
    return (answer(body[: len(body) // 2], length=len(body), headers=headers),)


def _error_event(found: Answer) -> Script:
    half = found.pieces[: len(found.pieces) // 2]
    while half and not half[-1].endswith(b"\n\n"):
        half = half[:-1]
    message = {"type": "server_error", "code": "overloaded", "message": "The model is overloaded.", "param": None}
    if b"event: response." in b"".join(half):
        event = b"event: error\ndata: " + json.dumps({**message, "type": "error", "sequence_number": 99}).encode()
    else:
        event = b"data: " + json.dumps({"error": message}).encode()
    headers = (f"Content-Type: {found.content_type}", *_COMMON)
    return (chunked(*half, event + b"\n\n", headers=headers),)


_FAULTS: Mapping[str, Callable[[Answer], Script]] = {
    "429": lambda _: (error("429 Too Many Requests", "Retry-After: 1", *_COMMON),),
    "500": lambda _: (error("500 Internal Server Error", *_COMMON),),
    "400": lambda _: whole(error_answer("400 Bad Request", "The model 'gpt-4o' does not know this parameter.")),
    "html": lambda _: (answer(HTML, headers=HTML_TYPE),),
    "cut": lambda found: (*_half(found), End.CLOSE),
    "reset": lambda found: (*_half(found), End.RESET),
    "stall": lambda _: (_STALL_SECONDS,),
    "stall midway": lambda found: (*_half(found), _STALL_SECONDS),
    "error event": _error_event,
    "no answer": lambda _: (End.CLOSE,),
}
_ONCE: Mapping[str, str] = {"429 once": "429", "500 once": "500", "cut once": "cut", "no answer once": "no answer"}
"""Faults of the first try; the second gets its answer."""


def script_of(body: bytes, found: Answer, *, earlier: int) -> Script:
    """`earlier`: how often the same request came before."""
    named = _NAMED.search(body)
    if named is None:
        return whole(found)
    name = named[1].decode()
    if name in _ONCE:
        return whole(found) if earlier else _FAULTS[_ONCE[name]](found)
    return _FAULTS[name](found)
