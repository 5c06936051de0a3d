"""The built-in privacy detector: personal data and secrets by pattern, checksum and context. No names of people: that
takes a language model, and this one runs on every request before anything else may happen.

Obfuscations that people use are undone first (digits of other scripts, full-width forms, zero-width characters, JSON
escapes, `user [at] example [dot] com`); offsets always refer to the original text. Kinds: email phone card iban ip mac
national_id bank_account birth_date wallet secret.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from insource.core.values import PrivacySpan
from insource.traffic import numbers
from insource.traffic.identity_rules import NAMED_RULES, RUN_RULES, TOKEN_RULES
from insource.traffic.rules import apply
from insource.traffic.secret_rules import SECRET_RULES

# --------------------------------------------------------------------------------------------------- folding

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ESCAPE = re.compile(r"(?<!\\)\\++(?:[nrtbf]|u[0-9A-Fa-f]{4}|/)")
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
    r"""An escape of a JSON string inside a string, in the same length: `\n` is white space, `\u0040` is `@`."""
    escape = match.group()
    mark = escape.lstrip("\\")
    if mark == "/":
        return _DROP * (len(escape) - 1) + "/"
    if mark[0] == "u":
        character = chr(int(mark[1:], 16))
        return _fold_character(character) + _DROP * (len(escape) - 1)
    return " " * (len(escape) - 1) + "\n"


def fold(text: str) -> tuple[str, Sequence[int] | None]:
    """The text in the form that the patterns read, and where each of its characters stood; None: in the same place."""
    folded = text if text.isascii() else _NOT_ASCII.sub(lambda m: _fold_character(m.group()), text)
    if "\\" in folded:
        folded = _ESCAPE.sub(_fold_escape, folded)
    if _DROP not in folded:
        return folded, None
    kept = [at for at, character in enumerate(folded) if character != _DROP]
    return folded.replace(_DROP, ""), [*kept, len(text)]


# ----------------------------------------------------------------------------------------------------- e-mail

_AT = re.compile(
    r"@|%40|&#64;|&#x40;|\s?[\[({<]\s?at\s?[\])}>]\s?|\sat\s(?=[\w-]{1,63}(?:\s?[\[({]\s?|\s)dot\b)",
    re.IGNORECASE,
)
_LOCAL_REVERSED = re.compile(r"[\w.+!#%&'~-]{1,64}+")
_DOT = r"(?:\.|\s?[\[({<]\s?(?:dot|\.)\s?[\])}>]\s?|\sdot\s)"
_DOMAIN = re.compile(
    rf"(?:[\w-]{{1,63}}+{_DOT}){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,63}})|\[\d{{1,3}}(?:\.\d{{1,3}}){{3}}\]",
    re.IGNORECASE,
)


def _emails(text: str) -> Iterator[PrivacySpan]:
    """From each `@` to both sides: linear, because no name is longer than 64 characters."""
    for at in _AT.finditer(text):
        left = _LOCAL_REVERSED.match(text[max(0, at.start() - 64) : at.start()][::-1])
        right = _DOMAIN.match(text, at.end())
        if left and right:
            name = left.group()[::-1]
            start = at.start() - len(name.lstrip(".'&#!%"))
            if start < at.start():
                yield PrivacySpan(start=start, end=right.end(), kind="email", confidence=0.98)


# --------------------------------------------------------------------------------------------------- detector

_DIGIT = re.compile(r"[0-9]")
_BEFORE_RUN, _AFTER_RUN = 4, 8
"""Characters around a run of digits that a number may begin or end with (`AB 123456 C`)."""
_TOKEN = re.compile(r"[0-9](?:[0-9]{3}[A-Za-z]|[A-Za-z0-9]{7})")
_AT_WORDS = ("@", "%40", "&#64;", "&#x40;", "at]", "at)", "at}", "at>", "at ]", "at )", "at }", " dot ", "[dot", "(dot")


class PatternDetector:
    """Finds spans in time linear in the text. Holds no state, so one serves all threads."""

    linear_time = True
    kinds = frozenset(
        "email phone card iban ip mac national_id bank_account birth_date wallet secret".split()  # noqa: SIM905
    )

    def scan(self, text: str) -> list[PrivacySpan]:
        """Spans in order of start, none overlapping."""
        folded, places = fold(text)
        spans = _merge(_find(folded))
        if places is None:
            return spans
        return [
            PrivacySpan(
                start=places[span.start], end=places[span.end - 1] + 1, kind=span.kind, confidence=span.confidence
            )
            for span in spans
        ]


def _find(text: str) -> list[PrivacySpan]:
    """Cheap questions first: most requests hold no `@`, no close digits and no marker of a secret."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters grow in lower case; markers are looked up, never placed
        lowered = "".join(c.lower()[:1] for c in text)
    spans = list(apply(SECRET_RULES, text, lowered))
    if any(word in lowered for word in _AT_WORDS):
        spans += _emails(text)
    if _DIGIT.search(text):
        spans += apply(NAMED_RULES, text, lowered)
        if _TOKEN.search(text):
            spans += apply(TOKEN_RULES, text, lowered)
        spans += numbers.ibans(text)
        for run in numbers.RUNS.finditer(text):
            window = (max(0, run.start() - _BEFORE_RUN), min(len(text), run.end() + _AFTER_RUN))
            spans += apply(RUN_RULES, text, lowered, window=window)
            spans += numbers.cards(text, lowered, window=window)
            spans += numbers.phones(text, lowered, run=run.span())
    if "." in text or ":" in text or "-" in text:
        spans += numbers.addresses(text)
    return spans


def _merge(spans: list[PrivacySpan]) -> list[PrivacySpan]:
    """Of spans that overlap, the surest (then the longest) gives the kind, and their union the place: masking it
    leaves no rest of the other."""
    merged: list[PrivacySpan] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end, -s.confidence, s.kind)):
        if not merged or span.start >= merged[-1].end:
            merged.append(span)
            continue
        last = merged[-1]
        best = max(last, span, key=lambda s: (s.confidence, s.end - s.start))
        merged[-1] = PrivacySpan(
            start=last.start, end=max(last.end, span.end), kind=best.kind, confidence=best.confidence
        )
    return merged


def mask(text: str, spans: Sequence[PrivacySpan]) -> str:
    """The text with every span replaced by its kind in brackets; spans of any detector, in any order."""
    pieces: list[str] = []
    at = 0
    for span in _merge(list(spans)):
        pieces += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*pieces, text[at:]])
