"""The recipe `constrained`: the model can only say what the task's answers look like.

Labels and numbers by a GBNF grammar (llama.cpp's `grammar` field), JSON by `response_format`. The most probable
answer is taken (temperature 0) unless the client sent a temperature: drawing among labels would only add noise.
A request that brings its own format keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from insource.adapt.asking import artifact_header, joint_confidence, read_header, whole_completion
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.ports import Ask, Demand, Fitted, Learnt, Refusal, Workspace
from insource.core.values import JsonObject, LocalAnswer, OutputKind, OutputProfile
from insource.wire.chat import answer_or_calls

_NUMBER_GRAMMAR = 'root ::= "-"? [0-9]{1,18} ("." [0-9]{1,9})?'
_ESCAPES: Mapping[str, str] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _literal(text: str) -> str:
    """A GBNF string literal; labels come from strangers' logs, so every character that could end it is escaped."""
    return '"' + "".join(_ESCAPES.get(c) or (f"\\x{ord(c):02X}" if ord(c) < 32 else c) for c in text) + '"'


def label_grammar(labels: Sequence[str]) -> str:
    """A grammar that accepts exactly these labels."""
    return "root ::= " + " | ".join(_literal(label) for label in labels)


def constraint(output: OutputProfile) -> JsonObject:
    if output.kind is OutputKind.LABEL:
        return {"grammar": label_grammar(output.labels)}
    if output.kind is OutputKind.NUMBER:
        return {"grammar": _NUMBER_GRAMMAR}
    if output.json_schema is None:
        return {"response_format": {"type": "json_object"}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": output.json_schema}}}


class ConstrainedFitted:
    def __init__(self, output: OutputProfile) -> None:
        self._output = output
        self._constraint = constraint(output)

    def prepare(self, request: JsonObject) -> Ask:
        own_format = "response_format" in request or "grammar" in request
        return whole_completion(request, temperature=0, **({} if own_format else self._constraint))

    def read(self, completion: JsonObject) -> LocalAnswer:
        return LocalAnswer(
            text=answer_or_calls(completion) or "", confidence=joint_confidence(completion), completion=completion
        )

    def artifact(self) -> bytes:
        output = self._output
        fields = {"kind": output.kind.value, "labels": list(output.labels), "json_schema": output.json_schema}
        return artifact_header("constrained", fields)


class ConstrainedRecipe:
    name = "constrained"
    effort = 3
    learns = False
    asks_model = True
    trains = False
    streams = False
    honours: frozenset[Demand] = frozenset()
    meets: frozenset[Demand] = frozenset()

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        if output.kind in (OutputKind.TEXT, OutputKind.TOOL_CALL):
            return Refusal(reason=f"Answers of the kind {output.kind.value!r} have no fixed form to hold the model to.")
        if output.kind is OutputKind.LABEL and not output.labels:
            return Refusal(reason="No label has been observed yet.")
        return None

    def fit(
        self, output: OutputProfile, examples: Sequence[Example], *, seed: int, workspace: Workspace | None = None
    ) -> Learnt:
        return Learnt(fitted=ConstrainedFitted(output))

    def load(self, artifact: bytes) -> Fitted:
        header = read_header(artifact, "constrained")
        try:
            output = OutputProfile(
                kind=OutputKind(header["kind"]),
                labels=tuple(str(label) for label in header["labels"]),
                json_schema=header["json_schema"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"This artifact of 'constrained' is damaged: {error}.",
                next_step="Make the candidate again with `insource evaluate`.",
            ) from error
        return ConstrainedFitted(output)
