"""The forms in which a text is read: obfuscations and encodings undone, with the way back to the original's offsets.

`fold` undoes what stands for one character (digits of other scripts, full-width forms, zero-width characters, escapes
of JSON and of source code). `views` adds what the text says once URL escapes, HTML entities and base64 are decoded,
also inside each other. Not here: what is looked for in them (privacy.py).
"""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

Locate = Callable[[int, int], tuple[int, int]]
"""From the start and end of a part of a view to the part of the original text that holds it."""


@dataclass(frozen=True, slots=True)
class View:
    text: str
    locate: Locate


# --------------------------------------------------------------------------------------------------- folding

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ESCAPE = re.compile(r"(?<!\\)\\{1,64}(?:[nrtbf]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|/)")
_DROP = "\x00"
"""Stands for a character that is taken out; a NUL in the text is taken out too."""


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    """One ASCII character where there is an equivalent, else the character itself."""
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):  # zero-width, direction and combining marks
        return _DROP
    if category == "Pd" or character == "\u2212":
        return "-"
    if category == "Zs":
        return " "
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


def _fold_escape(match: re.Match[str]) -> str:
    r"""An escape of a string inside a string, in the same length: `\n` is white space, `\u0040` is `@`."""
    escape = match.group()
    mark = escape.lstrip("\\")
    if mark == "/":
        return "/" + _DROP * (len(escape) - 1)
    if mark[0] in "ux":
        character = chr(int(mark[1:], 16))
        return _fold_character(character) + _DROP * (len(escape) - 1)
    return " " * (len(escape) - 1) + "\n"


def fold(text: str) -> tuple[str, Sequence[int] | None]:
    """The text in the form that the patterns read, and where each of its characters stood; None: in the same place."""
    folded = text if text.isascii() else _NOT_ASCII.sub(lambda m: _fold_character(m.group()), text)
    if "\\" in folded:
        folded = _ESCAPE.sub(_fold_escape, folded)
    return _without_dropped(folded)


def _without_dropped(text: str) -> tuple[str, Sequence[int] | None]:
    if _DROP not in text:
        return text, None
    kept = [at for at, character in enumerate(text) if character != _DROP]
    return text.replace(_DROP, ""), [*kept, len(text)]


# ---------------------------------------------------------------------------------------------------- decoding

_DEPTH = 3
"""Encodings within encodings that are undone."""
_URL_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,24});")
_FORM_SPACE = re.compile(r"(?<=[0-9A-Za-z])\+(?=[0-9A-Za-z(])")
_FORM = re.compile(r"[0-9]{2}\+[0-9]{2}")
"""A value in which `+` is a space: `card=4111+1111+…`."""


def views(text: str, *, depth: int = _DEPTH) -> Iterator[View]:
    """The text folded; the same with its URL escapes and HTML entities decoded, where it holds any; and what its base64
    says, where that is text. Linear: a decoded text is shorter than its code."""
    folded, places = fold(text)
    view = View(folded, _along(places))
    yield view
    plain = _decoded(view)
    if plain is not None:
        yield plain
    if depth > 0:
        for outer in (view, plain):
            for inner in _base64_views(outer) if outer is not None else ():
                for deeper in views(inner.text, depth=depth - 1):
                    yield View(deeper.text, _through(deeper.locate, inner.locate))


def _along(places: Sequence[int] | None) -> Locate:
    return (lambda start, end: (start, end)) if places is None else lambda start, end: (places[start], places[end])


def _through(inner: Locate, outer: Locate) -> Locate:
    return lambda start, end: outer(*inner(start, end))


def _decoded(view: View) -> View | None:
    """None where nothing is encoded."""
    text, locate = view.text, view.locate
    for _ in range(_DEPTH):
        encoded = text
        if "%" in text:
            text = _URL_ESCAPES.sub(_url_characters, text)
        if "&" in text:
            text = _ENTITY.sub(_entity_character, text)
        if text == encoded:
            break
        text, places = _without_dropped(text)
        locate = _through(_along(places), locate)
    if text == view.text and not _FORM.search(text):
        return None
    return View(_FORM_SPACE.sub(" ", text), locate)


