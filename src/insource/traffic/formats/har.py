"""Entries of an HTTP archive (HAR 1.2), as mitmproxy, browsers and Charles write them.

Everything that went over the wire is in it, so only calls to a model are taken; headers, which hold keys, never are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from insource.core.values import JsonObject
from insource.traffic.formats.fields import count, get, moment, number, obj
from insource.traffic.formats.recorded import Lacking, Recorded
from insource.traffic.formats.streams import answer_of
from insource.wire import dialects

_MILLISECONDS = 1000
_MODEL_IN_PATH = re.compile(r"/(?:models|model|deployments|engines)/([^/:]+)")


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
        body = _body(obj(get(record, "response.content")) or {})
        answer, flaw = answer_of(url.path, body) if status == 200 else (None, None)
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
