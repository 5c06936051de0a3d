"""What all rules of detection share: the text in the forms in which it is searched, a rule, and the neighbours of a
number.

Most requests hold nothing private, so cheap questions come first: is the word there, is there a long token at all?
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from insource.core.values import PrivacySpan

_WORDS = re.compile(r"[^\W\d_]+")
_TOKENS = re.compile(r"[\w.~+/=:@%|\\-]{12,}")


class Subject:
    """A folded text. `lowered` is as long as it."""

    def __init__(self, text: str) -> None:
        self.text = text
        lowered = text.lower()
        if len(lowered) != len(text):  # a few letters grow in lower case
            lowered = "".join(character.lower()[:1] for character in text)
        self.lowered = lowered
        self._candidates: dict[RuleSet, tuple[Rule, ...]] = {}

    def candidates(self, rules: RuleSet) -> tuple[Rule, ...]:
        """The rules that may match, asked once: they are applied to every number of a text."""
        found = self._candidates.get(rules)
        if found is None:
            found = self._candidates[rules] = rules.that_may_match(self)
        return found

    @cached_property
    def words(self) -> frozenset[str]:
        """In lower case, without digits and underscores."""
        return frozenset(_WORDS.findall(self.lowered))

    @cached_property
    def vocabulary(self) -> str:
        """The words once each: shorter to search than the text."""
        return " ".join(self.words)

    @cached_property
    def tokens(self) -> str:
        """What is too long for a word, in lower case: keys, tokens, paths, names in code."""
        return " ".join(_TOKENS.findall(self.lowered))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Finds one kind. Every quantifier of `pattern` is bounded: linear time on any text."""

    kind: str
    pattern: re.Pattern[str]
    confidence: float
    words: frozenset[str] = frozenset()
    """One of these words of ASCII letters, in lower case, is in every match, unless it is one of `markers`; looked for
    first, because that is cheap."""
    markers: tuple[str, ...] = ()
    """Lower-case texts as `words`, that may be a part of a word. Neither words nor markers: tried on every text."""
    group: int = 0
    """The part of the match that is reported."""
    check: Callable[[str], bool] | None = None
    """Sees the reported part, without separators when `compact`, and decides."""
    compact: bool = False
    lowered: bool = False
    """Match on the text in lower case."""

    def may_match(self, subject: Subject) -> bool:
        if not self.words and not self.markers:
            return True
        return not self.words.isdisjoint(subject.words) or mentions(subject.lowered, self.markers)


class RuleSet:
    """RuleSet that are tried together. Compared by identity."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules
        self._always = tuple(rule for rule in rules if not rule.words and not rule.markers)
        self._words = frozenset[str]().union(*(rule.words for rule in rules))
        self._markers = tuple(sorted({marker for rule in rules for marker in rule.markers}))

    def that_may_match(self, subject: Subject) -> tuple[Rule, ...]:
        """One question for all of them first: most texts hold none of their words."""
        if self._words.isdisjoint(subject.words) and not mentions(subject.lowered, self._markers):
            return self._always
        return tuple(rule for rule in self._rules if rule.may_match(subject))


def apply(rules: RuleSet, subject: Subject, *, window: tuple[int, int] | None = None) -> Iterator[PrivacySpan]:
    """Spans of all rules; only within `window` when one is given."""
    start, end = window or (0, len(subject.text))
    for rule in subject.candidates(rules):
        for match in rule.pattern.finditer(subject.lowered if rule.lowered else subject.text, start, end):
            found = match.group(rule.group)
            if rule.check is None or rule.check(compact(found) if rule.compact else found):
                at, to = match.span(rule.group)
                yield PrivacySpan(start=at, end=to, kind=rule.kind, confidence=rule.confidence)


def mentions(text: str, markers: tuple[str, ...]) -> bool:
    """Whether any of the texts occurs."""
    for marker in markers:  # noqa: SIM110 - a generator for `any` costs more than the search, on every request
        if marker in text:
            return True
    return False


_SEPARATORS = str.maketrans("", "", " .-/\t")


def compact(text: str) -> str:
    """Without the separators that people put into numbers."""
    return text.translate(_SEPARATORS)


_NEIGHBOUR = r"[0-9A-Fa-f]{0,8}\.?[0-9][0-9A-Fa-f]{0,8}"
_NEIGHBOUR_BEFORE = re.compile(rf"(?<![\w.]){_NEIGHBOUR}[ ,;\t|\n]{{1,3}}[-(\[]{{0,2}}[0-9A-Fa-f]{{0,4}}$")
_NEIGHBOUR_AFTER = re.compile(rf"[0-9A-Fa-f]{{0,4}}[\])]{{0,2}}[ ,;\t|\n]{{1,3}}[-(\[]{{0,2}}{_NEIGHBOUR}(?![\w.])")


def is_in_table(text: str, start: int, end: int) -> bool:
    """Whether numbers, decimal or hexadecimal, stand directly before and after: a row of figures, not one number."""
    before = text[max(0, start - 24) : start]
    return _NEIGHBOUR_BEFORE.search(before) is not None and _NEIGHBOUR_AFTER.match(text, end) is not None
