"""Scanning whole requests, and files of texts, for personal data and secrets. Fails closed: what was not read to its
end, for whatever reason, is `unscanned`, and a policy that asks for privacy treats that as private.

Not here: what a request with findings may do (routing/), how spans are found (the detector), and how long a scan may
take (scan_process.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from insource.core.ports import PrivacyDetector
from insource.core.values import LEAST_CONFIDENCE, JsonObject, PrivacySpan
from insource.traffic.folding import is_opaque
from insource.traffic.lines import LogFile
from insource.wire import chat

UNSCANNED = "unscanned"
_PIECE, _OVERLAP = 20_000, 512
"""A long string is scanned in pieces that are remembered one by one; no span that matters is longer than the overlap
(of a longer one, a key block, its beginning is enough)."""
_REMEMBERED, _LONGEST_REMEMBERED = 512, 8192
"""Texts, and characters of each: at most 4 M characters in memory."""
_DIALECT = frozenset(
    {
        *("model", "messages", "role", "content", "type", "text", "input", "instructions", "arguments", "parameters"),
        *("description", "name", "id", "tool_call_id", "call_id"),
    }
)
"""Keys of the dialects whose value stands for itself: the key gives it no meaning."""


def body_kinds(body: bytes, detector: PrivacyDetector) -> tuple[str, ...]:
    """`request_kinds` of a request's bytes; what is not a JSON object is not read and so `unscanned`."""
    try:
        request = json.loads(body, object_pairs_hook=_every_pair)
    except (ValueError, RecursionError):
        request = None
    return request_kinds(request, detector) if isinstance(request, dict) else (UNSCANNED,)


def _every_pair(pairs: list[tuple[str, Any]]) -> Any:
    """A JSON object; where a key comes twice a list of its pairs, because all of them are sent and readers differ in
    which one they take."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else [{key: value} for key, value in pairs]


def request_kinds(request: JsonObject, detector: PrivacyDetector) -> tuple[str, ...]:
    """The kinds of private data in a request, sorted: of spans of LEAST_CONFIDENCE. With `unscanned` where the
    detector raised, or where the request holds something that is not text (images, audio). () only after everything
    was read."""
    kinds: set[str] = set()
    try:
        for text in texts(request):
            if is_opaque(text):
                kinds.add(UNSCANNED)
                continue
            for piece in _pieces(text):
                kinds.update(span.kind for span in detector.scan(piece) if span.confidence >= LEAST_CONFIDENCE)
    except Exception:  # whatever went wrong, the request was not read to its end
        kinds.add(UNSCANNED)
    return tuple(sorted(kinds))


class Remembering:
    """A detector that remembers what it found in the last texts, because system prompts, tool descriptions and the
    earlier turns of a session come again with every request. A scan that raised is not remembered."""

    def __init__(self, detector: PrivacyDetector) -> None:
        """The detector must answer equal texts equally."""
        self._detector = detector
        self.linear_time = detector.linear_time
        self._remembered = lru_cache(maxsize=_REMEMBERED)(detector.scan)

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        return (self._remembered if len(text) <= _LONGEST_REMEMBERED else self._detector.scan)(text)


def texts(request: JsonObject) -> Iterator[str]:
    """Everything in a request that somebody may have written, as texts to scan.

    All strings and keys; a value together with its key, which often says what it is (`"password": "…"`); numbers below
    the top level, where only settings stand; the texts of a list once more joined, because a card number may be
    split over parts; JSON inside strings decoded, because escapes hide.
    """
    stack: list[tuple[Any, bool]] = [(request, True)]
    while stack:
        item, top = stack.pop()
        if isinstance(item, str):
            yield item
            stack.extend((inner, False) for inner in _decoded(item))
        elif isinstance(item, dict):
            stack.extend(_entries(item, top=top))
        elif isinstance(item, list):
            parts = [text for text in map(_part_text, item) if text]
            if len(parts) > 1:
                yield "".join(parts)
            stack.extend((inner, False) for inner in item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield str(item)


def _entries(item: JsonObject, *, top: bool) -> Iterator[tuple[Any, bool]]:
    for key, value in item.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in _DIALECT or (top and number):
            if not (top and number):
                yield value, False
        elif isinstance(value, str) or number:
            yield f"{key}: {value}", False
            if isinstance(value, str):
                yield from ((inner, False) for inner in _decoded(value))
        else:
            yield key, False
            yield value, False


def _part_text(item: Any) -> str | None:
    """Of a content part or of a plain string; None for a whole message."""
    if isinstance(item, dict):
        return None if "role" in item else chat.content_text([item])
    return item if isinstance(item, str) else None


def _decoded(text: str) -> list[Any]:
    """The JSON value that a string holds, if it holds escapes: without them its text says the same."""
    if "\\" not in text or text.lstrip()[:1] not in ("{", "[", '"'):
        return []
    try:
        return [json.loads(text, object_pairs_hook=_every_pair)]
    except ValueError:
        return []


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, max(len(text), 1), _PIECE):
        yield text[start : start + _PIECE + _OVERLAP]


# ------------------------------------------------------------------------------------------------------ files


def scan_lines(lines: Iterable[bytes | str], detector: PrivacyDetector) -> Iterator[JsonObject]:
    """Of lines `{"id", "text"}`: `{"id", "spans"}` (DESIGN §8), or `{"line", "error"}` where one could not be read or
    scanned; empty lines are skipped. The others are not affected."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield {"line": number, "error": f"it is not JSON ({error})"}
            continue
        if not isinstance(value, dict) or "id" not in value or not isinstance(value.get("text"), str):
            yield {"line": number, "error": 'it is not an object with "id" and a "text" that is a string'}
            continue
        try:
            spans = detector.scan(value["text"])
        except Exception as error:  # the text may be private: only the kind of failure is said
            yield {"line": number, "id": value["id"], "error": f"the detector failed ({type(error).__name__})"}
            continue
        yield {
            "id": value["id"],
            "spans": [{"start": s.start, "end": s.end, "kind": s.kind, "confidence": s.confidence} for s in spans],
        }


def scan_file(path: Path, detector: PrivacyDetector) -> Iterator[JsonObject]:
    """As `scan_lines`, of a file, gzipped or not; one that breaks off ends with an error. Raises BadInput."""
    with LogFile(path) as file:
        yield from scan_lines(file, detector)
        if file.broken:
            yield {"line": file.line_number, "error": file.broken}
