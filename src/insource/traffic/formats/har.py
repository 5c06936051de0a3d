"""Entries of an HTTP archive (HAR 1.2), as mitmproxy, browsers and Charles write them.

Everything that went over the wire is in it, so only calls to a model are taken; headers, which hold keys, never are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from insource.core.values import JsonObject
from insource.traffic.formats.fields import count, get, moment, number, obj
from insource.traffic.formats.recorded import Lacking, Recorded
from insource.wire import dialects, gemini, json_text, ollama
from insource.wire.wholeness import judge

_MILLISECONDS = 1000
_MODEL_IN_PATH = re.compile(r"/(?:models|model|deployments|engines)/([^/:]+)")
_JUDGED = ("/chat/completions", "/completions", "/responses", "/messages", "/embeddings")


class HarReader:
    name = "har"
    rank = 0
    keys = frozenset({"startedDateTime", "time", "request", "response", "timings", "cache", "pageref"})

    def recognises(self, record: JsonObject) -> bool:
        return "startedDateTime" in record and isinstance(record.get("request"), dict)

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        request = obj(get(record, "request.postData.text"))
        url = urlsplit(str(get(record, "request.url") or ""))
        if request is None or not (dialects.asks(request) or dialects.is_embeddings(request, None, endpoint=url.path)):
            return  # a page, a picture, another service's call
        status = count(get(record, "response.status")) or 0
        answer, flaw = _answer(url.path, status, _body(obj(get(record, "response.content")) or {}))
        milliseconds = number(record.get("time"))
        model = _MODEL_IN_PATH.search(url.path)
        yield Recorded(
            request=request,
            response=answer,
            endpoint=url.path,
            model=None if model is None else model.group(1),
            created=moment(record.get("startedDateTime")),
            latency_seconds=None if milliseconds is None else milliseconds / _MILLISECONDS,
            status=status if 100 <= status <= 599 else 502,
            incomplete=flaw if answer is not None else None,
            metadata={"host": url.hostname or ""},
            no_answer="the archive holds no body of its answer",
            next_step="Record the archive with the bodies of the answers.",
        )


def _body(content: JsonObject) -> bytes:
    said = content.get("text")
    if not isinstance(said, str):
        return b""
    if content.get("encoding") == "base64":
        try:
            return base64.b64decode(said)
        except (binascii.Error, ValueError):
            return b""
    return said.encode("utf-8", "surrogatepass")


def _answer(path: str, status: int, body: bytes) -> tuple[JsonObject | None, str | None]:
    """(the answer, why it is not whole)."""
    if status != 200 or not body.strip():
        return None, None
    chunks = _chunks(body)
    if chunks and "candidates" in chunks[0]:
        return gemini.joined(chunks), None
    if len(chunks) > 1 and "done" in chunks[0]:
        return ollama.joined(chunks), None if chunks[-1].get("done") else "its stream has no end"
    if chunks and not path.rstrip("/").endswith(_JUDGED):
        return chunks[0], None
    judged = judge(path if path.rstrip("/").endswith(_JUDGED) else "/chat/completions", status, body)
    return judged.response, judged.flaw


def _chunks(body: bytes) -> list[JsonObject]:
    """The objects of an answer that is one, a list of them, one a line, or one an event."""
    text = body.decode("utf-8", "replace")
    pieces = [text] if text.lstrip()[:1] in ("{", "[") else []
    if len(text.splitlines()) > 1:
        lines = [line.removeprefix("data:").strip() for line in text.splitlines()]
        pieces = [*pieces, *[line for line in lines if line.startswith("{")]]
    found: list[JsonObject] = []
    for piece in pieces:
        value = _decoded(piece)
        found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if piece is text and found:
            break
    return found


def _decoded(piece: str) -> Any:
    try:
        return json_text.decode(piece)
    except (ValueError, RecursionError):
        return None
