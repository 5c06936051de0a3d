"""A rule of detection: a pattern, what must be there before it is worth trying, and who has the last word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from insource.core.values import PrivacySpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Finds one kind. Every quantifier of `pattern` is bounded or possessive: linear time on any text."""

    kind: str
    pattern: re.Pattern[str]
    confidence: float
    markers: tuple[str, ...] = ()
    """Lower-case texts, one of which occurs in every match; looked for first, because that is cheap. () none."""
    group: int = 0
    """The part of the match that is reported."""
    check: Callable[[str], bool] | None = None
    """Sees the reported part, without separators when `compact`, and decides."""
    compact: bool = False
    lowered: bool = False
    """Match on the text in lower case."""


_SEPARATORS = str.maketrans("", "", " .-/\t")


def compact(text: str) -> str:
    """Without the separators that people put into numbers."""
    return text.translate(_SEPARATORS)


def apply(
    rules: tuple[Rule, ...], text: str, lowered: str, *, window: tuple[int, int] | None = None
) -> Iterator[PrivacySpan]:
    """Spans of all rules; `lowered` is `text` in lower case and as long; only within `window` when one is given."""
    start, end = window or (0, len(text))
    for rule in rules:
        if not rule.markers or _mentions(lowered, rule.markers):
            subject = lowered if rule.lowered else text
            for match in rule.pattern.finditer(subject, start, end):
                found = match.group(rule.group)
                if rule.check is None or rule.check(compact(found) if rule.compact else found):
                    at, to = match.span(rule.group)
                    yield PrivacySpan(start=at, end=to, kind=rule.kind, confidence=rule.confidence)


def _mentions(lowered: str, markers: tuple[str, ...]) -> bool:
    for marker in markers:  # noqa: SIM110 - a generator for `any` costs more than the search, on every request
        if marker in lowered:
            return True
    return False
