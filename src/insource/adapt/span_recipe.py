"""The recipe `span`: values that stand in the message, by `span.py`. It answers in JSON, or with one call of a tool,
without a model.

A call is learnt as its arguments and, under a key that no argument has, the tool's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from insource.adapt.asking import artifact_header, read_header
from insource.adapt.span import MIN_EXAMPLES, SpanFitted, fit, load
from insource.core.answers import find_json
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import canonical_json, unit_interval
from insource.core.ports import Demand, Fitted, Learnt, Refusal, Workspace
from insource.core.values import JsonObject, LocalAnswer, OutputKind, OutputProfile
from insource.wire.chat import call_completion, tool_names, user_text

_TOOL = ""
"""The key of the tool's name: no argument is called so."""
_FOLDS = 5
_RECIPE = "span answers"


class SpanAnswers:
    """`core.ports.Fitted`."""

    def __init__(self, slots: SpanFitted, *, calls: bool) -> None:
        self._slots = slots
        self._calls = calls

    def prepare(self, request: JsonObject) -> LocalAnswer:
        """Raises BadInput for a request that wants an answer of the other kind."""
        found = self._slots.find(user_text(request))
        if not self._calls:
            if tool_names(request):
                raise BadInput(
                    "The request offers tools, and this candidate answers in JSON alone.",
                    next_step="Send it to the provider.",
                )
            return LocalAnswer(text=json.dumps(found.answer, ensure_ascii=False), confidence=found.confidence)
        tool = str(found.answer.get(_TOOL, ""))
        if tool not in tool_names(request) or request.get("tool_choice") == "none":
            raise BadInput(
                f"The request does not offer the tool {tool!r} that this candidate would call.",
                next_step="Send it to the provider.",
            )
        arguments = {name: value for name, value in found.answer.items() if name != _TOOL}
        text = canonical_json([{"name": tool, "arguments": arguments}]).decode()
        return LocalAnswer(text=text, confidence=found.confidence, completion=call_completion([(tool, arguments)]))

    def read(self, completion: JsonObject) -> LocalAnswer:
        raise BadInput("The recipe 'span' asks no model.", next_step="Take the answer that `prepare` gave.")

    def artifact(self) -> bytes:
        return b"\n".join([artifact_header(_RECIPE, {"calls": self._calls}), self._slots.artifact()])


class _Row(NamedTuple):
    example: Example
    answer: JsonObject


class SpanRecipe:
    name = "span"
    effort = 1
    learns = True
    asks_model = False
    trains = False
    streams = False
    honours: frozenset[Demand] = frozenset()
    meets: frozenset[Demand] = frozenset({"tools"})

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        if output.kind not in (OutputKind.JSON, OutputKind.TOOL_CALL):
            return Refusal(reason=f"Answers of the kind {output.kind.value!r} hold no fields to fill.")
        if examples < MIN_EXAMPLES:
            reason = f"{examples} examples to learn from are too few; a tagger needs {MIN_EXAMPLES}."
            return Refusal(reason=reason, examples_needed=MIN_EXAMPLES)
        return None

    def fit(
        self, output: OutputProfile, examples: Sequence[Example], *, seed: int, workspace: Workspace | None = None
    ) -> Learnt:
        """The seed is not used: nothing here is drawn."""
        calls = output.kind is OutputKind.TOOL_CALL
        rows = [_Row(example, answer) for example in examples if (answer := _fields(example, calls=calls)) is not None]
        if 2 * len(rows) < len(examples):
            kind = "one call of a tool" if calls else "a JSON object"
            raise BadInput(
                f"Only {len(rows)} of {len(examples)} answers are {kind}.",
                next_step="Use another recipe for this task.",
            )
        whole = _fitted(rows, calls=calls)
        held_out: dict[str, LocalAnswer] = {}
        for fold in range(_FOLDS):
            inside = [row.example for row in rows if _fold(row.example) == fold]
            if inside:
                others = [row for row in rows if _fold(row.example) != fold]
                held_out.update(_answers(_fitted(others, calls=calls), inside))
        return Learnt(fitted=whole, held_out=held_out)

    def load(self, artifact: bytes) -> Fitted:
        head, _, body = artifact.partition(b"\n")
        return SpanAnswers(load(body), calls=bool(read_header(head, _RECIPE).get("calls")))


def _fitted(rows: Sequence[_Row], *, calls: bool) -> SpanAnswers:
    slots = fit([user_text(row.example.request) for row in rows], [row.answer for row in rows])
    return SpanAnswers(slots, calls=calls)


def _answers(fitted: SpanAnswers, examples: Sequence[Example]) -> Iterator[tuple[str, LocalAnswer]]:
    """What it can't answer has no answer, as when it is served."""
    for example in examples:
        try:
            yield example.exchange_id, fitted.prepare(example.request)
        except BadInput:
            continue


def _fold(example: Example) -> int:
    return int(unit_interval("fold", example.cluster) * _FOLDS)


def _fields(example: Example, *, calls: bool) -> JsonObject | None:
    """The object to learn from a reference; None: it can't be read as one."""
    text = example.reference
    value: Any = find_json(text) if text.lstrip()[:1] in ("{", "[", "`") else None
    if not calls:
        return value if isinstance(value, dict) else None
    call: Any = value[0] if isinstance(value, list) and len(value) == 1 else None
    arguments = call.get("arguments") if isinstance(call, dict) else None
    if not isinstance(arguments, dict) or not isinstance(call.get("name"), str):
        return None
    return {_TOOL: call["name"], **arguments}
