"""How sure an answer in fields is, on one scale for empty answers and for others. Pure.

"Nothing was stated" is the easy answer of an extraction: one threshold for all would be filled by it, and what it lets
through of the others would be wrong more often than the margin. So each of the two has its own curve of risk over
confidence, from the fit part, and a confidence becomes one less the loss among answers of its kind that are at least
as sure: one gate then means the same loss in both.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from insource.core.answers import find_json
from insource.core.errors import BadInput
from insource.core.hashing import canonical_json

_KIND = "certainty"
_SMOOTHING = 0.5
"""Losses added to those seen: none in three does not promise none."""
_ORDER = 1e-3
"""Share of the scale that keeps the order among answers of equal risk, so that tighter gates exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A held-out answer of the fit part."""

    answer: str
    confidence: float
    difference: float
    """Loss here less the hosted loss, in [-1, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """`confidences` rise; an answer takes the value of the largest that it reaches, and 0 below all."""

    confidences: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def value(self, confidence: float) -> float:
        at = bisect_right(self.confidences, confidence)
        return self.values[at - 1] if at else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    empty: Curve
    others: Curve

    def sure(self, answer: str, confidence: float) -> float:
        """In [0, 1]; never falls where the confidence rises."""
        return (self.empty if says_nothing(answer) else self.others).value(confidence)

    def artifact(self) -> bytes:
        curves = {
            name: [list(curve.confidences), list(curve.values)]
            for name, curve in (("empty", self.empty), ("others", self.others))
        }
        return canonical_json({"kind": _KIND, "version": 1, **curves})


def fit_certainty(held: Sequence[Held]) -> Certainty:
    """`held`: one a cluster."""
    empty = [one for one in held if says_nothing(one.answer)]
    others = [one for one in held if not says_nothing(one.answer)]
    return Certainty(empty=_curve(empty), others=_curve(others))


def load_certainty(artifact: bytes) -> Certainty:
    """Raises BadInput for bytes that are none."""
    try:
        told = json.loads(artifact)
        if told["kind"] != _KIND or told["version"] != 1:
            raise ValueError("it is of another kind")
        return Certainty(empty=_read(told["empty"]), others=_read(told["others"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(
            f"This artifact of a candidate's certainty is damaged: {error}.",
            next_step="Make the candidate again with `insource adapt`.",
        ) from error


def says_nothing(answer: str) -> bool:
    """Whether an answer in JSON, or a call of a tool, states no value."""
    value = find_json(answer) if answer.lstrip()[:1] in ("{", "[") else None
    if value is None:
        return not answer.strip()
    if isinstance(value, list) and value and all(_is_call(one) for one in value):
        return all(_is_empty(one["arguments"]) for one in value)
    return _is_empty(value)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"name", "arguments"}


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_is_empty(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is None or value == ""


def _curve(held: Sequence[Held]) -> Curve:
    ordered = sorted(held, key=lambda one: -one.confidence)
    risks: list[tuple[float, float]] = []
    total = 0.0
    for n, one in enumerate(ordered, start=1):
        total += one.difference
        if n == len(ordered) or ordered[n].confidence < one.confidence:
            risks.append((one.confidence, max(0.0, (total + _SMOOTHING) / (n + 1))))
    lowest, curve = 1.0, dict[float, float]()
    for at, (confidence, risk) in enumerate(reversed(risks)):
        lowest = min(lowest, risk)  # of all gates that let this answer through, the best one's
        curve[confidence] = (1 - lowest) * (1 - _ORDER) + _ORDER * (at + 1) / len(risks)
    return Curve(confidences=tuple(curve), values=tuple(min(1.0, max(0.0, value)) for value in curve.values()))


def _read(told: Any) -> Curve:
    confidences, values = told
    curve = Curve(confidences=tuple(map(float, confidences)), values=tuple(map(float, values)))
    if len(curve.confidences) != len(curve.values):
        raise ValueError("its two columns differ in length")
    return curve
