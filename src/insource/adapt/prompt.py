"""The recipe `prompt`: the request as it is, to the local model. No effort, and the baseline of every other recipe."""

from __future__ import annotations

from collections.abc import Sequence

from insource.adapt.asking import artifact_header, mean_confidence, read_header, whole_completion
from insource.core.evidence import Example
from insource.core.ports import Ask, Demand, Fitted, Learnt, Refusal, Workspace
from insource.core.values import JsonObject, LocalAnswer, OutputProfile
from insource.wire.chat import answer_or_calls


class PromptFitted:
    def prepare(self, request: JsonObject) -> Ask:
        return whole_completion(request)

    def read(self, completion: JsonObject) -> LocalAnswer:
        return LocalAnswer(
            text=answer_or_calls(completion) or "", confidence=mean_confidence(completion), completion=completion
        )

    def artifact(self) -> bytes:
        return artifact_header("prompt", {})


class PromptRecipe:
    name = "prompt"
    effort = 2
    learns = False
    asks_model = True
    trains = False
    streams = True
    honours: frozenset[Demand] = frozenset({"tools"})
    meets: frozenset[Demand] = frozenset()

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        return None

    def fit(
        self, output: OutputProfile, examples: Sequence[Example], *, seed: int, workspace: Workspace | None = None
    ) -> Learnt:
        return Learnt(fitted=PromptFitted())

    def load(self, artifact: bytes) -> Fitted:
        read_header(artifact, "prompt")
        return PromptFitted()
