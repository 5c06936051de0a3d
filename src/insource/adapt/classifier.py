"""A linear classifier of texts: TF-IDF beside embeddings, one regression, calibrated, with its novelty score.

The embeddings are static ones, and those of a sentence encoder where it is installed and the fit part shows that it
helps: its cost is paid at every request.

What a fit gives is also what the fit part says about itself: each text's logits by a classifier that did not see its
cluster, and the scores of texts whose label a classifier never saw. Gates and floors are set on those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

from insource.adapt import sentence_encoder, static_embeddings
from insource.adapt.asking import artifact_header, read_header
from insource.adapt.features import Floats, grams, index_of, row, vocabulary
from insource.core.answers import find_label
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.values import JsonObject
from insource.wire.chat import user_text

Integers = npt.NDArray[np.int64]
_FLOAT = np.dtype("<f4")
KIND = "classifier"
MIN_PER_LABEL = 5
"""A label seen less often is never predicted: it can't be in every fold, and what can't be checked is not claimed."""
_FOLDS = 3
"""Of the cross-fitting, each one more regression. Five cover as much at 2 % risk (77 intents)."""
_LABEL_GROUPS = 5
"""Of labels that are left out in turn, to see how texts of unknown labels score."""
_STATIC_WEIGHT = 2.0
"""Of the embedding beside the TF-IDF blocks, which have length 1 each (design/2026-11-30-head-features.md)."""
_ENCODER_WEIGHT = 4.0
"""Likewise: its vectors lie close together, so that differences between them are small."""
_INVERSE_REGULARISATION = 30.0
"""sklearn's C."""
_MOST_ENCODED_CHARACTERS = 1_500_000
"""Of a fit part's texts, up to which the encoder is tried: about seven minutes."""
_BETTER_BY_ERRORS = 2.0
"""Standard errors of the difference in held-out log loss by which the encoder must win."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedClassifier:
    classifier: Classifier
    held_out: Mapping[str, Floats]
    """Exchange id -> logits (labels,) by a classifier that was fitted without the text's cluster."""
    left_out: Floats
    """(texts,): largest logit by a classifier that never saw the text's label; empty where it can't be tried."""


