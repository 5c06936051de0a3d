"""What a JSON text holds that somebody may have written, as texts to scan that know where they come from. Pure.

Every string, key and number of the text is a leaf, in the text's order, so that a finding can be put back into the very
bytes that are sent: a key that comes twice, the spelling of a number and all white space stay. A leaf may hold more
leaves: JSON inside a string, or text in base64. Not here: what is private in the texts (request_scan.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from insource.core.values import JsonObject
from insource.traffic.encoded import as_text, encoded_bytes
from insource.traffic.restoring import SIGNED

DIALECT = frozenset(
    {
        *("model", "messages", "role", "content", "type", "text", "input", "instructions", "arguments", "parameters"),
        *("description", "name", "id", "tool_call_id", "call_id", "system", "prompt"),
    }
)
"""Keys of the dialects whose value stands for itself: the key gives it no meaning."""
_CONVERSATION = frozenset({"messages", "input", "prompt"})
"""Top-level keys whose value grows turn by turn: what stands elsewhere is numbered first."""
_TOKENS = frozenset({"prompt", "input"})
"""Keys whose list of numbers is a text in a form that nobody here can read."""
_SPOKEN = frozenset({"content", "text", "input_text", "output_text", "output", "parts"})
"""Keys of a message or part whose value is what was said."""
_TELLING = _SPOKEN | SIGNED
_LEAST_DIGITS = 5
"""Of a number without a name that may say something."""


class Number(str):
    """A number as it is written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a leaf that is private."""

    start: int
    end: int
    kind: str
    confidence: float
    whole: bool = True
    """False: the rest of the value stands elsewhere."""


@dataclass(slots=True, eq=False)
class Leaf:
    """A string or number of a JSON text, decoded."""

    text: str
    early: bool = False
    """Numbered before the conversation."""
    signed: bool = False
    """The provider's own, and checked when it comes back."""
    places: list[Place] = field(default_factory=list[Place])
    inner: list[Leaf] | None = None
    """The leaves of the JSON text that it holds."""
    decoded: Leaf | None = None
    """The text that it holds in base64."""


class Segment(NamedTuple):
    """A part of a text to scan, and where it stands."""

    at: int
    leaf: Leaf
    start: int
    length: int


class Text(NamedTuple):
    value: str
    segments: tuple[Segment, ...]
    joints: tuple[int, ...] | None = None
    """Where something was left out of it; then only what reaches over a joint is found in it. None: it is whole."""

    def places(self, start: int, end: int) -> list[tuple[Leaf, int, int]]:
        """The parts of leaves that a span of it covers."""
        if self.joints is not None and not any(start < joint < end for joint in self.joints):
            return []
        found: list[tuple[Leaf, int, int]] = []
        for segment in self.segments:
            first, last = max(start, segment.at), min(end, segment.at + segment.length)
            if first < last:
                offset = segment.start - segment.at
                found.append((segment.leaf, first + offset, last + offset))
        return found


@dataclass(slots=True)
class Reading:
    """A JSON text, read."""

    leaves: list[Leaf] = field(default_factory=list[Leaf])
    texts: list[Text] = field(default_factory=list[Text])
    unreadable: bool = False
    """Part of it is not text: images, audio, encrypted or encoded bytes, tokens."""


def decode(data: str | bytes) -> Any:
    """Raises ValueError. An object with a key that comes twice becomes a list of its pairs, because all of them are
    sent and readers differ in which one they take."""
    return json.loads(
        data, object_pairs_hook=_every_pair, parse_int=Number, parse_float=Number, parse_constant=_no_number
    )


