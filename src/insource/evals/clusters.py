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
from zlib import crc32

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


Grams = frozenset[int]
"""Of a text its character 4-grams, each as its CRC-32: a set can be kept without keeping what was said."""


def grams(text: str) -> Grams:
    """Of a text shorter than 4 characters the text itself is the only one."""
    return frozenset(
        crc32(text[at : at + GRAM].encode("utf-8", "surrogatepass")) for at in range(max(1, len(text) - GRAM + 1))
    )


@dataclass(frozen=True, slots=True)
class Likeness:
    """An earlier text that resembles a new one."""

    index: int
    likeness: float


@dataclass(slots=True)
class NearDuplicates:
    """An index of texts that grows; texts are numbered in the order in which they were added."""

    rarity: Counter[int] = field(default_factory=Counter[int])
    """How many of the first texts hold a gram; fixed before anything is added, or empty."""
    _sets: list[Grams] = field(default_factory=list[Grams], init=False)
    _filed: dict[int, list[int]] = field(default_factory=dict[int, list[int]], init=False)
    _same: dict[Grams, int] = field(default_factory=dict[Grams, int], init=False)

    @classmethod
    def for_texts(cls, texts: Sequence[str]) -> NearDuplicates:
        """An empty index whose order of grams suits these folded texts. Any other order finds the same, more slowly."""
        counts: Counter[int] = Counter()
        for text in texts[:_SAMPLE]:
            counts.update(grams(text))
        return cls(rarity=counts)

    def alike(self, text: str) -> list[Likeness]:
        """The earlier texts that a folded text resembles, the most alike first, then the earliest."""
        return self.alike_grams(grams(text))

    def alike_grams(self, wanted: Grams) -> list[Likeness]:
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
        return self.add_grams(grams(text))

    def add_grams(self, held: Grams) -> int:
        index = len(self._sets)
        self._sets.append(held)
        if held not in self._same:
            self._same[held] = index
            for gram in self._prefix(held):
                self._filed.setdefault(gram, []).append(index)
        return index

    def _prefix(self, held: Grams) -> list[int]:
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