class Classifier:
    """Predicts in about a millisecond. Kept as float32 from the fit on, so that a loaded one computes the same."""

    def __init__(self, labels: Sequence[str], names: Sequence[str], *, encoder: bool, arrays: _Arrays) -> None:
        self.labels = tuple(labels)
        self.encoder = encoder
        self._names = tuple(names)
        self._index = index_of(self._names)
        self._arrays = arrays
        self._idf = arrays.idf.astype(np.float64)
        self.logits = lru_cache(maxsize=64)(self._logits)

    @property
    def temperature(self) -> float:
        return self._arrays.temperature

    def _logits(self, text: str) -> Floats:
        """(labels,), raw. The latest are kept: a head and its novelty score ask for the same."""
        columns, values = row(grams(text), self._index, self._idf)
        arrays = self._arrays
        found = values @ arrays.weights[columns] + _dense([text], encoder=self.encoder)[0] @ arrays.dense + arrays.bias
        return np.asarray(found, dtype=np.float64)

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated; for one text or many."""
        return softmax(logits / self.temperature, axis=-1)

    def artifact(self) -> bytes:
        """A line of JSON and raw little-endian float32 arrays: no code, and the same bytes for the same fit."""
        arrays = self._arrays
        header: JsonObject = {
            "labels": self.labels,
            "grams": self._names,
            "temperature": arrays.temperature,
            "static": static_embeddings.NAME,
            "encoder": sentence_encoder.NAME if self.encoder else None,
        }
        parts = (arrays.idf, arrays.weights, arrays.dense, arrays.bias)
        body = b"".join(np.ascontiguousarray(part, dtype=_FLOAT).tobytes() for part in parts)
        return b"\n".join([artifact_header(KIND, header), body])


@lru_cache(maxsize=8)
def load_classifier(artifact: bytes) -> Classifier:
    """Raises BadInput for other bytes. Equal artifacts are one object, shared by the candidates fitted beside it."""
    head, _, body = artifact.partition(b"\n")
    header = read_header(head, KIND)
    try:
        labels, names, temperature = list(header["labels"]), list(header["grams"]), float(header["temperature"])
        encoder = header.get("encoder") is not None
        width = _dense_width(encoder=encoder)
        numbers = np.frombuffer(body, dtype=_FLOAT)
        ends = np.cumsum([len(names), len(names) * len(labels), width * len(labels)])
        idf, weights, dense, bias = np.split(numbers, ends)
        arrays = _Arrays(
            idf=idf,
            weights=weights.reshape(len(names), len(labels)),
            dense=dense.reshape(width, len(labels)),
            bias=bias.reshape(len(labels)),
            temperature=temperature,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"This artifact of a classifier is damaged: {error}.",
            next_step="Make the candidate again with `insource evaluate`.",
        ) from error
    made_with = (header.get("static"), header.get("encoder") or sentence_encoder.NAME)
    if made_with != (static_embeddings.NAME, sentence_encoder.NAME):
        raise BadInput(
            f"This classifier was made with other embeddings ({', '.join(map(repr, made_with))}).",
            next_step="Make the candidate again with `insource evaluate`.",
        )
    if encoder:
        sentence_encoder.load()
    return Classifier(labels, names, encoder=encoder, arrays=arrays)


class _Arrays:
    def __init__(self, *, idf: Any, weights: Any, dense: Any, bias: Any, temperature: float) -> None:
        self.idf: npt.NDArray[np.float32] = np.asarray(idf, dtype=_FLOAT)
        self.weights: npt.NDArray[np.float32] = np.asarray(weights, dtype=_FLOAT)
        self.dense: npt.NDArray[np.float32] = np.asarray(dense, dtype=_FLOAT)
        self.bias: npt.NDArray[np.float32] = np.asarray(bias, dtype=_FLOAT)
        self.temperature = temperature


def _dense_width(*, encoder: bool) -> int:
    return static_embeddings.DIMENSIONS + (sentence_encoder.DIMENSIONS if encoder else 0)


def _dense(texts: Sequence[str], *, encoder: bool) -> Floats:
    """(texts, features): the embeddings, weighted."""
    blocks = [_STATIC_WEIGHT * static_embeddings.embed(texts)]
    if encoder:
        blocks.append(_ENCODER_WEIGHT * sentence_encoder.encode(texts))
    return np.hstack(blocks).astype(np.float64)


def fit_classifier(
    examples: Sequence[Example], labels: Sequence[str], *, encoder: bool | None = None
) -> FittedClassifier:
    """Deterministic for a set of examples, in any order. Raises BadInput when fewer than two labels are frequent.

    `encoder`: whether its features are used; None: as these examples show."""
    rows: dict[tuple[str, str], _Row] = {}
    for example in sorted(examples, key=lambda e: (e.input_sha256, e.exchange_id)):
        label = find_label(example.reference, labels)
        if label is not None:
            rows.setdefault((example.input_sha256, label), _Row(user_text(example.request), label, example.cluster))
    fitted = _fit(tuple(rows.values()), encoder)
    held: dict[str, Floats] = {}
    for example in examples:
        row_of = rows.get((example.input_sha256, find_label(example.reference, labels) or ""))
        known = fitted.held_out.get(row_of) if row_of is not None else None
        # What was not fitted on (its label is too rare) was not seen either.
        held[example.exchange_id] = fitted.classifier.logits(user_text(example.request)) if known is None else known
    return FittedClassifier(classifier=fitted.classifier, held_out=held, left_out=fitted.left_out)


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    label: str
    cluster: str


@dataclass(frozen=True, slots=True)
class _Fit:
    classifier: Classifier
    held_out: Mapping[_Row, Floats]
    left_out: Floats


@lru_cache(maxsize=2)
def _fit(rows: tuple[_Row, ...], encoder: bool | None) -> _Fit:
    """The latest two are kept: a head and the novelty score of other recipes are one fit."""
    counts: dict[str, int] = {}
    for each in rows:
        counts[each.label] = counts.get(each.label, 0) + 1
    known = sorted(label for label, count in counts.items() if count >= MIN_PER_LABEL)
    if len(known) < 2:
        raise BadInput(
            f"Fewer than two labels have {MIN_PER_LABEL} examples.", next_step="Record or import more of this task."
        )
    place = {label: at for at, label in enumerate(known)}
    kept = [each for each in rows if each.label in place]
    texts = [each.text for each in kept]
    targets = np.array([place[each.label] for each in kept], dtype=np.int64)
    counted = [grams(text) for text in texts]
    names, idf = vocabulary(counted)
    idf = idf.astype(_FLOAT).astype(np.float64)
    index = index_of(names)
    words = _matrix([row(found, index, idf) for found in counted], len(names))
    fold = _folds(targets, [each.cluster for each in kept])
    chosen = _choose([_Features.of(words, texts, targets, fold=fold, encoder=use) for use in _tried(texts, encoder)])
    weights, bias = _regression(chosen.matrix, targets)
    arrays = _Arrays(
        idf=idf,
        weights=weights[: len(names)],
        dense=weights[len(names) :],
        bias=bias,
        temperature=chosen.temperature,
    )
    return _Fit(
        classifier=Classifier(known, names, encoder=chosen.encoder, arrays=arrays),
        held_out=dict(zip(kept, chosen.held_out, strict=True)),
        left_out=_left_out_scores(chosen.matrix, targets, len(known)),
    )


@dataclass(frozen=True, slots=True)
class _Features:
    """One set of features, with what the fit part says of it."""

    encoder: bool
    matrix: Any
    """CSR (texts, features)"""
    held_out: Floats
    """(texts, labels): logits by regressions that did not see the text's cluster."""
    temperature: float
    losses: Floats
    """(texts,): log loss of the calibrated held-out answers."""

    @classmethod
    def of(cls, words: Any, texts: Sequence[str], targets: Integers, *, fold: Integers, encoder: bool) -> _Features:
        from scipy import sparse  # only a fit needs it: a gateway is 60 MB smaller without

        matrix = sparse.hstack([words, sparse.csr_matrix(_dense(texts, encoder=encoder))]).tocsr()
        if not matrix.nnz:
            raise BadInput(
                "The requests of this task have no text to tell them apart.", next_step="Use another recipe."
            )
        held_out = _held_out_logits(matrix, targets, fold)
        temperature = _temperature(held_out, targets)
        losses = _log_losses(held_out / temperature, targets)
        return cls(encoder, matrix, held_out, temperature, losses)


