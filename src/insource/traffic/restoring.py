"""Putting the user's own values back into what a model said: in texts as they come, and in whole JSON answers. Pure.

A value that is put into JSON text is escaped for the depth of its string: the arguments of a tool call are JSON inside
a JSON string, and may hold JSON again. Not here: which events of a stream carry text (restoring_stream.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from insource.core.scanning import Placeholders
from insource.traffic.placeholders import LOST, label_of, may_hold_any, pattern, unfinished_at

Form = Literal["unknown", "text", "json"]
JSON_KEYS = frozenset({"arguments", "partial_json"})
"""Strings under them are JSON text."""
SIGNED = frozenset({"thinking", "signature", "encrypted_content", "reasoning_details", "redacted_thinking"})
"""Parts that a provider signs, or checks when they come back: they stay as the provider wrote them."""


class Restored:
    """What became of the placeholders in one answer."""

    def __init__(self, placeholders: Placeholders) -> None:
        self.count = 0
        self.lost: set[str] = set()
        """Mentions that stand for nothing known."""
        self.pattern = pattern(placeholders)
        self._first, self._values = placeholders.first, placeholders.values
        self._labels = {label for label, _ in placeholders.values}

    def value(self, match: re.Match[str]) -> str | None:
        """What the match stands for; None: nothing known."""
        own = match["label"] or match["bare"]
        number = int(match["number"] or match["of"] or match["its"])
        at = number - self._first
        if 0 <= at < len(self._values):
            label, value = self._values[at]
            said = label_of(own or match["other"])
            if said.replace("_", "") == label.replace("_", "") or (own is None and said not in self._labels):
                self.count += 1
                return quote(value, safe="") if (match["open"] or "").upper() == "%5B" else value
        self.lost.add(match.group()[:80])
        return None

    def note_foreign(self, text: str) -> None:
        for match in LOST.finditer(text):
            if 0 <= int(match[1]) - self._first < len(self._values) and not self.pattern.fullmatch(match.group()):
                self.lost.add(match.group()[:80])


class TextRestorer:
    """One text, fed in pieces that may be cut anywhere."""

    def __init__(self, restored: Restored, *, form: Form = "unknown") -> None:
        """`unknown`: the text's own beginning tells whether it is JSON."""
        self._restored = restored
        self._form: Form = form
        self._depth = _Depth()
        self._held = ""

    def feed(self, piece: str, *, last: bool = False) -> str:
        """What can be shown of it by now; `last`: all the rest."""
        text = self._held + piece
        if self._form == "unknown" and (form := _form(text, last=last)) is not None:
            self._form = form
        end = len(text) if last else 0 if self._form == "unknown" else unfinished_at(text)
        self._held = text[end:]
        return "".join(self._pieces(text[:end]))

    def _pieces(self, text: str) -> Iterator[str]:
        at = 0
        for match in self._restored.pattern.finditer(text) if may_hold_any(text) else ():
            yield self._plain(text[at : match.start()])
            value = self._restored.value(match)
            if value is None:
                yield self._plain(match.group())
            else:
                yield self._depth.escaped(value) if self._form == "json" else value
            at = match.end()
        yield self._plain(text[at:])

    def _plain(self, text: str) -> str:
        if self._form == "json":
            self._depth.read(text)
        self._restored.note_foreign(text)
        return text


_JSON_START = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*(?:[\"{\[\]]|(?:true|false|null|-?\d[\d.eE+-]*)\s*,))")
_MAY_BE_JSON = re.compile(r"\s*(?:[\[{]\s*(?:[a-z]{1,5}\s*|-?[\d.eE+-]{0,40}\s*)?)?\Z")


def _form(text: str, *, last: bool) -> Form | None:
    """None: too little of it is here."""
    if _JSON_START.match(text):
        return "json"
    return "text" if last or not _MAY_BE_JSON.match(text) else None


@dataclass(slots=True)
class _String:
    """An open string of a JSON text; the strings that it holds are one level deeper."""

    level: int
    holds_json: bool | None = None
    """None: nothing of it was read yet."""


class _Depth:
    """How many JSON strings a place of a text is in. A quote of level k has 2^k - 1 backslashes before it, and 2^(k+1)
    for each backslash of the text's own: its level is the number of ones at the end of their binary number."""

    _PART = re.compile(r"\\+|\"|[^\s\\\"]+|\s+")

    def __init__(self) -> None:
        self._open: list[_String] = []
        self._slashes = 0
        self._before = ""
        """The last character that is not white space."""

    def read(self, text: str) -> None:
        for match in self._PART.finditer(text):
            part = match.group()
            if part[0] == "\\":
                self._slashes += len(part)
            elif part == '"':
                self._quote()
                self._slashes, self._before = 0, part
            else:
                if not part.isspace():
                    self._begins(part[0] in "{[")
                    self._before = part[-1]
                self._slashes = 0

    def escaped(self, value: str) -> str:
        """A value for this place: the inside of a string, or a whole one where none is open and one may stand."""
        self._begins(False)
        self._slashes = 0
        if not self._open:
            return json.dumps(value, ensure_ascii=False) if self._before in (":", ",", "[") else value
        for _ in self._open:
            value = json.dumps(value, ensure_ascii=False)[1:-1]
        return value

    def _begins(self, holds_json: bool) -> None:
        if self._open and self._open[-1].holds_json is None:
            self._open[-1].holds_json = holds_json

    def _quote(self) -> None:
        level = ((self._slashes ^ (self._slashes + 1)) >> 1).bit_length()
        for at, string in enumerate(self._open):
            if string.level == level:
                del self._open[at:]
                return
        inside = self._open[-1] if self._open else None
        if inside is None or inside.holds_json:
            self._open.append(_String(level))
        else:
            self._begins(False)


# ----------------------------------------------------------------------------------------------- whole answers

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _restore_text(text: str, restored: Restored, *, is_json: bool) -> str:
    """A whole text: where it is JSON its strings one by one, whatever they hold, and all between them as it is."""
    if _JSON_START.match(text) and may_hold_any(text) and _parses(text):
        return _STRING.sub(lambda match: _restore_string(match.group(), restored), text)
    return TextRestorer(restored, form="json" if is_json else "text").feed(text, last=True)


def _restore_string(token: str, restored: Restored) -> str:
    value = json.loads(token)
    found = _restore_text(value, restored, is_json=False)
    return token if found == value else json.dumps(found, ensure_ascii=False)


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def restore_json(value: Any, restored: Restored, *, key: str = "") -> Any:
    """Every text of a JSON value with the user's values in it, keys too."""
    if isinstance(value, str):
        return _restore_text(value, restored, is_json=key in JSON_KEYS)
    if isinstance(value, dict):
        return {
            restore_json(name, restored): inner if name in SIGNED else restore_json(inner, restored, key=name)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [restore_json(inner, restored) for inner in value]
    return value
