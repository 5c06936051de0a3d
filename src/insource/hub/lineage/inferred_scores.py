"""The learned part of lineage inference: a score for each pair, and what the score is worth.

Trained on the declared edges of the snapshot at hand, so nothing is shipped and nothing grows old. Children are cut in
folds by a seeded shuffle; each is scored by a model that never saw it. Those scores give the confidence (isotonic
regression of "the best candidate is a declared parent" on its score) and the threshold that holds the wanted precision.
Both are of one kind of child (adapter, quantisation, fine-tune), where enough children of it declare a parent: the same
score is right more often for one kind than for another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insource.hub.lineage.inferred_pairs import FEATURES, Declared, PairTable, is_merge, kind_of
from insource.hub.lineage.inferred_values import ModelFacts

Floats = NDArray[np.float64]
_FOLDS = 10
_TREES = 200
_NOT_STATED = -9.0
MIN_TRAINING_CHILDREN = 100
"""With fewer declared children, nothing is learned and nothing is emitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The candidates of a child, best first, with their raw scores."""

    child: str
    parents: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def strength(self) -> float:
        """The best score, less where the second is as good: a model that is no merge has one parent."""
        best, second = self.scores[0], self.scores[1] if len(self.scores) > 1 else 0.0
        return best * best / (best + second + 1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What strengths are worth, by children scored by a model that never saw them."""

    isotonic: Any
    threshold: float
    """Of the strength, for the wanted precision."""

    def confidence(self, ranked: Ranked) -> float:
        """That the best candidate is a parent."""
        return float(self.isotonic.predict([ranked.strength])[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    model: Any
    columns: tuple[int, ...]
    of_all: Worth
    of_kinds: Mapping[str, Worth]
    """Of the kinds with enough children."""

    def worth(self, kind: str) -> Worth:
        return self.of_kinds.get(kind, self.of_all)

    def rank(self, table: PairTable, children: Sequence[ModelFacts]) -> Sequence[Ranked]:
        """Children without a candidate are left out."""
        pairs = _pairs(table, children, self.columns)
        if not pairs.children:
            return ()
        return _sorted(pairs, self.model.predict_proba(pairs.features)[:, 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    children: tuple[str, ...]
    parents: tuple[str, ...]
    features: Floats


def train(
    models: Sequence[ModelFacts],
    declared: Sequence[Declared],
    *,
    seed: int,
    precision: float,
    columns: Sequence[int],
) -> Scorer | None:
    """None with too little to learn from."""
    truth: dict[str, set[str]] = defaultdict(set)
    for edge in declared:
        truth[edge.child].add(edge.parent)
    children = [model for model in models if model.id in truth and not is_merge(model)]
    if len(children) < MIN_TRAINING_CHILDREN:
        return None
    order = np.random.default_rng(seed).permutation(len(children))
    folds = [[children[i] for i in order[fold::_FOLDS]] for fold in range(_FOLDS)]
    whole = PairTable(models, declared)
    seen = [_unseen_pairs(models, declared, fold, columns=columns, like=whole) for fold in folds]
    right = [np.array([p in truth[c] for c, p in zip(s.children, s.parents, strict=True)], dtype=bool) for s in seen]
    if not all(labels.any() for labels in right):
        return None
    best: list[Ranked] = []
    for fold, pairs in enumerate(seen):
        others = [i for i in range(_FOLDS) if i != fold]
        model = _fit(np.vstack([seen[i].features for i in others]), np.concatenate([right[i] for i in others]), seed)
        best += _sorted(pairs, model.predict_proba(pairs.features)[:, 1])
    of_all, of_kinds = worths(best, truth, kinds={model.id: kind_of(model) for model in children}, precision=precision)
    return Scorer(
        model=_fit(np.vstack([pairs.features for pairs in seen]), np.concatenate(right), seed),
        columns=tuple(columns),
        of_all=of_all,
        of_kinds=of_kinds,
    )


def worths(
    best: Sequence[Ranked], truth: Mapping[str, set[str]], *, kinds: Mapping[str, str], precision: float
) -> tuple[Worth, Mapping[str, Worth]]:
    """Of all children, and of each kind that enough of them are of."""
    of_kind: dict[str, list[Ranked]] = defaultdict(list)
    for ranked in best:
        of_kind[kinds[ranked.child]].append(ranked)
    large = {kind: some for kind, some in of_kind.items() if len(some) >= MIN_TRAINING_CHILDREN}
    return _worth(best, truth, precision), {kind: _worth(some, truth, precision) for kind, some in large.items()}


def _worth(best: Sequence[Ranked], truth: Mapping[str, set[str]], precision: float) -> Worth:
    from sklearn.isotonic import IsotonicRegression

    top = np.array([ranked.strength for ranked in best])
    hit = np.array([float(ranked.parents[0] in truth[ranked.child]) for ranked in best])
    return Worth(
        isotonic=IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(top, hit),
        threshold=threshold_for(top, hit, precision),
    )


def _unseen_pairs(
    models: Sequence[ModelFacts],
    declared: Sequence[Declared],
    fold: Sequence[ModelFacts],
    *,
    columns: Sequence[int],
    like: PairTable,
) -> _Pairs:
    """Of one fold, as they look where none of the fold's edges is known. Taking out only a child's own edge would
    give the answer away: its true parent alone would have been counted once less."""
    out = {child.id for child in fold}
    table = PairTable(models, [edge for edge in declared if edge.child not in out], like=like)
    return _pairs(table, fold, columns)


def threshold_for(scores: Floats, hit: Floats, precision: float) -> float:
    """The lowest score above which the share of hits, less its standard error, is at least `precision`; infinity
    where there is none. The error counts in full, for the lowest of many thresholds flatters the children it was chosen
    on."""
    order = np.argsort(-scores, kind="stable")
    count = np.arange(1, len(order) + 1)
    share = np.cumsum(hit[order]) / count
    lower = share - np.sqrt(np.maximum(share * (1 - share), 0.01) / count)
    last = np.r_[scores[order][1:] != scores[order][:-1], True]  # equal scores stand or fall together
    good = np.flatnonzero((lower >= precision) & last)
    return float(scores[order][good[-1]]) if len(good) else float("inf")


def _fit(features: Floats, right: NDArray[np.bool_], seed: int) -> Any:
    """Extremely randomised trees: on one hidden half of the real edges they beat gradient
    boosting (recall at a precision of 0.9: 27 % against 24 %)."""
    from sklearn.ensemble import ExtraTreesClassifier

    forest: Any = ExtraTreesClassifier  # its stubs take no fraction for max_features
    forest = forest(_TREES, min_samples_leaf=3, max_features=0.4, random_state=seed, n_jobs=2)
    return forest.fit(features, right)


def _pairs(table: PairTable, children: Sequence[ModelFacts], columns: Sequence[int]) -> _Pairs:
    """Trees take "not stated" as a value below every other."""
    names: list[str] = []
    parents: list[str] = []
    blocks: list[Floats] = []
    for child in children:
        candidates, features = table.look(child)
        names.extend([child.id] * len(candidates))
        parents.extend(candidates)
        blocks.append(features)
    features = np.vstack(blocks) if blocks else np.zeros((0, len(FEATURES)))
    filled = np.nan_to_num(features[:, list(columns)], nan=_NOT_STATED)
    return _Pairs(children=tuple(names), parents=tuple(parents), features=filled)


def _sorted(pairs: _Pairs, scores: Floats) -> Sequence[Ranked]:
    by_child: dict[str, list[tuple[float, str]]] = {}
    for child, parent, score in zip(pairs.children, pairs.parents, scores, strict=True):
        by_child.setdefault(child, []).append((float(score), parent))
    ranked: list[Ranked] = []
    for child, found in by_child.items():
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        ranked.append(Ranked(child=child, parents=tuple(p for _, p in found), scores=tuple(s for s, _ in found)))
    return ranked
