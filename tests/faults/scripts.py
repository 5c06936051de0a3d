"""The faults of an upstream, one script each, with what must become of the exchange in the log.

`whole` says whether the answer is one: only then may it be shown, priced and compared as an answer. `spend` is what the
log may say that it cost: counted tokens, estimated ones, or nothing known.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import brotli

from insource.wire.zstd import zstd
from tests.faults.upstream import End, Script

Spend = Literal["counted", "estimated", "none"]
TEXT = "Paris is the capital of France."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    script: Script
    whole: bool
    spend: Spend
    stream: bool = False
    """The client asks for a stream."""
    status: int = 200
    """In the log."""


def completion(**choice: Any) -> dict[str, Any]:
    message = choice.pop("message", {"role": "assistant", "content": TEXT})
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
    }


GOOD = json.dumps(completion()).encode()
NO_USAGE = json.dumps({key: value for key, value in completion().items() if key != "usage"}).encode()


def answer(
    body: bytes,
    *,
    status: str = "200 OK",
    headers: tuple[str, ...] = ("Content-Type: application/json",),
    length: int | None = -1,
    version: str = "HTTP/1.1",
) -> bytes:
    """`length` -1: that of the body; None: not stated."""
    lines = [f"{version} {status}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes, headers: tuple[str, ...], end: bytes = b"0\r\n\r\n") -> bytes:
    head = answer(b"", headers=(*headers, "Transfer-Encoding: chunked"), length=None)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def error(status: str, *headers: str) -> bytes:
    body = json.dumps({"error": {"message": "no", "type": "x", "code": None, "param": None}}).encode()
    return answer(body, status=status, headers=("Content-Type: application/json", *headers))


HTML = b"<!doctype html><html><body>Please log in to the hotel's network.</body></html>"
JSON_TYPE = ("Content-Type: application/json",)
HTML_TYPE = ("Content-Type: text/html",)
HALF = GOOD[: len(GOOD) // 2]
LONG = json.dumps(completion(message={"role": "assistant", "content": "x" * 50_000_000})).encode()


def ok(body: bytes, **more: Any) -> Script:
    return (answer(body, **more),)


def good(script: Script, spend: Spend = "counted") -> Fault:
    return Fault(script=script, whole=True, spend=spend)


def broken(script: Script, spend: Spend = "none", **more: Any) -> Fault:
    return Fault(script=script, whole=False, spend=spend, **more)


def refused(status: str, *headers: str) -> Fault:
    return Fault(script=(error(status, *headers),), whole=False, spend="none", status=int(status.split()[0]))


def none(script: Script) -> Fault:
    """No answer at all."""
    return Fault(script=script, whole=False, spend="none", status=502)


STATUSES = (
    *("400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "408 Request Timeout"),
    *("413 Content Too Large", "422 Unprocessable Content", "429 Too Many Requests", "500 Internal Server Error"),
    *("502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "529 Overloaded"),
)
WHOLE_ANSWERS: Mapping[str, Fault] = {
    "reset before the headers": none((End.RESET,)),
    "reset after the headers": broken((answer(b"", length=100), End.RESET)),
    "reset in the body": broken((answer(HALF, length=len(GOOD)), End.RESET)),
    "closed after half a status line": none((b"HTTP/1.1 20", End.CLOSE)),
    "closed before the headers": none((End.CLOSE,)),
    **{f"status {status[:3]}": refused(status) for status in STATUSES},
    "status 429 with Retry-After": refused("429 Too Many Requests", "Retry-After: 7"),
    "503 with HTML": Fault(
        script=ok(HTML, status="503 Service Unavailable", headers=HTML_TYPE), whole=False, spend="none", status=503
    ),
    "200 with HTML": broken(ok(HTML, headers=HTML_TYPE)),
    "200 with JSON of another shape": broken(ok(b'{"result": {"text": "Paris"}}')),
    "200 with a JSON array": broken(ok(b'[{"text": "Paris"}]')),
    "200 with an error": broken(ok(b'{"error": {"message": "overloaded"}}')),
    "200 with no choices": broken(ok(json.dumps({**completion(), "choices": []}).encode()), "counted"),
    "200 with content null and no tool call": broken(
        ok(json.dumps(completion(message={"role": "assistant", "content": None})).encode()), "counted"
    ),
    "200 with finish reason error": broken(
        ok(json.dumps(completion(message={"role": "assistant", "content": "Par"}, finish_reason="error")).encode()),
        "counted",
    ),
    "200 with an empty body": broken(ok(b"")),
    "204": Fault(
        script=ok(b"", status="204 No Content", headers=(), length=None), whole=False, spend="none", status=204
    ),
    "JSON shorter than Content-Length": broken((answer(HALF, length=len(GOOD)), End.CLOSE)),
    "JSON cut and the connection closed": broken((answer(HALF, length=None), End.CLOSE)),
    "JSON cut with a Content-Length that agrees": broken(ok(HALF)),
    "chunked and cut": broken((chunked(HALF, headers=JSON_TYPE, end=b""), End.CLOSE)),
    "text/plain with good JSON": good(ok(GOOD, headers=("Content-Type: text/plain",))),
    "no content type": good(ok(GOOD, headers=())),
    "invalid UTF-8": broken(ok(GOOD.replace(b"Paris", b"Par\xff\xfe"))),
    "gzip": good(ok(gzip.compress(GOOD), headers=(*JSON_TYPE, "Content-Encoding: gzip"))),
    "deflate": good(ok(zlib.compress(GOOD), headers=(*JSON_TYPE, "Content-Encoding: deflate"))),
    "br": good(ok(brotli.compress(GOOD), headers=(*JSON_TYPE, "Content-Encoding: br"))),
    "zstd": good(ok(zstd.compress(GOOD), headers=(*JSON_TYPE, "Content-Encoding: zstd"))),
    "gzip that is corrupt": broken(
        ok(gzip.compress(GOOD)[:40] + b"\0" * 40, headers=(*JSON_TYPE, "Content-Encoding: gzip"))
    ),
    "gzip by name only": good(ok(GOOD, headers=(*JSON_TYPE, "Content-Encoding: gzip"))),
    "an encoding nobody knows": broken(ok(b"\1\2\3", headers=(*JSON_TYPE, "Content-Encoding: exi"))),
    "one header of 64 kB": good(ok(GOOD, headers=(*JSON_TYPE, "X-Long: " + "a" * 65_000))),
    "many headers": good(ok(GOOD, headers=(*JSON_TYPE, *(f"X-{n}: {n}" for n in range(300))))),
    "a header without a colon": none(ok(GOOD, headers=(*JSON_TYPE, "nocolon"))),
    "two Content-Lengths that differ": none(ok(GOOD, headers=(*JSON_TYPE, "Content-Length: 7"))),
    "trailers": good((chunked(GOOD, headers=JSON_TYPE, end=b"0\r\nX-Sum: 1\r\n\r\n"),)),
    "1xx before the answer": good((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", answer(GOOD))),
    "307": Fault(
        script=ok(b"", status="307 Temporary Redirect", headers=("Location: /v1/elsewhere",)),
        whole=False,
        spend="none",
        status=307,
    ),
    "301": Fault(
        script=ok(b"", status="301 Moved Permanently", headers=("Location: https://other.example/v1",)),
        whole=False,
        spend="none",
        status=301,
    ),
    "HTTP/1.0": good((answer(GOOD, version="HTTP/1.0", length=None), End.CLOSE)),
    "keep-alive announced and then closed": good(
        (answer(GOOD, headers=(*JSON_TYPE, "Connection: keep-alive")), End.CLOSE)
    ),
    "usage missing": good(ok(NO_USAGE), "estimated"),
    "50 MB of JSON": broken(ok(LONG)),
    "slow: a byte at a time": good(
        (answer(b"", length=len(GOOD)), *(step for b in GOOD[:40] for step in (bytes([b]), 0.01)), GOOD[40:])
    ),
    "stall before the first byte": none((30.0,)),
    "stall after the headers": broken((answer(b"", length=100), 30.0)),
    "stall in the body": broken((answer(HALF, length=len(GOOD)), 30.0)),
    "JSON although a stream was asked for": Fault(script=ok(GOOD), whole=True, spend="counted", stream=True),
}
