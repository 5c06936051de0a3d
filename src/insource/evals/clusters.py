"""Clusters of near-duplicate inputs, fixed when their first exchange arrives.

Two texts are near-duplicates when the sets of their character 4-grams overlap by 70 % (Jaccard), after folding case and
dropping tokens that hold a digit: a ticket number, a date, an amount do not make another question. A new text joins the
cluster of the earlier text that it resembles most; what it links later merges nothing, so a text's place never changes.

The search is exact. Each text is filed under its rarest grams, as many as two texts must share one of to reach 70 %
(prefix filtering: Chaudhuri, Ganti & Kaushik, "A primitive operator for similarity joins", ICDE 2006). Rare means by a
hash with a bias to what was rare in the first texts, so that the order is fixed and grows with the log.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LIKENESS = 0.7
GRAM = 4
MOST_CHARACTERS = 4_000
"""Of a text, its beginning and its end: near-duplicates of a book agree in both."""
_SPACE = re.compile(r"\s+")
_WITH_DIGIT = re.compile(r"\S*\d\S*")
_SAMPLE = 5_000


def folded(text: str, *, drop_digits: bool = True) -> str:
    """The text as it is compared."""
    text = text.casefold()
    if drop_digits:
        without = _WITH_DIGIT.sub(" ", text)
        text = without if without.strip() else text  # a bare number is its own text
    text = _SPACE.sub(" ", text).strip()
    half = MOST_CHARACTERS // 2
    return text if len(text) <= MOST_CHARACTERS else text[:half] + text[-half:]


def grams(text: str) -> frozenset[str]:
    """Character 4-grams; of a shorter text the text itself."""
    return frozenset(text[at : at + GRAM] for at in range(max(1, len(text) - GRAM + 1)))


@dataclass(frozen=True, slots=True)
class Likeness:
    """An earlier text that resembles a new one."""

    index: int
    likeness: float


@dataclass(slots=True)
class NearDuplicates:
    """An index of texts that grows; texts are numbered in the order in which they were added."""

    rarity: Counter[str] = field(default_factory=Counter[str])
    """How many of the first texts hold a gram; fixed before anything is added, or empty."""
    _sets: list[frozenset[str]] = field(default_factory=list[frozenset[str]], init=False)
    _filed: dict[str, list[int]] = field(default_factory=dict[str, list[int]], init=False)
    _same: dict[frozenset[str], int] = field(default_factory=dict[frozenset[str], int], init=False)

    @classmethod
    def for_texts(cls, texts: Sequence[str]) -> NearDuplicates:
        """An empty index whose order of grams suits these folded texts. Any other order finds the same, more slowly."""
        counts: Counter[str] = Counter()
        for text in texts[:_SAMPLE]:
            counts.update(grams(text))
        return cls(rarity=counts)

    def alike(self, text: str) -> list[Likeness]:
        """The earlier texts that a folded text resembles, the most alike first, then the earliest."""
        wanted = grams(text)
        size = len(wanted)
        least, most = math.ceil(LIKENESS * size), math.floor(size / LIKENESS)
        candidates: set[int] = set()
        for gram in self._prefix(wanted):
            candidates.update(self._filed.get(gram, ()))
        found: list[Likeness] = []
        for index in candidates:
            other = self._sets[index]
            if least <= len(other) <= most:
                common = len(wanted & other)
                likeness = common / (size + len(other) - common)
                if likeness >= LIKENESS:
                    found.append(Likeness(index, likeness))
        return sorted(found, key=lambda each: (-each.likeness, each.index))

    def add(self, text: str) -> int:
        """Returns the text's number. An equal text is filed once more only by number, not by grams."""
        held = grams(text)
        index = len(self._sets)
        self._sets.append(held)
        if held not in self._same:
            self._same[held] = index
            for gram in self._prefix(held):
                self._filed.setdefault(gram, []).append(index)
        return index

    def _prefix(self, held: frozenset[str]) -> list[str]:
        """The rarest grams, so many that two sets with 70 % in common share one of them."""
        ordered = sorted(held, key=lambda gram: (self.rarity[gram], gram))
        return ordered[: len(ordered) - math.ceil(LIKENESS * len(ordered)) + 1]


def cluster(texts: Iterable[str]) -> list[int]:
    """For each folded text, in the order of their arrival, the number of the first text of its cluster."""
    held = list(texts)
    index = NearDuplicates.for_texts(held)
    first: list[int] = []
    for number, text in enumerate(held):
        found = index.alike(text)
        first.append(first[found[0].index] if found else number)
        index.add(text)
    return first
