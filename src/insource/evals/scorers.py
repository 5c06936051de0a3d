"""Scorers: the loss of an answer beside its reference, in [0, 1]; 0 is right. Pure, and safe on hostile text.

Agreement with a hosted answer is the same scorer with that answer as the reference.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from insource.core.answers import find_json, find_label, find_number, normalise
from insource.core.values import OutputKind, OutputProfile

_LONGEST = 50_000
"""Characters of an answer that are looked at (its end): bounds the time that a hostile one can take."""
_BRACKETS = "[](){}<>"
_BRACKETED = re.compile(r"[\[(]([^\[\]()]{1,200})[\])]")
_WORD = re.compile(r"\w+")
_RELATIVE = 1e-6
"""Numbers that differ by less are the same: 0.333333 and 1/3 printed at another length."""


def choose_scorer(output: OutputProfile) -> str:
    """The name of the scorer for a kind of answer."""
    return {
        OutputKind.LABEL: "label",
        OutputKind.NUMBER: "number",
        OutputKind.JSON: "json_fields",
        OutputKind.TOOL_CALL: "json_fields",
        OutputKind.TEXT: "overlap",
    }[output.kind]


def bare(text: str) -> str:
    """`[Yes]`, `(yes).` and `yes` are one label."""
    return normalise(normalise(text).strip(_BRACKETS))


def canonical_answer(text: str, output: OutputProfile) -> str:
    """An answer in the form it is compared in: the observed label that it gives, else the text itself.

    Knowing all labels tells `not [No] but [Yes]` from `[No]`, which a reference alone can't.
    """
    if output.kind is not OutputKind.LABEL:
        return text
    text = text[-_LONGEST:]
    by_bare = {bare(label): label for label in output.labels}
    return by_bare.get(bare(text)) or find_label(text, output.labels) or text


class ExactScorer:
    """Right when the same but for case, white space and surrounding punctuation."""

    name = "exact"

    def loss(self, answer: str, reference: str) -> float:
        return float(normalise(answer[-_LONGEST:]) != normalise(reference[-_LONGEST:]))


class LabelScorer:
    """Right when the answer is the label, begins with it, or ends on it in brackets."""

    name = "label"

    def loss(self, answer: str, reference: str) -> float:
        said, wanted = answer[-_LONGEST:], bare(reference[-_LONGEST:])
        if bare(said) == wanted:
            return 0.0
        if not wanted:
            return 1.0
        bracketed = _BRACKETED.findall(said)
        if bracketed:
            return float(bare(bracketed[-1]) != wanted)
        begins = re.match(re.escape(wanted) + r"(?!\w)", normalise(said).lstrip(_BRACKETS))
        return float(begins is None)


class NumberScorer:
    """Right when the numbers that both end in are equal; without a number in the reference, when the texts are."""

    name = "number"

    def loss(self, answer: str, reference: str) -> float:
        wanted = find_number(reference[-_LONGEST:])
        if wanted is None:
            return ExactScorer().loss(answer, reference)
        said = find_number(answer[-_LONGEST:])
        return float(said is None or not math.isclose(said, wanted, rel_tol=_RELATIVE, abs_tol=_RELATIVE))


class JsonFieldsScorer:
    """Share of the leaf fields of both that differ: a missing field, another value and an invented field all count."""

    name = "json_fields"

    def loss(self, answer: str, reference: str) -> float:
        wanted, said = find_json(reference[-_LONGEST:]), find_json(answer[-_LONGEST:])
        if wanted is None:
            return ExactScorer().loss(answer, reference)
        if said is None:
            return 1.0
        wanted_leaves, said_leaves = dict(_leaves(wanted)), dict(_leaves(said))
        paths = wanted_leaves.keys() | said_leaves.keys()
        missing = object()
        wrong = sum(wanted_leaves.get(path, missing) != said_leaves.get(path, missing) for path in paths)
        return wrong / len(paths)


class OverlapScorer:
    """1 - token F1 (SQuAD; Rajpurkar et al. 2016): for free text, and no more than a hint of its quality."""

    name = "overlap"

    def loss(self, answer: str, reference: str) -> float:
        said = Counter(_WORD.findall(answer[-_LONGEST:].casefold()))
        wanted = Counter(_WORD.findall(reference[-_LONGEST:].casefold()))
        if not said or not wanted:
            return float(said != wanted)
        common = (said & wanted).total()
        return 1 - 2 * common / (said.total() + wanted.total())


def _leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, comparable value) of every leaf; empty containers are leaves. Iterative, so depth can't overflow."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict) and item:
            stack.extend(((*path, f".{key}"), child) for key, child in item.items())
        elif isinstance(item, list) and item:
            stack.extend(((*path, f"[{place}]"), child) for place, child in enumerate(item))
        else:
            yield path, _comparable(item)


def _comparable(leaf: Any) -> tuple[str, Any]:
    """With its kind, because `True == 1` in Python; numbers by value, texts but for case and white space."""
    if isinstance(leaf, bool) or leaf is None:
        return "constant", leaf
    if isinstance(leaf, int | float):
        return "number", leaf
    return ("text", normalise(leaf)) if isinstance(leaf, str) else ("empty", str(leaf))
