"""A request body with placeholders in place of what a scan found in it. Pure.

Only the strings that hold something are written anew; all other bytes of the body stay as they are.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, unquote_plus

from insource.core.scanning import Masked, ScanJob
from insource.traffic.placeholders import TEXT, Numbering, label_of, may_hold_any, pattern
from insource.traffic.request_texts import Leaf, Place, Reading

_ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/messages", "/messages/count_tokens")
"""Ends of the paths whose answers can be unmasked."""
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[0-9.eE+-]*', re.DOTALL)
"""The strings and numbers of a JSON text, in its order."""
_LEAST_SEARCHED = 4
"""Characters of a value that is looked for elsewhere in the request: a shorter one is everywhere."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class CannotMask(Exception):
    """The message says why, without values."""


def can_be_masked(target: str) -> bool:
    return target.partition("?")[0].rstrip("/").endswith(_ENDPOINTS)


def mask_body(job: ScanJob, reading: Reading, *, around: int) -> Masked:
    """`around`: findings outside of the body. Raises CannotMask."""
    if around:
        raise CannotMask("a value stands in the address or a header")
    leaves = _in_order(reading.leaves)
    values = {leaf.text[place.start : place.end]: place.kind for leaf in leaves for place in leaf.places if place.whole}
    _find_everywhere(leaves, values)
    numbering = Numbering(job.placeholders)
    for leaf in leaves:
        leaf.places[:] = _merged(leaf.places)
        for place in leaf.places:
            numbering.placeholder(label_of(place.kind), leaf.text[place.start : place.end])
    _escape_lookalikes(leaves, numbering)
    text = job.body.decode()
    body = _written_json(text, reading.leaves, numbering).encode("utf-8", "surrogatepass")
    sent = "\n".join((job.target, unquote_plus(job.target), *(value for _, value in job.headers)))
    if any(value in sent for value in values if len(value) >= _LEAST_SEARCHED):
        raise CannotMask("a value stands in the address or a header too")
    return Masked(body=body, placeholders=numbering.placeholders)


def _in_order(leaves: Sequence[Leaf]) -> list[Leaf]:
    """As they are numbered: what stands outside of the conversation first, so that a growing one keeps its numbers."""
    return list(_flat([leaf for leaf in leaves if leaf.early])) + list(
        _flat([leaf for leaf in leaves if not leaf.early])
    )


def _flat(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    for leaf in leaves:
        if leaf.inner is not None:
            yield from _flat(leaf.inner)
        else:
            yield leaf.decoded or leaf


def _find_everywhere(leaves: Sequence[Leaf], values: dict[str, str]) -> None:
    """A value that was found by what stands beside it (`password: …`) is no less private where that is missing."""
    starts: list[int] = []
    at = 0
    for leaf in leaves:
        starts.append(at)
        at += len(leaf.text) + 1
    whole = "\x00".join(leaf.text for leaf in leaves)
    for value, kind in values.items():
        bare = value.rstrip(".,;:")  # as it may stand in another sentence
        for form in {value, bare, quote(value, safe=""), html.escape(value), json.dumps(value)[1:-1]}:
            for found in _occurrences(whole, form) if len(form) >= _LEAST_SEARCHED else ():
                leaf = leaves[number := bisect_right(starts, found) - 1]
                start = found - starts[number]
                leaf.places.append(Place(start, start + len(form), kind, 0.0))


def _occurrences(text: str, value: str) -> Iterator[int]:
    at = text.find(value)
    while at >= 0:
        yield at
        at = text.find(value, at + len(value))


def _merged(places: Iterable[Place]) -> list[Place]:
    """Of places that overlap their union, with the kind of the surest (then the longest): no rest is left of one."""
    merged: list[Place] = []
    for place in sorted(places, key=lambda p: (p.start, -p.end, -p.confidence, p.kind)):
        if not merged or place.start >= merged[-1].end:
            merged.append(place)
            continue
        last = merged[-1]
        best = max(last, place, key=lambda p: (p.confidence, p.end - p.start))
        merged[-1] = Place(last.start, max(last.end, place.end), best.kind, best.confidence)
    return merged


def _escape_lookalikes(leaves: Sequence[Leaf], numbering: Numbering) -> None:
    """What the client itself wrote like a placeholder is a value too: all that comes back as one is then ours."""
    lookalike = pattern(numbering.placeholders)
    for leaf in leaves:
        if not leaf.signed and may_hold_any(leaf.text):
            found = [Place(*match.span(), TEXT, 0.0) for match in lookalike.finditer(leaf.text)]
            leaf.places[:] = _merged([*leaf.places, *found]) if found else leaf.places


# ------------------------------------------------------------------------------------------------------ writing


def _written_json(text: str, leaves: Sequence[Leaf], numbering: Numbering) -> str:
    pieces: list[str] = []
    at = 0
    tokens = list(_TOKEN.finditer(text))
    if len(tokens) != len(leaves):
        raise CannotMask("its strings could not be found again")
    for token, leaf in zip(tokens, leaves, strict=True):
        new = _written(leaf, numbering)
        if new is not None:
            pieces += [text[at : token.start()], json.dumps(new, ensure_ascii=_SURROGATE.search(new) is not None)]
            at = token.end()
    return "".join([*pieces, text[at:]])


def _written(leaf: Leaf, numbering: Numbering) -> str | None:
    """The leaf's text with placeholders; None: nothing in it changes."""
    if leaf.inner is not None:
        new = _written_json(leaf.text, leaf.inner, numbering)
        return new if new != leaf.text else None
    if leaf.decoded is not None:
        inner = _written(leaf.decoded, numbering)
        head = leaf.text[: leaf.text.find(",") + 1] if leaf.text.startswith("data:") else ""
        return None if inner is None else head + b64encode(inner.encode()).decode()
    if not leaf.places:
        return None
    pieces: list[str] = []
    at = 0
    for place in leaf.places:
        value = numbering.placeholder(label_of(place.kind), leaf.text[place.start : place.end])
        pieces += [leaf.text[at : place.start], value]
        at = place.end
    return "".join([*pieces, leaf.text[at:]])
