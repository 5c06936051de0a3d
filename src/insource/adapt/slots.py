"""JSON answers as slots of a message: which fields there are, where their values stand, and the way back. Pure.

A field is a *span* where its values are copied from the message, and a *choice* where they come from a short list. What
is neither (a date put into ISO form, a summary) can't be learnt by a tagger, and is a reason to say so.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from insource.core.hashing import canonical_json
from insource.core.values import JsonObject

Path = tuple[str, ...]
"""Keys from the outermost object inwards."""
SPAN_SHARE = 0.9
"""Of a field's values must stand in the message, so that it is a span."""
_MOST_CHOICES = 50
_LEAST_PER_CHOICE = 5
"""On average: values that hardly come twice are no list to choose from."""
_TOKEN = re.compile(r"\d+|[^\W\d_]+|[^\w\s]|_")
_ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotField:
    """One field of the answers."""

    path: Path
    kind: Literal["span", "choice"]
    empty: str
    """What stands there when the message says nothing of it: `absent`, or the JSON of `null`, `""` or `[]`."""
    many: bool = False
    """Its values are lists."""
    number: bool = False
    """Its values are numbers in JSON."""

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlearnable:
    """A field that is neither, and how many of its values stand in the message."""

    name: str
    standing: int
    values: int


def tokens(text: str) -> list[Token]:
    """Words, runs of digits and single signs: `7pm` is two tokens, because either may be a value."""
    return [Token(text=match[0], start=match.start(), end=match.end()) for match in _TOKEN.finditer(text)]


def leaves(answer: JsonObject, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is not an object, with its path, in the order of the answer."""
    for key, value in answer.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def fields_of(texts: Sequence[str], answers: Sequence[JsonObject]) -> tuple[list[SlotField], list[Unlearnable]]:
    """The fields in the order in which answers write them."""
    found: dict[Path, list[tuple[str, Any]]] = {}
    order: dict[Path, list[int]] = {}
    for text, answer in zip(texts, answers, strict=True):
        for place, (path, value) in enumerate(leaves(answer)):
            found.setdefault(path, []).append((text, value))
            order.setdefault(path, []).append(place)
    known: list[SlotField] = []
    unknown: list[Unlearnable] = []
    for path in sorted(found, key=lambda path: (sum(order[path]) / len(order[path]), path)):
        field = _field(path, found[path], absent=len(texts) - len(found[path]))
        (known if isinstance(field, SlotField) else unknown).append(field)  # pyright: ignore[reportArgumentType]
    return known, unknown


def _field(path: Path, seen: Sequence[tuple[str, Any]], *, absent: int) -> SlotField | Unlearnable:
    told = [(text, value) for text, value in seen if not _is_empty(value)]
    empties = Counter([canonical_json(value).decode() for _, value in seen if _is_empty(value)])
    empties[_ABSENT] += absent
    empty = empties.most_common(1)[0][0] if empties.total() else _ABSENT
    many = bool(told) and all(isinstance(value, list) for _, value in told)
    pairs = [(text, one) for text, value in told for one in (value if many else [value])]
    standing = sum(isinstance(one, str | int | float) and bool(places(text, one)) for text, one in pairs)
    if pairs and not _has_truth(pairs) and standing >= SPAN_SHARE * len(pairs):
        number = all(isinstance(one, int | float) for _, one in pairs)
        return SlotField(path=path, kind="span", empty=empty, many=many, number=number)
    choices = Counter(canonical_json(value) for _, value in told)
    if len(choices) <= _MOST_CHOICES and len(told) >= _LEAST_PER_CHOICE * len(choices):
        return SlotField(path=path, kind="choice", empty=empty)
    return Unlearnable(name=".".join(path), standing=standing, values=len(pairs))


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _has_truth(pairs: Sequence[tuple[str, Any]]) -> bool:
    """`true` is a number to Python, and may stand in a message as a word; as a value it never is a span."""
    return any(isinstance(one, bool) for _, one in pairs)


def places(text: str, value: Any) -> list[tuple[int, int]]:
    """(start, end) wherever the value stands in the text, from the beginning of a token to the end of one."""
    written = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    if not written.strip():
        return []
    starts, ends = {token.start for token in tokens(text)}, {token.end for token in tokens(text)}
    found: list[tuple[int, int]] = []
    at = text.find(written)
    while at >= 0:
        if at in starts and at + len(written) in ends:
            found.append((at, at + len(written)))
        at = text.find(written, at + 1)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A piece of a message that is the value of a field, by its place among the fields."""

    start: int
    end: int
    field: int


def aligned(text: str, answer: JsonObject, fields: Sequence[SlotField]) -> list[Span] | None:
    """Where every span value stands; None where one does not stand there, or two would overlap. Of several places the
    first that is free is taken, longer values first, so that a short one does not take a part of a longer one's."""
    by_path = {field.path: at for at, field in enumerate(fields) if field.kind == "span"}
    wanted = [
        (one, by_path[path])
        for path, value in leaves(answer)
        if path in by_path and not _is_empty(value)
        for one in (value if isinstance(value, list) else [value])
    ]
    taken: list[Span] = []
    for value, field in sorted(wanted, key=lambda pair: (-len(str(pair[0])), pair[1])):
        free = [(s, e) for s, e in places(text, value) if all(e <= other.start or s >= other.end for other in taken)]
        if not free:
            return None
        taken.append(Span(start=free[0][0], end=free[0][1], field=field))
    return sorted(taken)


def tags(found: Sequence[Token], spans: Sequence[Span]) -> list[str]:
    """`B` and a field, `I` and a field, or `O`, for each token."""
    told = ["O"] * len(found)
    for span in spans:
        inside = [at for at, token in enumerate(found) if span.start <= token.start < span.end]
        for at in inside:
            told[at] = f"{'B' if at == inside[0] else 'I'}{span.field}"
    return told


def spans_of(found: Sequence[Token], told: Sequence[str]) -> list[Span]:
    """The inverse of `tags`; an I that follows nothing of its kind begins a span."""
    spans: list[Span] = []
    former = "O"
    for token, tag in zip(found, told, strict=True):
        if tag != "O":
            goes_on = tag[0] == "I" and former[1:] == tag[1:]
            start = spans.pop().start if goes_on else token.start
            spans.append(Span(start=start, end=token.end, field=int(tag[1:])))
        former = tag
    return spans


def assembled(fields: Sequence[SlotField], values: Mapping[int, Any]) -> JsonObject:
    """The answer, its keys in the order of the fields; `values` holds what was found, by a field's place."""
    answer: JsonObject = {}
    for at, field in enumerate(fields):
        if at not in values and field.empty == _ABSENT:
            continue
        inner = answer
        for key in field.path[:-1]:
            inner = inner.setdefault(key, {})
        inner[field.path[-1]] = values[at] if at in values else json.loads(field.empty)
    return answer


def as_number(text: str) -> int | float | str:
    """The number that a value is; the text itself where JSON has no such number."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else text
