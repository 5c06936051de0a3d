"""A template from the texts of a group: the pieces of constant text that nearly all of them hold, letter by
letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from insource.traffic.corpus import CONSTANT, TOKEN, VARIABLE, Bools, Corpus, Ints, clip, is_word, normal_token
from insource.traffic.templates import END, LEAST_PART, MARKS
from insource.traffic.wording import asks

CHECKED = 200
"""Texts of a group that its parts are checked on."""
LOST = 0.005
"""Share of the texts that a part may be missing from if it asks for something: where a request is cut it may still be
what tells the task. Other parts that are not quite constant are left out."""
_BREAK = re.compile(r"\n+|(?<=[.!?:;,])\s+|\s+")
_MARK = re.compile(f"[{MARKS}]")


def constant_parts(corpus: Corpus, group: Ints, constant: Bools) -> tuple[str, ...]:
    """`constant` says it of each phrase of the corpus. Longest first; () where nothing that is constant says a
    thing."""
    lengths = corpus.ends - np.append(0, corpus.ends[:-1])
    shortest = int(group[np.argmin(lengths[group])])
    step = max(1, len(group) // CHECKED)
    texts = [corpus.texts[int(number)] for number in group[::step]]
    covered = corpus.covered(constant, corpus.span(shortest))
    found = {
        part
        for run in _runs(clip(corpus.texts[shortest]), covered)
        for held in _held(run, texts)
        if (part := _widened(held, texts)) and _says(part)
    }
    return _together(sorted(found, key=lambda part: (-len(part), part)), texts)


def _runs(text: str, covered: Bools) -> Iterator[str]:
    """Stretches of constant tokens of one message, between what varies: digits and names of days break them too."""
    start = end = -1
    for token, constant in zip(TOKEN.finditer(text), covered, strict=True):
        word = token.group()
        if constant and normal_token(word) != VARIABLE:
            start, end = (token.start() if start < 0 else start), token.end()
            if word != END:
                continue
        if start >= 0:
            yield text[start:end].strip()
        start = -1
    if start >= 0:
        yield text[start:end].strip()


def _held(part: str, texts: Sequence[str]) -> list[str]:
    """The part, or the pieces of it that nearly all texts hold: white space may differ between them."""
    if not _says(part):
        return []
    if _share(part in text for text in texts) >= CONSTANT:
        return [part]
    breaks = list(_BREAK.finditer(part))
    if not breaks:
        return []
    lines = [found for found in breaks if "\n" in found.group()] or breaks
    middle = min(lines, key=lambda found: abs(found.start() - len(part) // 2))
    return [*_held(part[: middle.start()], texts), *_held(part[middle.end() :], texts)]


def _widened(part: str, texts: Sequence[str]) -> str:
    """With the space around it where all have one: `Solve ` does not begin `Solver`."""
    for wider in (part + " ", part + "\n", " " + part):
        if _share(wider in text for text in texts) >= 1 - LOST:
            part = wider
    return part


def _says(part: str) -> bool:
    """Long enough to be no chance; less will do at the edge of a message."""
    said = _MARK.sub("", part).strip()
    if said != part.strip():
        return any(map(str.isalpha, said))
    return len(said) >= LEAST_PART and any(map(is_word, TOKEN.findall(said)))


def _together(parts: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """The parts that no text is without, or else the longest one; and those that ask for something and hardly any
    is."""
    constant = [part for part in parts if all(part in text for text in texts)] or list(parts[:1])
    left = [text for text in texts if all(part in text for part in constant)]
    for part in parts:
        if part not in constant and asks(part):
            holding = [text for text in left if part in text]
            if len(left) - len(holding) <= LOST * len(left):
                constant.append(part)
                left = holding
    return tuple(sorted(constant, key=lambda part: (-len(part), part)))


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found) if found else 0.0
