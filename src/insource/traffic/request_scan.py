"""Scanning whole requests, and files of texts, for personal data and secrets. Fails closed: what was not read to its
end, for whatever reason, is `unscanned`.

What is scanned is what would be sent: the body with every key that comes twice, the path with its query, the headers.
Not here: what a request with findings may do (core/policy.py), how spans are found (the detector), and how long a scan
may take (scan_process.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote_plus

from insource.core.policy import UNREADABLE, UNSCANNED, Rules
from insource.core.ports import PrivacyDetector
from insource.core.scanning import Examined, ScanJob
from insource.core.values import JsonObject, PrivacySpan
from insource.traffic.lines import LogFile
from insource.traffic.masking import can_be_masked, mask_body
from insource.traffic.request_texts import Place, Reading, Text, decode, read
from insource.traffic.sieve import Sieve

_PIECE, _OVERLAP = 20_000, 512
"""A long string is scanned in pieces that are remembered one by one; no span that matters is longer than the overlap
(of a longer one, a key block, its beginning is enough)."""
_REMEMBERED, _LONGEST_REMEMBERED = 512, 8192
"""Texts, and characters of each: at most 4 M characters in memory."""


def body_kinds(body: bytes, detector: PrivacyDetector) -> tuple[str, ...]:
    """The kinds of private data in a request's bytes, sorted."""
    return examine(ScanJob(body=body), detector).names


def examine(job: ScanJob, detector: PrivacyDetector, sieve: Sieve | None = None) -> Examined:
    """What is private in a request under its policy, and the masked body where the policy asks for one. Never raises.

    `sieve` is that of the job's policy; () kinds only after everything was read.
    """
    scan = _Scan(detector, sieve or Sieve(job.policy), job.policy.rules(job.task_id, task_known=job.task_known))
    reading: Reading | None = None
    try:
        scan.surroundings(job)
        reading = scan.body(job.body)
    except Exception:  # whatever went wrong, the request was not read to its end
        scan.kinds[UNSCANNED] = 1
    found = dict(sorted(scan.kinds.items()))
    if reading is None or scan.rules.action(found) != "mask" or not can_be_masked(job.target):
        return Examined(kinds=found)
    try:
        return Examined(kinds=found, masked=mask_body(job, reading, around=scan.around))
    except Exception:  # a failed mask: whoever asks finds none
        return Examined(kinds=found)


class _Scan:
    """Of one request."""

    def __init__(self, detector: PrivacyDetector, sieve: Sieve, rules: Rules) -> None:
        self._detector, self._sieve, self.rules = detector, sieve, rules
        self.kinds: Counter[str] = Counter()
        self.around = 0
        """Findings outside of the body."""

    def surroundings(self, job: ScanJob) -> None:
        """The path with its query, and the headers, as they are written and as they are meant."""
        for text in (job.target, *(f"{name}: {value}" for name, value in job.headers)):
            for form in dict.fromkeys((text, unquote_plus(text))):
                found = [span.kind for span in self._counting(Text(form, ()))]
                if found:
                    self.kinds.update(found)
                    self.around += len(found)
                    break

    def body(self, body: bytes) -> Reading | None:
        """Leaves its findings in the leaves of the reading; None: there is nothing to read."""
        if not body:
            return None
        try:
            reading = read(decode(body))
        except (ValueError, RecursionError):
            self.kinds[UNREADABLE] += 1
            self._whole(body.decode("utf-8", "replace"))
            return None
        for text in reading.texts:
            for span in self._counting(text):
                self._note(text, span)
        if reading.unreadable:
            self.kinds[UNREADABLE] += 1
        return reading

    def _whole(self, text: str) -> None:
        """Of a body that is not JSON: an upload may hold text all the same."""
        self.kinds.update(span.kind for span in self._counting(Text(text, ())))

    def _note(self, text: Text, span: PrivacySpan) -> None:
        parts = text.places(span.start, span.end)
        if text.joints is not None and any(
            place.confidence >= span.confidence and place.start < end and start < place.end
            for leaf, start, end in parts
            for place in leaf.places
        ):
            return  # a value that is whole on one side of the joint
        new = False
        for leaf, start, end in parts:
            new = new or not _covered(leaf.places, start, end)
            leaf.places.append(Place(start, end, span.kind, span.confidence, whole=len(parts) == 1))
        if new:
            self.kinds[span.kind] += 1

    def _counting(self, text: Text) -> Iterator[PrivacySpan]:
        for offset, piece in _pieces(text.value):
            for span in (*self._detector.scan(piece), *self._sieve.own(piece)):
                if self._sieve.counts(span, piece[span.start : span.end], self.rules):
                    yield PrivacySpan(
                        start=offset + span.start, end=offset + span.end, kind=span.kind, confidence=span.confidence
                    )


def _covered(places: Sequence[Place], start: int, end: int) -> bool:
    return any(place.start < end and start < place.end for place in places)


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


def _pieces(text: str) -> Sequence[tuple[int, str]]:
    if len(text) <= _PIECE:
        return ((0, text),)
    return [(start, text[start : start + _PIECE + _OVERLAP]) for start in range(0, len(text), _PIECE)]


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
