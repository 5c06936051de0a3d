"""The recipe `head`: text features and a calibrated multinomial logistic regression. It answers without a model.

Artifact: one line of canonical JSON (labels, vocabulary, shapes, temperature), then the arrays' bytes, little-endian
float32. It holds no code. A text that shares nothing with what was learnt has confidence 0: the head abstains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from insource.adapt.asking import artifact_header, read_header
from insource.adapt.features import Floats, grams, index_of, row, vocabulary
from insource.core.answers import find_label
from insource.core.errors import BadInput
from insource.core.ports import Demand, Fitted, Refusal
from insource.core.values import Example, JsonObject, LocalAnswer, OutputKind, OutputProfile
from insource.wire.chat import user_text

Integers = npt.NDArray[np.int64]
_FLOAT = np.dtype("<f4")

MIN_EXAMPLES = 40
"""Labelled train examples without which no head is fitted; and five a label, whichever is more."""
MIN_PER_LABEL = 5
"""A label seen less often is never predicted: it can't be in every fold, and what can't be checked is not claimed."""
_FOLDS = 3
"""Of the calibration inside the fit, each one more fit. Five cover as much at 2 % risk (77 intents: 73.5 %)."""
_INVERSE_REGULARISATION = 10.0
"""sklearn's C; at 100 Banking77 loses 1 % (design/2026-11-22-head-features.md)."""


class HeadFitted:
    """`weights` is (features, labels), `bias` (labels,). Predicts in well under a millisecond."""

    def __init__(self, labels: Sequence[str], grams: Sequence[str], arrays: _Arrays) -> None:
        self._labels = tuple(labels)
        self._grams = tuple(grams)
        self._index = index_of(self._grams)
        self._arrays = arrays
        self._idf = arrays.idf.astype(np.float64)

    def prepare(self, request: JsonObject) -> LocalAnswer:
        columns, values = row(grams(user_text(request)), self._index, self._idf)
        arrays = self._arrays
        logits = (values @ arrays.weights[columns] + arrays.bias) / arrays.temperature
        probabilities = np.exp(logits - logits.max())
        best = int(probabilities.argmax())
        confidence = float(probabilities[best] / probabilities.sum()) if len(columns) else 0.0
        return LocalAnswer(text=self._labels[best], confidence=confidence)

    def read(self, completion: JsonObject) -> LocalAnswer:
        raise BadInput("The recipe 'head' asks no model.", next_step="Take the answer that `prepare` gave.")

    def artifact(self) -> bytes:
        arrays = self._arrays
        header = {"labels": self._labels, "grams": self._grams, "temperature": arrays.temperature}
        parts = (arrays.idf, arrays.weights, arrays.bias)
        return b"\n".join(
            [artifact_header("head", header), b"".join(np.ascontiguousarray(a, dtype=_FLOAT).tobytes() for a in parts)]
        )


class _Arrays:
    """Kept as float32 from the fit on, so that a loaded head computes with the very same numbers."""

    def __init__(self, idf: Any, weights: Any, bias: Any, temperature: float) -> None:
        self.idf: npt.NDArray[np.float32] = np.asarray(idf, dtype=_FLOAT)
        self.weights: npt.NDArray[np.float32] = np.asarray(weights, dtype=_FLOAT)
        self.bias: npt.NDArray[np.float32] = np.asarray(bias, dtype=_FLOAT)
        self.temperature = temperature