def _tried(texts: Sequence[str], encoder: bool | None) -> tuple[bool, ...]:
    """With the encoder or without, the cheapest first."""
    if encoder is not None:
        return (encoder,)
    characters = sum(min(len(text), sentence_encoder.MOST_CHARACTERS) for text in texts)
    return (False, True) if sentence_encoder.installed() and characters <= _MOST_ENCODED_CHARACTERS else (False,)


def _choose(tried: Sequence[_Features]) -> _Features:
    """The first, unless a dearer one is better by more than chance."""
    chosen = tried[0]
    for other in tried[1:]:
        gain = chosen.losses - other.losses
        if float(gain.mean()) > _BETTER_BY_ERRORS * float(gain.std()) / len(gain) ** 0.5:
            chosen = other
    return chosen


def _matrix(rows: Sequence[tuple[Integers, Floats]], width: int) -> Any:
    """A CSR matrix (texts, features)."""
    from scipy import sparse

    starts = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows])])
    columns = np.concatenate([columns for columns, _ in rows])
    values = np.concatenate([values for _, values in rows])
    return sparse.csr_matrix((values, columns, starts), shape=(len(rows), width))


def _regression(matrix: Any, targets: Integers) -> tuple[Floats, Floats]:
    """Weights (features, labels) and bias (labels,) of the labels that occur in `targets`, in their order."""
    from sklearn.linear_model import LogisticRegression  # late: serving never needs it
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=300, tol=1e-4)
    with threadpool_limits(1):  # several BLAS threads on two busy cores took ten times as long as one
        model.fit(matrix, targets)
    weights: Any = model.coef_.T
    bias: Any = model.intercept_
    if weights.shape[1] == 1:  # sklearn keeps one column for two classes: the log-odds of the second
        weights, bias = np.hstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    return weights, bias


def _folds(targets: Integers, clusters: Sequence[str]) -> Integers:
    """Clusters of a label go to the folds in turn, so that every label is in every fold's training set."""
    fold_of: dict[str, int] = {}
    turns: dict[int, int] = {}
    fold = np.zeros(len(targets), dtype=np.int64)
    for at, (target, cluster) in enumerate(zip(targets.tolist(), clusters, strict=True)):
        if cluster not in fold_of:
            turn = turns.get(target, 0)
            turns[target] = turn + 1
            fold_of[cluster] = turn % _FOLDS
        fold[at] = fold_of[cluster]
    return fold


def _held_out_logits(matrix: Any, targets: Integers, fold: Integers) -> Floats:
    labels = int(targets.max()) + 1
    logits = np.full((len(targets), labels), -30.0)  # a label that a fold's training set lacks is never chosen
    for held_out in range(_FOLDS):
        chosen = fold == held_out
        seen = np.unique(targets[~chosen])
        if not chosen.any() or len(seen) < 2:
            continue
        weights, bias = _regression(matrix[~chosen], targets[~chosen])
        logits[np.ix_(chosen, seen)] = matrix[chosen] @ weights + bias
    return logits


def _left_out_scores(matrix: Any, targets: Integers, labels: int) -> Floats:
    if labels < 3:
        return np.zeros(0)
    scores = np.full(len(targets), np.nan)
    groups = min(_LABEL_GROUPS, labels // 2 if labels < 2 * _LABEL_GROUPS else _LABEL_GROUPS)
    for group in range(max(groups, 1)):
        left_out = targets % max(groups, 1) == group
        if left_out.all() or len(np.unique(targets[~left_out])) < 2:
            continue
        weights, bias = _regression(matrix[~left_out], targets[~left_out])
        scores[left_out] = (matrix[left_out] @ weights + bias).max(axis=1)
    return scores[np.isfinite(scores)]


def _temperature(logits: Floats, targets: Integers) -> float:
    """Temperature scaling (Guo et al. 2017): the divisor of the logits with the least held-out log loss."""
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        return float(np.mean(_log_losses(logits / np.exp(log_temperature), targets)))

    found: Any = minimize_scalar(log_loss, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def _log_losses(logits: Floats, targets: Integers) -> Floats:
    return logsumexp(logits, axis=1) - logits[np.arange(len(targets)), targets]
