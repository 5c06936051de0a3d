"""Text features: TF-IDF over character and word n-grams, as sparse rows over a bounded vocabulary. Pure.

Character n-grams (3 to 5, inside words) forgive spelling, word n-grams (1 and 2) hold meaning; each block has length 1,
so that neither drowns the other. What (nearly) every text of the task has says nothing and is left out: that also
removes a template's fixed words. Measured in design/2026-11-30-head-features.md.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MAX_VOCABULARY = 30_000
"""Most frequent n-grams kept: bounds the artifact at 0.12 MB a label."""
_MIN_DOCUMENTS = 2
_MAX_SHARE = 0.95
_MAX_CHARACTERS = 8_192
"""Of a text: its end, where instructions and questions stand. Bounds the time of one prediction."""
_WORD = re.compile(r"\w+")


def grams(text: str) -> Counter[str]:
    """n-gram -> occurrences; the block is its first character (`c` or `w`)."""
    text = text[-_MAX_CHARACTERS:].casefold()
    found: Counter[str] = Counter()
    for chunk in text.split():
        padded = f" {chunk} "
        for size in range(3, 6):
            if len(padded) < size:
                break
            found.update("c" + padded[i : i + size] for i in range(len(padded) - size + 1))
    words = _WORD.findall(text)
    found.update("w" + word for word in words)
    found.update(f"w{a} {b}" for a, b in pairwise(words))
    return found


def vocabulary(texts: Iterable[Mapping[str, int]]) -> tuple[list[str], Floats]:
    """The n-grams that are neither rare nor everywhere, sorted, and their inverse document frequency log((1+n)/(1+df)),
    from the texts' `grams`. The same for any order of the texts."""
    documents: Counter[str] = Counter()
    n = 0
    for text in texts:
        documents.update(text.keys())
        n += 1
    kept = [(count, gram) for gram, count in documents.items() if _MIN_DOCUMENTS <= count <= _MAX_SHARE * n]
    kept.sort(key=lambda item: (-item[0], item[1]))
    chosen = sorted(gram for _, gram in kept[:MAX_VOCABULARY])
    return chosen, np.array([math.log((1 + n) / (1 + documents[gram])) for gram in chosen], dtype=np.float64)


def row(found: Mapping[str, int], index: Mapping[str, int], idf: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """(columns, values) of one text: (1 + log tf) * idf, each block scaled to length 1. Columns ascend."""
    known = sorted((index[gram], gram[0], count) for gram, count in found.items() if gram in index)
    columns = np.array([column for column, _, _ in known], dtype=np.int64)
    values = np.log1p(np.array([count for _, _, count in known], dtype=np.float64) - 1) + 1
    values *= idf[columns]
    is_word = np.array([block == "w" for _, block, _ in known], dtype=np.bool_)
    for block in (is_word, ~is_word):
        length = math.sqrt(float(values[block] @ values[block]))
        if length > 0:
            values[block] /= length
    return columns, values


def index_of(names: Sequence[str]) -> dict[str, int]:
    return {name: column for column, name in enumerate(names)}