class HeadRecipe:
    name = "head"
    effort = 2
    learns = True
    asks_model = False
    trains = False
    streams = False
    honours: frozenset[Demand] = frozenset()

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        if output.kind is not OutputKind.LABEL:
            return Refusal(reason=f"Answers of the kind {output.kind.value!r} are not a fixed set of labels.")
        if len(output.labels) < 2:
            return Refusal(reason="There is only one label, so there is nothing to tell apart.")
        needed = max(MIN_EXAMPLES, MIN_PER_LABEL * len(output.labels))
        if examples < needed:
            reason = f"{examples} labelled train examples are too few; {len(output.labels)} labels need {needed}."
            return Refusal(reason=reason, examples_needed=needed)
        return None

    def fit(self, output: OutputProfile, examples: Sequence[Example], *, seed: int) -> Fitted:
        """The seed is not used: nothing here is drawn."""
        texts, labels, targets = _training_set(output, examples)
        counted = [grams(text) for text in texts]
        names, idf = vocabulary(counted)
        if not names:
            raise BadInput(
                "The requests of this task have no text to tell them apart.", next_step="Use another recipe."
            )
        idf = idf.astype(_FLOAT).astype(np.float64)
        index = index_of(names)
        matrix = _matrix([row(found, index, idf) for found in counted], len(names))
        temperature = _temperature(_held_out_logits(matrix, targets, len(labels)), targets)
        weights, bias = _regression(matrix, targets, len(labels))
        return HeadFitted(labels, names, _Arrays(idf, weights, bias, temperature))

    def load(self, artifact: bytes) -> Fitted:
        head, _, body = artifact.partition(b"\n")
        header = read_header(head, "head")
        try:
            labels, names, temperature = list(header["labels"]), list(header["grams"]), float(header["temperature"])
            numbers = np.frombuffer(body, dtype=_FLOAT)
            idf, weights, bias = np.split(numbers, [len(names), len(names) * (1 + len(labels))])
            arrays = _Arrays(idf, weights.reshape(len(names), len(labels)), bias.reshape(len(labels)), temperature)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"This artifact of 'head' is damaged: {error}.",
                next_step="Make the candidate again with `insource evaluate`.",
            ) from error
        return HeadFitted(labels, names, arrays)


def _training_set(output: OutputProfile, examples: Sequence[Example]) -> tuple[list[str], list[str], Integers]:
    """Texts, the labels that are frequent enough, and each text's label; sorted, so that the order given is forgotten,
    and once per distinct pair, so that a request asked a thousand times is not a thousand examples."""
    pairs: set[tuple[str, str, str]] = set()
    for example in examples:
        label = find_label(example.reference, output.labels)
        if label is not None:
            pairs.add((example.input_sha256, label, user_text(example.request)))
    counts: dict[str, int] = {}
    for _, label, _ in pairs:
        counts[label] = counts.get(label, 0) + 1
    labels = sorted(label for label, count in counts.items() if count >= MIN_PER_LABEL)
    if len(labels) < 2:
        raise BadInput(
            f"Fewer than two labels have {MIN_PER_LABEL} examples.", next_step="Record or import more of this task."
        )
    kept = sorted(pair for pair in pairs if pair[1] in labels)
    return [p[2] for p in kept], labels, np.array([labels.index(p[1]) for p in kept], dtype=np.int64)


def _matrix(rows: Sequence[tuple[Integers, Floats]], width: int) -> Any:
    """A CSR matrix (texts, features)."""
    starts = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows])])
    columns = np.concatenate([columns for columns, _ in rows])
    values = np.concatenate([values for _, values in rows])
    return sparse.csr_matrix((values, columns, starts), shape=(len(rows), width))


def _regression(matrix: Any, targets: Integers, labels: int) -> tuple[Floats, Floats]:
    """Weights (features, labels) and bias (labels,); every label occurs in `targets`."""
    from sklearn.linear_model import LogisticRegression  # late: serving a head never needs it
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=300, tol=1e-3)
    with threadpool_limits(1):  # several BLAS threads on two busy cores took ten times as long as one
        model.fit(matrix, targets)
    weights: Any = model.coef_.T
    bias: Any = model.intercept_
    if labels == 2:  # sklearn keeps one column for two classes: the log-odds of the second
        weights, bias = np.hstack([np.zeros_like(weights), weights]), np.array([0.0, bias[0]])
    return weights, bias


def _held_out_logits(matrix: Any, targets: Integers, labels: int) -> Floats:
    """Each text's logits by a model that did not see it. A label's texts go to the folds in turn, so that every label
    is in every fold's training set."""
    fold = np.zeros(len(targets), dtype=np.int64)
    for label in range(labels):
        places = np.flatnonzero(targets == label)
        fold[places] = np.arange(len(places)) % _FOLDS
    logits = np.zeros((len(targets), labels))
    for held_out in range(_FOLDS):
        chosen = fold == held_out
        weights, bias = _regression(matrix[~chosen], targets[~chosen], labels)
        logits[chosen] = matrix[chosen] @ weights + bias
    return logits


def _temperature(logits: Floats, targets: Integers) -> float:
    """Temperature scaling (Guo et al. 2017): the divisor of the logits with the least held-out log loss."""

    def log_loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(targets)), targets]))

    found: Any = minimize_scalar(log_loss, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x))