def _url_characters(match: re.Match[str]) -> str:
    """The characters of a run of escapes, each with as many dropped ones as keep the length."""
    raw = bytes.fromhex(match.group().replace("%", ""))
    try:
        characters = raw.decode()
    except UnicodeDecodeError:
        characters = raw.decode("latin-1")
        return "".join(_fold_character(c) + _DROP * 2 for c in characters)
    return "".join(_fold_character(c) + _DROP * (3 * len(c.encode()) - 1) for c in characters)


def _entity_character(match: re.Match[str]) -> str:
    entity = match.group()
    character = html.unescape(entity)
    return entity if len(character) != 1 else _fold_character(character) + _DROP * (len(entity) - 1)


# ------------------------------------------------------------------------------------------------------ base64

_SHORTEST = 16
"""Characters of base64: what is looked for has ten characters at least."""
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}")
_WRAPPED = re.compile(r"[ \t]{0,16}\r?\n[ \t]{0,16}")
_SHORTEST_WRAPPED = 60
"""MIME and PEM wrap at 64 and 76 characters; shorter lines of equal length are lists of ids."""
_FIRST = 24
_LONG = 64
_URL_SAFE = str.maketrans("-_", "+/")


def _base64_views(view: View) -> Iterator[View]:
    for code, places in _base64_tokens(view.text):
        for piece in _readable(code, places):
            yield View(piece.text, _through(piece.locate, view.locate))


def _base64_tokens(text: str) -> Iterator[tuple[str, Sequence[int]]]:
    """Each token and where its characters stand; the lines of a wrapped one are one token."""
    code, places, width, end = "", range(0), 0, 0
    for match in _BASE64.finditer(text):
        line, at = match.group(), range(*match.span())
        if width and len(line) <= width and _WRAPPED.fullmatch(text, end, at.start):
            code, places = code + line, [*places, *at]
        else:
            if code:
                yield code, places
            code, places = line, at
        width = len(line) if len(line) >= _SHORTEST_WRAPPED and len(line) % 4 == 0 else 0
        end = at.stop
    if code:
        yield code, places


def _readable(code: str, places: Sequence[int]) -> Iterator[View]:
    """What a token says, if it is a text: as a whole, or from one of the next three characters on where a long one was
    cut off before, or else between slashes, since paths hold tokens."""
    code = code.rstrip("=").translate(_URL_SAFE)
    for skipped in range(4 if len(code) >= _LONG else 1):
        found = _as_text(code[skipped:])
        if found is not None:
            yield View(found, _groups(found, places[skipped : len(code)]))
            return
    start = 0
    for part in code.split("/") if "/" in code else ():
        found = _as_text(part) if len(part) >= _SHORTEST else None
        if found is not None:
            yield View(found, _groups(found, places[start : start + len(part)]))
        start += len(part) + 1


def _as_text(code: str) -> str | None:
    """What unpadded base64 says, None where that is not text. The first characters decide about most."""
    if _printable(code[:_FIRST]) is None:
        return None
    return _printable(code)


def _printable(code: str) -> str | None:
    """What a text is cut in may be a character of several bytes: the beginning counts."""
    code = code[:-1] if len(code) % 4 == 1 else code
    raw = binascii.a2b_base64(code + "=" * (-len(code) % 4))
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        text = raw[: error.start].decode()
    return text if text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable() else None


def _groups(text: str, places: Sequence[int]) -> Locate:
    """Three bytes are four characters of base64: a part of the text lies in the groups that hold any of its bytes."""

    def locate(start: int, end: int) -> tuple[int, int]:
        first = len(text[:start].encode()) // 3 * 4
        last = -(-len(text[:end].encode()) // 3) * 4
        return places[first], places[min(last, len(places)) - 1] + 1

    return locate
