"""Where two texts differ, word by word. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

_MOST_WORDS = 4_000
"""Compared: what follows is shown as different, if it is."""


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    differs: bool


def differences(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces; what only one of them has is marked."""
    words, others = _words(one), _words(other)
    left, right = list[Piece](), list[Piece]()
    matcher = difflib.SequenceMatcher(None, words[:_MOST_WORDS], others[:_MOST_WORDS], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        for pieces, text in ((left, words[a:b]), (right, others[c:d])):
            if text:
                pieces.append(Piece("".join(text), kind != "equal"))
    rest, other_rest = "".join(words[_MOST_WORDS:]), "".join(others[_MOST_WORDS:])
    for pieces, text in ((left, rest), (right, other_rest)):
        if text:
            pieces.append(Piece(text, rest != other_rest))
    return left, right


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
