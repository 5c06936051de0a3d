"""Which parents a model may have, and what is known of each pair: the features of the learned part of inference.

Candidates are few (about fifty a child, whatever the size of the snapshot) and come from inverted indexes: models that
share the rare words of the name, earlier models of the same author, the parents of the author's other models, and the
most adopted models of the same architecture and size. A table must not hold the declared edges of the children that are
looked at: training on them takes a table without theirs (inferred_scores.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insource.core.altered_models import is_altered
from insource.hub.copies import alters
from insource.hub.lineage.inferred_names import Namesakes, likely_originals, older, readings
from insource.hub.lineage.inferred_values import ModelFacts
from insource.hub.names import CHAT_WORDS, is_copy, model_key
from insource.hub.sizes import named_sizes

_MAX_POSTING = 3000
"""A word that more models bear tells nothing and would make the cost quadratic."""
_BY_NAME, _BY_AUTHOR, _BY_HABIT, _BY_SHAPE = 20, 12, 15, 12
"""Candidates by source."""
_UNKNOWN = float("nan")
_WORD = re.compile(r"\d+(?:\.\d+)*[bmk]?(?![a-z])|[a-z]+|\d+")
"""Finer than `names.words`: `Llama3.2-3B` and `Llama-3.2-3B` share all words."""
FEATURES: tuple[str, ...] = (
    "shared_words", "parent_words_shared", "child_words_shared", "best_name_rank", "parent_name_in_child",
    "prefix_share", "same_key", "words_missing", "numbers_missing", "child_words_new", "numbers_new", "name_begun",
    "same_author", "author_uses", "author_share", "sibling_name", "sibling_days", "sibling_same_size", "uses",
    "uses_same_shape", "children_license", "same_type", "parameters_ratio", "stated_ratio", "same_license",
    "same_library", "languages_shared", "tags_shared", "days_older", "parent_likes", "parent_downloads",
    "parent_is_chat", "child_is_chat", "child_is_merge", "child_is_adapter", "named_original", "parent_is_copy",
    "child_is_copy", "altered_apart", "child_is_altered", "copy_has_own_words", "candidates", "shared_words_behind",
    "name_begun_behind", "author_uses_behind", "sibling_name_behind", "uses_behind", "uses_same_shape_behind",
    "days_behind",
)  # fmt: skip
_BEHIND = ("shared_words", "name_begun", "author_uses", "sibling_name", "uses", "uses_same_shape", "days_older")
"""How far behind the child's best candidate a pair is; the last features."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "names": (
        *FEATURES[:12],
        "named_original",
        "parent_is_copy",
        "child_is_copy",
        "altered_apart",
        "child_is_altered",
        "copy_has_own_words",
        "shared_words_behind",
        "name_begun_behind",
    ),
    "author habits": (*FEATURES[12:18], "author_uses_behind", "sibling_name_behind"),
    "adoption": (
        "uses",
        "uses_same_shape",
        "children_license",
        "parent_likes",
        "parent_downloads",
        "uses_behind",
        "uses_same_shape_behind",
    ),
    "config facts": ("same_type", "parameters_ratio", "uses_same_shape", "uses_same_shape_behind", "sibling_same_size"),
    "card facts": ("same_license", "children_license", "same_library", "languages_shared", "tags_shared"),
    "dates": ("days_older", "sibling_days", "days_behind"),
}
"""For ablations: what the model loses without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A declared edge without its kind's details."""

    child: str
    parent: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What is looked up of one model many times."""

    facts: ModelFacts
    words: frozenset[str]
    name: str
    key: str
    size: float
    stated: float
    shape: tuple[str, int]
    days: float
    tags: frozenset[str]
    chat: bool
    merge: bool
    adapter: bool
    copy: bool
    altered: bool
    named_copy: bool
    """Also by words within the name."""


class PairTable:
    """Candidates and features over one snapshot and its declared edges."""

    def __init__(
        self, models: Iterable[ModelFacts], declared: Iterable[Declared], *, like: PairTable | None = None
    ) -> None:
        """`like`: a table of the same models with other edges, so that nothing is read of their names again."""
        models, declared = tuple(models), list(declared)
        self.known = dict(like.known) if like is not None else {model.id: _known(model) for model in models}
        self._namesakes = like._namesakes if like is not None else Namesakes(models)
        self._originals: dict[str, Mapping[str, float]] = like._originals if like is not None else {}
        for edge in declared:  # parents that the snapshot lacks are candidates too, with their name alone
            self.known.setdefault(edge.parent, _known(ModelFacts(id=edge.parent)))
        self.parents: dict[str, set[str]] = defaultdict(set)
        self.children: dict[str, set[str]] = defaultdict(set)
        for edge in declared:
            if edge.child in self.known and edge.child != edge.parent:
                self.parents[edge.child].add(edge.parent)
                self.children[edge.parent].add(edge.child)
        self._by_word: dict[str, list[str]] = defaultdict(list)
        self._by_author: dict[str, list[str]] = defaultdict(list)
        self._adopted: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        for id, known in self.known.items():
            for word in known.words:
                self._by_word[word].append(id)
            if known.facts.author:
                self._by_author[known.facts.author].append(id)
        self._licensed: dict[str, Counter[str | None]] = defaultdict(Counter)
        for child, parents in self.parents.items():
            self._adopted[self.known[child].shape].update(parents)
            for parent in parents:
                self._licensed[parent][self.known[child].facts.license] += 1
        total = max(len(self.known), 2)
        self._rarity = {word: math.log(total / len(ids)) for word, ids in self._by_word.items()}

    def look(self, child: ModelFacts) -> tuple[Sequence[str], NDArray[np.float64]]:
        """The candidates, never the child itself nor one known to be younger, and a row of FEATURES for each; NaN: not
        stated."""
        known = self.known[child.id]
        named, siblings = self._named_alike(known), self._siblings(known)
        originals = self._originals_of(child)
        found = list(dict.fromkeys([*originals, *self._candidates(known, named, siblings)]))
        rank = {id: position for position, id in enumerate(named)}
        users = [(id, likeness) for id, likeness in siblings if self.parents.get(id)]
        rows = [
            (
                *self._of_names(known, self.known[id], rank.get(id, len(named) + 1)),
                *self._of_habits(known, id, users),
                *self._of_adoption(known, id),
                *self._of_facts(known, self.known[id]),
                originals.get(id, 0.0),
                float(self.known[id].copy),
                float(known.copy),
                float(known.altered) - float(self.known[id].altered),
                float(known.altered),
                float(known.named_copy and alters(id, child.id)),
                float(len(found)),
            )
            for id in found
        ]
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES) - len(_BEHIND))
        return found, np.hstack([table, *(_behind(table[:, [FEATURES.index(name)]]) for name in _BEHIND)])

    def _originals_of(self, child: ModelFacts) -> Mapping[str, float]:
        """What its name says, for a copy: the chances hang on no edge."""
        if child.id not in self._originals:
            _, found = likely_originals(child, self._namesakes)
            self._originals[child.id] = {model.id: chance for model, chance in found[:_BY_NAME]}
        return self._originals[child.id]

    def _candidates(self, child: _Known, named: Sequence[str], siblings: Sequence[tuple[str, float]]) -> list[str]:
        habits: Counter[str] = Counter()
        for sibling, _ in siblings:
            habits.update(sorted(self.parents.get(sibling, ())))
        adopted = self._adopted.get(child.shape, Counter[str]())
        found = dict.fromkeys(named[:_BY_NAME])
        found.update(dict.fromkeys(id for id, _ in siblings[:_BY_AUTHOR]))
        found.update(dict.fromkeys(p for id, _ in siblings[:5] for p in sorted(self.parents.get(id, ()))))
        found.update(dict.fromkeys(id for id, _ in habits.most_common(_BY_HABIT)))
        found.update(dict.fromkeys(sorted(adopted, key=lambda id: (-adopted[id], id))[:_BY_SHAPE]))
        return [id for id in found if self._eligible(id, child)]

    def _eligible(self, id: str, child: _Known) -> bool:
        return id.lower() != child.facts.id.lower() and older(self.known[id].facts, child.facts)

    def _named_alike(self, child: _Known) -> list[str]:
        scores: dict[str, float] = defaultdict(float)
        for word in sorted(child.words):  # a sum's last digit, and so a rank, must not hang on a set's order
            ids = self._by_word.get(word, ())
            if len(ids) <= _MAX_POSTING:
                for id in ids:
                    scores[id] += self._rarity[word]
        scores.pop(child.facts.id, None)
        penalised = {id: score - 0.3 * self._weight(self.known[id].words - child.words) for id, score in scores.items()}
        return sorted(penalised, key=lambda id: (-penalised[id], id))[: 2 * _BY_NAME]

    def _siblings(self, child: _Known) -> list[tuple[str, float]]:
        """The author's other models with the likeness of their names, the likest first."""
        ids = [id for id in self._by_author.get(child.facts.author, ()) if id != child.facts.id][:_MAX_POSTING]
        like = [(id, self._likeness(child.words, self.known[id].words)) for id in ids]
        return sorted(like, key=lambda one: (-one[1], abs(self.known[one[0]].days - child.days), one[0]))

    def _weight(self, bag: Iterable[str]) -> float:
        return math.fsum(self._rarity.get(word, 0.0) for word in bag)

    def _parts(self, bag: frozenset[str]) -> tuple[float, float]:
        """Weight, and how many numbers: another version or size is another model."""
        return self._weight(bag), float(sum(word[0].isdigit() for word in bag))

    def _likeness(self, one: frozenset[str], other: frozenset[str]) -> float:
        return self._weight(one & other) / (self._weight(one | other) or 1.0)

    def _of_names(self, child: _Known, parent: _Known, rank: int) -> tuple[float, ...]:
        shared = self._weight(child.words & parent.words)
        prefix = _common_prefix(child.name, parent.name)
        return (
            shared,
            shared / (self._weight(parent.words) or 1.0),
            shared / (self._weight(child.words) or 1.0),
            float(rank),
            float(parent.name in child.name),
            prefix / max(len(parent.name), 1),
            float(parent.key == child.key),
            *self._parts(parent.words - child.words),
            *self._parts(child.words - parent.words),
            float(len(parent.name)) if child.name.startswith(parent.name) else 0.0,
        )

    def _of_habits(self, child: _Known, parent: str, siblings: Sequence[tuple[str, float]]) -> tuple[float, ...]:
        """What the author's other models with declared parents say."""
        users = [(id, likeness) for id, likeness in siblings if parent in self.parents[id]]
        return (
            float(self.known[parent].facts.author == child.facts.author),
            float(len(users)),
            len(users) / len(siblings) if siblings else _UNKNOWN,
            max((likeness for _, likeness in users), default=0.0),
            min((abs(self.known[id].days - child.days) for id, _ in users), default=_UNKNOWN),
            float(any(_close(self.known[id].size, child.size) for id, _ in users)),
        )

    def _of_adoption(self, child: _Known, parent: str) -> tuple[float, ...]:
        uses = len(self.children.get(parent, ()))
        shaped = self._adopted.get(child.shape, Counter[str]())[parent]
        licensed = self._licensed.get(parent, Counter[str | None]())[child.facts.license]
        return math.log1p(uses), math.log1p(shaped), licensed / uses if uses else _UNKNOWN

    def _of_facts(self, child: _Known, parent: _Known) -> tuple[float, ...]:
        c, p = child.facts, parent.facts
        return (
            _same(c.model_type, p.model_type),
            _ratio(child.size, parent.size),
            _ratio(child.stated, parent.stated),
            _same(c.license, p.license),
            _same(c.library, p.library),
            _overlap(frozenset(c.languages), frozenset(p.languages)),
            _overlap(child.tags, parent.tags),
            child.days - parent.days,
            math.log1p(p.likes) if p.likes is not None else _UNKNOWN,
            math.log1p(p.downloads) if p.downloads is not None else _UNKNOWN,
            float(parent.chat),
            float(child.chat),
            float(child.merge),
            float(child.adapter),
        )


