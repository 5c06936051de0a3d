"""What has no declared task, no system prompt of its own and no template: told apart by its answers' shape, then by
form.

A topic is not a task: the 77 intents of a bank's messages are one kind of work, and maths problems about ducks and
about trains too. Clusters are therefore split only across a clear gap between two modes (few texts lie in the
middle), and what shows no gap stays together. Texts are sorted first, so their order in the log does not matter."""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from insource.core.answers import normalise
from insource.traffic.evidence import is_json
from insource.traffic.naming import frequent_words

Floats = NDArray[np.float64]

_MARKS = re.compile(r"[^\w\s]|_")
_DIGITS, _CAPITALS = string.digits.encode(), string.ascii_uppercase.encode()
SHORT_WORDS = 6
CLOSED = 0.5
"""Share of the short answers that recur at least three times, when they are labels; a rare label then counts too."""
SAMPLE = 2_000
"""Distinct texts that the clusters are found on, those with the smallest hashes; the others go to the nearest
centre."""
TOPICS = 16
SEPARATION = 4.8
"""Ashman's D (Ashman, Bird & Zepf 1994) along the line between two centres; 2 is the usual sign of two modes. Halves
of one kind of work reach 4.4 because the line is chosen to separate them."""
MIDDLE_SHARE = 0.25
"""Density between 35 % and 65 % of that line, relative to the smaller side's own; one kind of work gives 0.28 or
more, two kinds 0.0 to 0.25 (bench/discovery.py prints pairs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    shape: str
    words: tuple[str, ...]
    """What sets it apart from its neighbours of the same shape, or is frequent in it."""
    alone: bool
    """No other cluster has its shape."""
    texts: frozenset[str]


def answer_shapes(answers: Mapping[str, str | None], *, tool_calls: frozenset[str]) -> dict[str, str]:
    """Shape by input: `tool_call`, `json`, `label` (short, where short answers recur), `text` (also: not known)."""
    forms = {
        text: normalise(answer) for text, answer in answers.items() if answer and len(answer.split()) <= SHORT_WORDS
    }
    repeated = Counter(forms.values())
    closed = sum(count for count in repeated.values() if count > 2) >= CLOSED * len(forms)
    shapes: dict[str, str] = {}
    for text, answer in answers.items():
        if text in tool_calls:
            shapes[text] = "tool_call"
        elif answer and is_json(answer):
            shapes[text] = "json"
        elif closed and text in forms:
            shapes[text] = "label"
        else:
            shapes[text] = "text"
    return shapes


def cluster(shapes: Mapping[str, str], *, private: frozenset[str] = frozenset()) -> list[Cluster]:
    """Clusters of the distinct texts, largest first. A shape or a cluster with too few texts is no kind of work of
    its own: it stays with the largest. Words are taken from texts that are not `private`."""
    least = max(10, min(20, len(shapes) // 50))
    by_shape: defaultdict[str, list[str]] = defaultdict(list)
    for text, shape in sorted(shapes.items()):
        by_shape[shape].append(text)
    largest = max(by_shape, key=lambda shape: (len(by_shape[shape]), shape), default="text")
    for shape in [shape for shape, texts in by_shape.items() if len(texts) < least and shape != largest]:
        by_shape[largest] += by_shape.pop(shape)
    found: list[Cluster] = []
    for shape, texts in by_shape.items():
        parts = _by_form(sorted(texts), least)
        for number, part in enumerate(parts):
            others = [text for other in parts[:number] + parts[number + 1 :] for text in other]
            words = frequent_words(
                [text for text in part if text not in private], [text for text in others if text not in private]
            )
            found.append(Cluster(shape=shape, words=words, alone=not others, texts=frozenset(part)))
    return sorted(found, key=lambda item: (-len(item.texts), item.shape, item.words))


def _by_form(texts: list[str], least: int) -> list[list[str]]:
    if len(texts) < 2 * least:
        return [texts]
    sample = sorted(sorted(texts, key=lambda text: crc32(text.encode("utf-8", "replace")))[:SAMPLE])
    space = _Space(sample)
    groups = _bisect(space.sample, np.arange(len(sample)), least)
    if len(groups) == 1:
        return [texts]
    group_of = {sample[at]: number for number, group in enumerate(groups) for at in group}
    others = [text for text in texts if text not in group_of]
    if others:
        centres = np.array([space.sample[group].mean(axis=0) for group in groups])
        nearest = ((space.place(others)[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)
        group_of |= dict(zip(others, map(int, nearest), strict=True))
    return [[text for text in texts if group_of[text] == number] for number in range(len(groups))]


class _Space:
    """Words (TF-IDF, reduced to topics) beside form (length, digits, lines, capitals, punctuation), on like
    scales."""

    def __init__(self, texts: Sequence[str]) -> None:
        # Imported here: only discovery needs scikit-learn, and loading it takes a second.
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._words: Any = TfidfVectorizer(sublinear_tf=True, max_features=4_000, token_pattern=r"(?u)\w+|[^\w\s]")
        weights = self._words.fit_transform(texts)
        topics = min(TOPICS, weights.shape[1] - 1, weights.shape[0] - 1)
        self._topics: Any = TruncatedSVD(topics, random_state=0).fit(weights) if topics > 0 else None
        self.sample = self._place(texts, weights)

    def place(self, texts: Sequence[str]) -> Floats:
        return self._place(texts, self._words.transform(texts))

    def _place(self, texts: Sequence[str], weights: Any) -> Floats:
        forms = np.array([_form(text) for text in texts])
        if self._topics is None:  # one word, said more or less often
            return np.hstack([np.zeros((len(texts), 1)), forms])
        topics = np.asarray(self._topics.transform(weights), dtype=np.float64)
        topics /= np.linalg.norm(topics, axis=1, keepdims=True) + 1e-9
        return np.hstack([topics, forms])


def _form(text: str) -> list[float]:
    size = max(len(text), 1)
    digits = _count(text, str.isdigit, _DIGITS) / size
    capitals = _count(text, str.isupper, _CAPITALS) / size
    marks = len(_MARKS.findall(text)) / size
    lines = text.count("\n") / size
    return [np.log1p(len(text.split())) / 2, 3 * digits**0.5, 3 * lines**0.5, 2 * capitals**0.5, 2 * marks**0.5]


def _count(text: str, is_one: Callable[[str], bool], of_ascii: bytes) -> int:
    """How many characters of a kind; `of_ascii` are those of ASCII, where counting is ten times faster."""
    if text.isascii():
        return len(text) - len(text.encode().translate(None, of_ascii))
    return sum(map(is_one, text))


def _bisect(points: Floats, chosen: NDArray[np.intp], least: int) -> list[NDArray[np.intp]]:
    """Splits while there is a gap, seen in the words alone or in words and form."""
    if len(chosen) < 2 * least:
        return [chosen]
    from sklearn.cluster import KMeans

    means: Any = KMeans(2, n_init=cast("Any", 4), random_state=0)  # scikit-learn infers a type of "auto" only
    forms = 5
    best: tuple[float, NDArray[np.bool_]] | None = None
    for seen in (points[chosen][:, :-forms], points[chosen]):
        if len(np.unique(seen, axis=0)) < 2:
            continue
        side = means.fit(seen).labels_ == 1
        middle = _gap(seen, side)
        if min(side.sum(), (~side).sum()) >= least and middle is not None and (best is None or middle < best[0]):
            best = (middle, side)
    if best is None:
        return [chosen]
    return [group for half in (best[1], ~best[1]) for group in _bisect(points, chosen[half], least)]


def _gap(seen: Floats, side: NDArray[np.bool_]) -> float | None:
    """How full the middle between two centres is, relative to the smaller side; None when it is no gap."""
    high, low = seen[side].mean(axis=0), seen[~side].mean(axis=0)
    line = (high - low) / (np.linalg.norm(high - low) + 1e-12)
    along = seen @ line
    separation = abs(float((high - low) @ line)) * 2**0.5 / (along[side].var() + along[~side].var() + 1e-12) ** 0.5
    position = (along - low @ line) / ((high - low) @ line)
    smaller = min(side.mean(), 1 - side.mean())
    middle = float(((position > 0.35) & (position < 0.65)).mean() / (0.6 * smaller))
    return middle if separation >= SEPARATION and middle <= MIDDLE_SHARE else None
