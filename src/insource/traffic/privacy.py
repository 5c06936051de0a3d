"""The built-in privacy detector: personal data and secrets by pattern, checksum and context. No names of people: that
takes a language model (presidio.py), and this one runs on every request before anything else may happen.

Obfuscations and encodings are undone first (folding.py); offsets always refer to the original text. What only looks
private is reported with a confidence below LEAST_CONFIDENCE. Kinds: email phone card iban ip mac national_id
bank_account birth_date wallet secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from insource.core.values import PrivacySpan
from insource.traffic import numbers
from insource.traffic.addresses import addresses
from insource.traffic.emails import emails
from insource.traffic.folding import views
from insource.traffic.identity_rules import NAMED_RULES, RUN_RULES, TOKEN_RULES, WALLET_RULES
from insource.traffic.phones import phones
from insource.traffic.rules import Subject, apply, is_in_table
from insource.traffic.secret_rules import secrets

_DIGIT = re.compile(r"[0-9]")
_BEFORE_RUN, _AFTER_RUN = 6, 8
"""Characters around a run of digits that a number may begin or end with (`AB 123456 C`)."""
_TOKEN = re.compile(r"(?<![\w-])(?=[A-Z]|[A-Za-z]{6}\d|[13])[A-Za-z0-9]{7,36}")
"""Begins as the numbers of TOKEN_RULES do."""
_LOOKS_SO = 0.3
_NUMBERED = ("national_id", "phone")
_NOT_DIGIT = re.compile(r"[^0-9]")
_EXAMPLE = re.compile(r"^(?:(\d)\1{6,}|123456789|987654321|078051120|219099999)$")
"""Numbers that examples use; of the last two everybody's cards once had a copy."""


class PatternDetector:
    """Finds spans in time linear in the text. Holds no state, so one serves all threads."""

    linear_time = True
    kinds = frozenset(
        ("email", "phone", "card", "iban", "ip", "mac", "national_id", "bank_account", "birth_date", "wallet", "secret")
    )

    def scan(self, text: str) -> list[PrivacySpan]:
        """Spans in order of start, none overlapping."""
        spans: list[PrivacySpan] = []
        for view in views(text):
            for span in _find(Subject(view.text)):
                start, end = view.locate(span.start, span.end)
                found = replace(span, start=start, end=end)
                if span.kind in _NUMBERED and _EXAMPLE.search(_NOT_DIGIT.sub("", view.text[span.start : span.end])):
                    found = replace(found, confidence=_LOOKS_SO)
                spans.append(found)
        return merge(spans)


def _find(subject: Subject) -> Iterator[PrivacySpan]:
    """Cheap questions first: most requests hold no `@`, no close digits and no marker of a secret."""
    text = subject.text
    yield from secrets(subject)
    yield from emails(subject)
    if _DIGIT.search(text):
        yield from apply(NAMED_RULES, subject)
        for token in _TOKEN.finditer(text):
            if not token.group().isalpha():
                yield from apply(TOKEN_RULES, subject, window=(token.start(), min(len(text), token.end() + 3)))
        yield from apply(WALLET_RULES, subject)
        one_line = text.replace("\n", " ").replace("\r", " ")  # a number may go on in the next line
        yield from numbers.ibans(one_line)
        for run in numbers.RUNS.finditer(one_line):
            window = (max(0, run.start() - _BEFORE_RUN), min(len(text), run.end() + _AFTER_RUN))
            yield from numbers.cards(one_line, subject.lowered, window=window)
        for run in numbers.RUNS.finditer(text):
            yield from _numbers(subject, run)
    if "." in text or ":" in text or "-" in text:
        yield from addresses(subject)


def _numbers(subject: Subject, run: re.Match[str]) -> Iterator[PrivacySpan]:
    text = subject.text
    if not is_in_table(text, *run.span()):
        window = (max(0, run.start() - _BEFORE_RUN), min(len(text), run.end() + _AFTER_RUN))
        yield from apply(RUN_RULES, subject, window=window)
    yield from phones(subject, run=run.span())


def merge(spans: Sequence[PrivacySpan]) -> list[PrivacySpan]:
    """Of spans that overlap, the surest (then the longest) gives the kind, and their union the place: masking it
    leaves no rest of the other."""
    merged: list[PrivacySpan] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end, -s.confidence, s.kind)):
        if not merged or span.start >= merged[-1].end:
            merged.append(span)
            continue
        last = merged[-1]
        best = max(last, span, key=lambda s: (s.confidence, s.end - s.start))
        merged[-1] = replace(best, start=last.start, end=max(last.end, span.end))
    return merged


def mask(text: str, spans: Sequence[PrivacySpan]) -> str:
    """The text with every span replaced by its kind in brackets; spans of any detector, in any order."""
    pieces: list[str] = []
    at = 0
    for span in merge(spans):
        pieces += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*pieces, text[at:]])