def is_merge(model: ModelFacts) -> bool:
    return any(tag.lower() in {"merge", "mergekit", "lazymergekit"} for tag in model.tags)


def is_adapter(model: ModelFacts) -> bool:
    return (model.library or "").lower() in {"peft", "adapter-transformers"} or bool(
        {"peft", "lora", "adapter"} & {tag.lower() for tag in model.tags}
    )


def kind_of(model: ModelFacts) -> str:
    """What a model that is no merge is of its parent, by what it says of itself."""
    if is_adapter(model):
        return "adapter"
    return "quantized" if model.gguf or any(True for _ in readings(model.id)) else "finetune"


def _known(model: ModelFacts) -> _Known:
    bag = frozenset(_WORD.findall(model.id.rpartition("/")[2].lower()))
    size = float(model.parameters) if model.parameters else _UNKNOWN
    return _Known(
        facts=model,
        words=bag,
        name=model.id.rpartition("/")[2].lower(),
        key=model_key(model.id),
        size=size,
        stated=next(iter(named_sizes(model.id)), _UNKNOWN),
        shape=((model.model_type or "").lower(), round(math.log(size) * 50) if size > 0 else 0),
        days=model.created.timestamp() / 86_400 if model.created else _UNKNOWN,
        tags=frozenset(tag for tag in model.tags if ":" not in tag or tag.startswith(("arxiv:", "dataset:"))),
        chat=bool(bag & CHAT_WORDS),
        merge=is_merge(model),
        adapter=is_adapter(model),
        copy=any(True for _ in readings(model.id)),
        altered=is_altered(model.id),
        named_copy=is_copy(model.id),
    )


def _behind(column: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(column).any():
        return column
    return np.nanmax(column) - column


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 0.02 * other


def _same(one: str | None, other: str | None) -> float:
    return _UNKNOWN if one is None or other is None else float(one.lower() == other.lower())


def _ratio(one: float, other: float) -> float:
    return abs(math.log(one / other)) if one > 0 and other > 0 else _UNKNOWN


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else _UNKNOWN


def _common_prefix(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
