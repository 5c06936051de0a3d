"""Scorers: the loss of an answer beside its reference, in [0, 1]; 0 is right. Pure, and safe on hostile text.

Agreement with a hosted answer is the same scorer with that answer as the reference. What a scorer needs to know beside
the two (labels, a schema) are its arguments, which the criterion holds and the certificate records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from insource.core.answers import final_number, find_json, find_label, normalise
from insource.core.values import JsonObject
from insource.evals.by_schema import same

_LONGEST = 50_000
"""Characters of an answer that are looked at (its end): bounds the time that a hostile one can take."""
_BRACKETS = "[](){}<>"
_RELATIVE = 1e-6
"""Numbers that differ by less are the same: 0.333333 and 1/3 printed at another length."""


def bare(text: str) -> str:
    """`[Yes]`, `(yes).` and `yes` are one label."""
    return normalise(normalise(text).strip(_BRACKETS))


class ExactScorer:
    """Right when the same but for case, white space and surrounding punctuation."""

    name = "exact"
    costly = False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return normalise(answer[-_LONGEST:])

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        return float(self.canonical(answer, arguments) != self.canonical(reference, arguments))


class LabelScorer:
    """Right when both give the same one of the task's labels. Arguments: `labels`."""

    name = "label"
    costly = False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        """The label that the answer gives, else the answer itself: knowing all labels tells `not [No] but [Yes]` from
        `[No]`."""
        labels = tuple(str(label) for label in arguments.get("labels") or ())
        return _label(answer[-_LONGEST:], labels)

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        said, wanted = self.canonical(answer, arguments), self.canonical(reference, arguments)
        return float(bare(said) != bare(wanted))


@lru_cache(maxsize=20_000)
def _label(text: str, labels: tuple[str, ...]) -> str:
    return _by_bare(labels).get(bare(text)) or find_label(text, labels) or text


@lru_cache(maxsize=50)
def _by_bare(labels: tuple[str, ...]) -> Mapping[str, str]:
    return {bare(label): label for label in labels}


class NumberScorer:
    """Right when both answers are the same number: the answer as a whole, or what stands after an answer mark."""

    name = "number"
    costly = False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        number = final_number(answer[-_LONGEST:])
        return normalise(answer[-_LONGEST:]) if number is None else f"{number:.12g}"

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        said, wanted = final_number(answer[-_LONGEST:]), final_number(reference[-_LONGEST:])
        if wanted is None or said is None:
            return 1.0 if wanted is not None else ExactScorer().loss(answer, reference, request={}, arguments={})
        return float(not math.isclose(said, wanted, rel_tol=_RELATIVE, abs_tol=_RELATIVE))


class JsonScorer:
    """Right when both are JSON that says the same under the schema. Arguments: `schema`, or none."""

    name = "json"
    costly = False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return normalise(answer[-_LONGEST:])

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        if answer == reference:  # NaN is JSON for some, and unlike itself
            return 0.0
        wanted, said = find_json(reference[-_LONGEST:]), find_json(answer[-_LONGEST:])
        if wanted is None:
            return ExactScorer().loss(answer, reference, request={}, arguments={})
        return float(said is None or not same(said, wanted, arguments.get("schema")))


class ToolsScorer:
    """Right when both call the same tools with arguments that say the same under each tool's schema, in any order.

    The schemas are those of the request's own `tools`.
    """

    name = "tools"
    costly = False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return normalise(answer[-_LONGEST:])

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        wanted, said = _calls(reference), _calls(answer)
        if wanted is None or said is None:  # an answer in words, where a call was an option
            return float((wanted is None) != (said is None))
        schemas = tool_schemas(request)
        left = list(wanted)
        for call in said:
            found = next((at for at, other in enumerate(left) if _same_call(call, other, schemas)), None)
            if found is None:
                return 1.0
            del left[found]
        return float(bool(left))


def tool_schemas(request: JsonObject) -> dict[str, Any]:
    """Tool name -> the schema of its arguments."""
    found: dict[str, Any] = {}
    tools: Any = request.get("tools") or request.get("functions")
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = function.get("parameters") or function.get("input_schema")
    return found


def _calls(text: str) -> list[JsonObject] | None:
    """Of an answer's calls as `answer_or_calls` writes them; None: it is words."""
    value = find_json(text[-_LONGEST:]) if text.lstrip()[:1] in ("[", "{") else None
    calls: list[Any] = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        return None
    return calls


def _same_call(a: JsonObject, b: JsonObject, schemas: Mapping[str, Any]) -> bool:
    if a["name"] != b["name"]:
        return False
    return same(a.get("arguments") or {}, b.get("arguments") or {}, schemas.get(str(a["name"])))


def labels_of(arguments: JsonObject) -> Sequence[str]:
    found: Any = arguments.get("labels")
    return [str(label) for label in found] if isinstance(found, list | tuple) else []