def _every_pair(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else [{key: value} for key, value in pairs]


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def read(value: Any) -> Reading:
    """Of a decoded JSON value."""
    reading = Reading()
    _walk(value, reading, _Context())
    return reading


# ---------------------------------------------------------------------------------------------------- the walk


class _Context(NamedTuple):
    depth: int = 0
    early: bool = False
    signed: bool = False
    parent: Any = None
    """The object that the value is in."""
    sequences: tuple[list[Leaf], ...] = ()
    """The lists of neighbouring texts that what is here belongs to."""


_Entry = tuple[str | None, Any, _Context]


def _walk(value: Any, reading: Reading, context: _Context) -> None:
    """In the order of the text, and without recursion: the nesting is a stranger's."""
    stack: list[_Entry] = [(None, value, context)]
    sequences: list[list[Leaf]] = []
    while stack:
        key, item, here = stack.pop()
        named = None if key is None else _leaf(key, reading, here)
        if isinstance(item, str):
            _add_text(item, named, reading, here=here)
            continue
        if named is not None and key not in DIALECT:
            reading.texts.append(_text_of(named))
        if isinstance(item, dict):
            stack.extend(reversed(_members(item, here)))
        elif isinstance(item, list):
            reading.unreadable = reading.unreadable or (key in _TOKENS and _is_tokens(item))
            stack.extend(reversed(_items(item, here, sequences)))
    for sequence in sequences:
        reading.texts.extend(_seams(sequence))
    for leaf in reading.leaves:
        if "\n" in leaf.text and leaf.inner is None and leaf.decoded is None:
            reading.texts.extend(_line_seams(leaf))


def _members(item: JsonObject, here: _Context) -> list[_Entry]:
    """Most keys say nothing that changes the context, so they share one."""
    shared = _Context(depth=here.depth + 1, early=here.early, signed=here.signed, parent=item)
    return [
        (name, inner, _under(here, name, item) if here.depth == 0 or name in _TELLING else shared)
        for name, inner in item.items()
    ]


def _under(here: _Context, key: str, parent: Any) -> _Context:
    return _Context(
        depth=here.depth + 1,
        early=here.early or (here.depth == 0 and key not in _CONVERSATION),
        signed=here.signed or key in SIGNED,
        parent=parent,
        sequences=here.sequences if key in _SPOKEN else (),
    )


def _items(item: list[Any], here: _Context, sequences: list[list[Leaf]]) -> list[_Entry]:
    """Each belongs with its neighbours, and with those of its role."""
    everybody: list[Leaf] = []
    by_role: dict[str, list[Leaf]] = {}
    sequences.append(everybody)
    entries: list[_Entry] = []
    for inner in item:
        own = (*here.sequences[-2:], everybody)
        role = inner.get("role") if isinstance(inner, dict) else None
        if isinstance(role, str):
            if role not in by_role:
                by_role[role] = []
                sequences.append(by_role[role])
            own = (everybody, by_role[role])
        context = _Context(depth=here.depth + 1, early=here.early, signed=here.signed, sequences=own)
        entries.append((None, inner, context))
    return entries


def _leaf(text: str, reading: Reading, here: _Context) -> Leaf:
    leaf = Leaf(text, early=here.early, signed=here.signed)
    reading.leaves.append(leaf)
    return leaf


def _text_of(leaf: Leaf) -> Text:
    return Text(leaf.text, (Segment(0, leaf, 0, len(leaf.text)),))


def _add_text(item: str, named: Leaf | None, reading: Reading, *, here: _Context) -> None:
    """A string or number, with its key, which often says what it is (`"password": "…"`)."""
    leaf = _leaf(item, reading, here)
    key = None if named is None else named.text
    if isinstance(item, Number):
        if here.depth <= 1 or (named is None and len(item) < _LEAST_DIGITS):
            return  # at the top stand settings
    elif _holds_more(leaf, key, reading, here=here):
        return
    for sequence in here.sequences:
        sequence.append(leaf)
    if named is None or key in DIALECT:
        reading.texts.append(_text_of(leaf))
        return
    start = len(named.text) + 2
    segments = (Segment(0, named, 0, len(named.text)), Segment(start, leaf, 0, len(leaf.text)))
    reading.texts.append(Text(f"{named.text}: {leaf.text}", segments))


# ------------------------------------------------------------------------------------- leaves that hold more


def _holds_more(leaf: Leaf, key: str | None, reading: Reading, *, here: _Context) -> bool:
    """Whether the leaf is read by what it holds: its own text then says nothing."""
    text = leaf.text
    if text.lstrip()[:1] in ("{", "[") and _read_inner(leaf, reading, here):
        return True
    data = encoded_bytes(text, key, here.parent)
    if data is None:
        reading.unreadable = reading.unreadable or ";base64," in text
        return False
    decoded = as_text(data)
    if decoded is None:
        reading.unreadable = True
    else:
        leaf.decoded = Leaf(decoded, early=leaf.early)
        reading.texts.append(_text_of(leaf.decoded))
        reading.texts.extend(_line_seams(leaf.decoded))
    return True


def _read_inner(leaf: Leaf, reading: Reading, here: _Context) -> bool:
    """JSON inside a string: escapes hide, and parts belong together."""
    try:
        value = decode(leaf.text)
    except (ValueError, RecursionError):
        return False
    inner = Reading()
    _walk(value, inner, _Context(depth=2, early=here.early, signed=here.signed))
    leaf.inner = inner.leaves
    reading.texts.extend(inner.texts)
    reading.unreadable = reading.unreadable or inner.unreadable
    return True


def _is_tokens(item: Sequence[Any]) -> bool:
    first = item[0] if item else None
    return isinstance(first, Number) or (isinstance(first, list) and bool(first) and isinstance(first[0], Number))


# -------------------------------------------------------------------------------------------------------- seams

_REACH = 96
"""Characters on each side of a break that a value may reach over it."""
_BREAK = re.compile(r"[ \t]{0,8}=?\r?\n[\s>|*#/]{0,40}")
_LAST, _FIRST = re.compile(r"\S{1,48}$"), re.compile(r"\S{1,48}")
_DIGIT, _IN_NAME = re.compile(r"\d"), re.compile(r"[\d._%+-]")
_OF_KEY = re.compile(r"(?=.{10})(?:.*\d|(?=.*[a-z])(?:.*[A-Z]){2})")
_GAP = "\n\n"


def _line_seams(leaf: Leaf) -> Iterator[Text]:
    """For a value that is broken over lines: what stands around the breaks in question, without them."""
    text = leaf.text
    if "\n" in text:
        yield from _bridged(_text_of(leaf), [m.span() for m in _BREAK.finditer(text) if _may_join(text, *m.span())])


def _seams(leaves: Sequence[Leaf]) -> Iterator[Text]:
    """For a value that is broken over neighbouring parts or messages."""
    if len(leaves) < 2:
        return
    segments: list[Segment] = []
    breaks: list[tuple[int, int]] = []
    at = 0
    for leaf in leaves:
        segments.append(Segment(at, leaf, 0, len(leaf.text)))
        at += len(leaf.text) + 1
    value = "\n".join(leaf.text for leaf in leaves)
    for segment in segments[1:]:
        start, end = segment.at - 1, segment.at
        while start > 0 and value[start - 1].isspace():
            start -= 1
        while end < len(value) and value[end].isspace():
            end += 1
        if _may_join(value, start, end) and (not breaks or start >= breaks[-1][1]):
            breaks.append((start, end))
    yield from _bridged(Text(value, tuple(segments)), breaks)


def _may_join(text: str, start: int, end: int) -> bool:
    """Whether the words on both sides may be parts of one value: a number, an address or a key. A plain word before an
    address is not."""
    last, first = _LAST.search(text, max(0, start - 48), start), _FIRST.match(text, end)
    if last is None or first is None:
        return False
    before, after = last.group(), first.group()
    if "@" in before:
        return True
    if "@" in after:
        return _IN_NAME.search(before) is not None
    if _DIGIT.search(before) and _DIGIT.search(after):
        return True
    return _OF_KEY.match(before) is not None and _OF_KEY.match(after) is not None


def _bridged(whole: Text, breaks: Sequence[tuple[int, int]]) -> Iterator[Text]:
    """What stands within reach of the breaks, without them."""
    if not breaks:
        return
    pieces: list[str] = []
    segments: list[Segment] = []
    joints: list[int] = []
    at = 0

    def keep(start: int, end: int) -> None:
        nonlocal at
        for leaf, first, last in whole.places(start, end):
            segments.append(Segment(at + _offset(whole, leaf, first) - start, leaf, first, last - first))
        pieces.append(whole.value[start:end])
        at += end - start

    kept = floor = 0
    for number, (start, end) in enumerate(breaks):
        if number and start - _REACH <= kept:
            keep(kept, start)
        else:
            if number:
                pieces.append(_GAP)
                at += len(_GAP)
            keep(max(start - _REACH, floor), start)
        joints.append(at)
        floor = end
        after = breaks[number + 1][0] if number + 1 < len(breaks) else len(whole.value)
        kept = min(end + _REACH, after)
        keep(end, kept)
    yield Text("".join(pieces), tuple(segments), joints=tuple(joints))


def _offset(whole: Text, leaf: Leaf, place: int) -> int:
    """Where in the text a place of a leaf stands."""
    return next(s.at + place - s.start for s in whole.segments if s.leaf is leaf)
