"""The recipe `head`: a classifier of the request's text. It answers with one of the task's labels, without a model."""

from __future__ import annotations

from collections.abc import Sequence

from insource.adapt.classifier import MIN_PER_LABEL, Classifier, fit_classifier, load_classifier
from insource.adapt.features import Floats
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.ports import Demand, Fitted, Learnt, Refusal, Workspace
from insource.core.values import JsonObject, LocalAnswer, OutputKind, OutputProfile
from insource.wire.chat import user_text

MIN_EXAMPLES = 40
"""Labelled examples in the fit part without which no head is fitted; and five a label, whichever is more."""


class HeadFitted:
    """Predicts in about a millisecond."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def prepare(self, request: JsonObject) -> LocalAnswer:
        text = user_text(request)
        return _answer(self._classifier, self._classifier.logits(text), says_something=bool(text.strip()))

    def read(self, completion: JsonObject) -> LocalAnswer:
        raise BadInput("The recipe 'head' asks no model.", next_step="Take the answer that `prepare` gave.")

    def artifact(self) -> bytes:
        return self._classifier.artifact()


def _answer(classifier: Classifier, logits: Floats, *, says_something: bool = True) -> LocalAnswer:
    probabilities = classifier.probabilities(logits)
    best = int(probabilities.argmax())
    confidence = float(probabilities[best]) if says_something else 0.0
    return LocalAnswer(text=classifier.labels[best], confidence=confidence)


class HeadRecipe:
    name = "head"
    effort = 0
    learns = True
    asks_model = False
    trains = False
    streams = False
    honours: frozenset[Demand] = frozenset()
    meets: frozenset[Demand] = frozenset()

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        if output.kind is not OutputKind.LABEL:
            return Refusal(reason=f"Answers of the kind {output.kind.value!r} are not a fixed set of labels.")
        if len(output.labels) < 2:
            return Refusal(reason="There is only one label, so there is nothing to tell apart.")
        needed = max(MIN_EXAMPLES, MIN_PER_LABEL * len(output.labels))
        if examples < needed:
            reason = f"{examples} examples to learn from are too few: {len(output.labels)} labels need {needed}."
            return Refusal(reason=reason, examples_needed=needed)
        return None

    def fit(
        self, output: OutputProfile, examples: Sequence[Example], *, seed: int, workspace: Workspace | None = None
    ) -> Learnt:
        """The seed is not used: nothing here is drawn."""
        found = fit_classifier(examples, output.labels)
        held_out = {id: _answer(found.classifier, logits) for id, logits in found.held_out.items()}
        return Learnt(fitted=HeadFitted(found.classifier), held_out=held_out)

    def load(self, artifact: bytes) -> Fitted:
        return HeadFitted(load_classifier(artifact))
