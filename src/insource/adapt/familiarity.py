"""How much a request looks like those that a candidate was fitted beside: the novelty floor's score.

Where the task has labels it is the largest raw logit of a classifier of them; else the likeness (cosine of static
embeddings) to the nearest fitted input. Nearest neighbours are worse where there are labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insource.adapt.asking import artifact_header, read_header
from insource.adapt.classifier import KIND, Classifier, fit_classifier, load_classifier
from insource.adapt.features import Floats
from insource.adapt.static_embeddings import DIMENSIONS, NAME, embed
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import sha256_hex
from insource.core.ports import Familiarity
from insource.core.values import Familiar, JsonObject
from insource.wire.chat import user_text

_LIKENESS = "likeness"
_MOST_INPUTS = 8_192
"""Fitted inputs that a new one is compared with, drawn by a hash: 4 MB, and half a millisecond."""
_BLOCK = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFamiliarity:
    familiarity: Familiarity
    held_out: Mapping[str, Familiar]
    """Exchange id -> what a fit says that did not see the input's cluster."""
    left_out: Floats
    """(texts,): scores of texts whose label the scorer never saw; empty without labels."""


class LabelFamiliarity:
    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def look(self, request: JsonObject) -> Familiar:
        return _familiar(self._classifier, self._classifier.logits(user_text(request)))

    def artifact(self) -> bytes:
        return self._classifier.artifact()


def _familiar(classifier: Classifier, logits: Floats) -> Familiar:
    probabilities = classifier.probabilities(logits).tolist()
    return Familiar(score=float(logits.max()), probabilities=dict(zip(classifier.labels, probabilities, strict=True)))


class InputLikeness:
    """`vectors` is (inputs, 256), each of length 1."""

    def __init__(self, vectors: npt.NDArray[np.float16]) -> None:
        self._vectors = vectors

    def look(self, request: JsonObject) -> Familiar:
        if not len(self._vectors):
            return Familiar(score=0.0)
        likeness = self._vectors.astype(np.float32) @ embed([user_text(request)])[0]
        return Familiar(score=float(likeness.max()))

    def artifact(self) -> bytes:
        return b"\n".join([artifact_header(_LIKENESS, {"static": NAME}), self._vectors.astype("<f2").tobytes()])


def fit_familiarity(examples: Sequence[Example], labels: Sequence[str]) -> FittedFamiliarity:
    """`labels`: of the task, () where it has none. Deterministic for a set of examples, in any order."""
    if len(labels) > 1:
        try:
            found = fit_classifier(examples, labels)
        except BadInput:  # too few of each label to tell them apart
            return _fit_likeness(examples)
        held_out = {id: _familiar(found.classifier, logits) for id, logits in found.held_out.items()}
        return FittedFamiliarity(
            familiarity=LabelFamiliarity(found.classifier), held_out=held_out, left_out=found.left_out
        )
    return _fit_likeness(examples)


def _fit_likeness(examples: Sequence[Example]) -> FittedFamiliarity:
    drawn = sorted(examples, key=lambda e: sha256_hex(e.exchange_id.encode()))
    inputs = {e.input_sha256: e for e in reversed(drawn)}
    chosen = sorted(inputs.values(), key=lambda e: sha256_hex(e.exchange_id.encode()))[:_MOST_INPUTS]
    vectors = embed([user_text(e.request) for e in chosen])
    clusters = np.array([e.cluster for e in chosen])
    held_out: dict[str, Familiar] = {}
    for start in range(0, len(examples), _BLOCK):
        block = examples[start : start + _BLOCK]
        likeness = embed([user_text(e.request) for e in block]) @ vectors.T
        likeness[np.array([e.cluster for e in block])[:, None] == clusters[None, :]] = -1.0  # not with itself
        scores = likeness.max(axis=1).tolist() if len(vectors) else [0.0] * len(block)
        held_out.update({e.exchange_id: Familiar(score=score) for e, score in zip(block, scores, strict=True)})
    return FittedFamiliarity(
        familiarity=InputLikeness(vectors.astype(np.float16)), held_out=held_out, left_out=np.zeros(0)
    )


def load_familiarity(artifact: bytes) -> Familiarity:
    """Raises BadInput for bytes that are none."""
    head, _, body = artifact.partition(b"\n")
    try:
        header = read_header(head, _LIKENESS)
    except BadInput:
        read_header(head, KIND)
        return LabelFamiliarity(load_classifier(artifact))
    if header.get("static") != NAME or len(body) % (2 * DIMENSIONS):
        raise BadInput(
            "This artifact of input likeness is damaged or of other embeddings.",
            next_step="Make the candidate again with `insource evaluate`.",
        )
    return InputLikeness(np.frombuffer(body, dtype="<f2").reshape(-1, DIMENSIONS))
