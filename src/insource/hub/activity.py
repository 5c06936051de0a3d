"""Who builds on a model and who uses it, counted in the catalogue itself.

Copies of one model (other formats, precisions, uploads, refusals removed) are one model here, led by its original: the
member whose name says nothing of a copy, the earliest published first. Its licence counts for all of them.

Where the catalogue holds lineage, derivatives are counted by it: all descendants, and the direct ones of the last 90
days. Elsewhere a derivative is another owner's model whose name contains the model's whole key as words
("my-org/X-Qwen3-8B-math" of "Qwen/Qwen3-8B"); of several keys in a name the longest counts. That undercounts (names
need not say it) and reaches only what the catalogue lists.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from insource.core.catalogue import CatalogueModel
from insource.hub.copies import alters
from insource.hub.names import is_copy, model_key

VELOCITY_DAYS = 90
_LONGEST_KEY_WORDS = 10
_SIZE_CLASSES = (1e9, 4e9, 10e9, 20e9, 50e9, 150e9)
"""Upper ends, in parameters: use is compared among models of like size, because small ones are downloaded more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Figures of one model with its copies."""

    copies: int
    """Other repositories with the same weights."""
    gguf_repositories: tuple[str, ...]
    """Of the model and its copies."""
    derivatives: int
    """By lineage where it is known; else copies, and models of other owners named after it."""
    recent_derivatives: int
    """Of them, those published in the last `VELOCITY_DAYS` before the catalogue's day, where the day is known."""
    downloads_percentile: float | None
    """In [0, 1]: the share of models of like size with fewer downloads in 30 days. None: downloads not stated."""
    likes_percentile: float | None
    age_months: float | None
    """Since its first publication."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A model with its copies."""

    key: str
    original: CatalogueModel
    members: tuple[CatalogueModel, ...]
    """The original is the first."""

    @property
    def gguf_repositories(self) -> tuple[str, ...]:
        named = [repo for model in self.members for repo in model.gguf_repositories]
        own = [model.id for model in self.members if model.format == "gguf"]
        return tuple(dict.fromkeys(repo for repo in named + own if not alters(self.original.id, repo)))


def group_copies(models: Iterable[CatalogueModel]) -> tuple[Group, ...]:
    """In the order of the catalogue."""
    by_key: defaultdict[str, list[CatalogueModel]] = defaultdict(list)
    for model in models:
        by_key[model_key(model.id)].append(model)
    return tuple(
        Group(key=key, original=(ordered := sorted(members, key=_origin))[0], members=tuple(ordered))
        for key, members in by_key.items()
    )


def _origin(model: CatalogueModel) -> tuple[bool, date, int, str]:
    return is_copy(model.id), model.released or date.max, -(model.downloads or 0), model.id


def measure(groups: Sequence[Group], *, as_of: date) -> dict[str, Activity]:
    """By key."""
    named_after = _named_after(groups)
    downloads = _Ranking((g.original.parameters, g.original.downloads) for g in groups)
    likes = _Ranking((g.original.parameters, g.original.likes) for g in groups)
    since = as_of - timedelta(days=VELOCITY_DAYS)
    found: dict[str, Activity] = {}
    for group in groups:
        original = group.original
        derived = [*group.members[1:], *named_after[group.key]]
        descendants = _most(model.derivatives for model in group.members)
        recent = _most(model.recent_derivatives for model in group.members)
        descendants = _most(model.derivatives for model in group.members)
        recent = _most(model.recent_derivatives for model in group.members)
        found[group.key] = Activity(
            copies=sum(not alters(original.id, model.id) for model in group.members[1:]),
            gguf_repositories=group.gguf_repositories,
            derivatives=len(derived) if descendants is None else descendants,
            recent_derivatives=_published_after(since, derived) if recent is None else recent,
            downloads_percentile=downloads.percentile(original.parameters, original.downloads),
            likes_percentile=likes.percentile(original.parameters, original.likes),
            age_months=None if original.released is None else max(0, (as_of - original.released).days) / 30.44,
        )
    return found


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


def _published_after(day: date, models: Iterable[CatalogueModel]) -> int:
    return sum(model.released is not None and model.released > day for model in models)


def _named_after(groups: Sequence[Group]) -> defaultdict[str, list[CatalogueModel]]:
    """Models of other owners by the longest key, but their own, that their key contains."""
    owner = {group.key: _owner(group.original) for group in groups}
    # A key of one word ("llama", "test") is in too many names to mean anything.
    telling = {key for key in owner if "-" in key}
    found: defaultdict[str, list[CatalogueModel]] = defaultdict(list)
    for group in groups:
        key = _longest_inside(group.key, telling)
        if key is not None:
            found[key].extend(model for model in group.members if _owner(model) != owner[key])
    return found


def _longest_inside(key: str, keys: set[str]) -> str | None:
    words = key.split("-")[:32]
    for length in range(min(len(words) - 1, _LONGEST_KEY_WORDS), 1, -1):
        for start in range(len(words) - length + 1):
            run = "-".join(words[start : start + length])
            if run in keys:
                return run
    return None


def _owner(model: CatalogueModel) -> str:
    return model.id.partition("/")[0].lower()


class _Ranking:
    """Values sorted within classes of size."""

    def __init__(self, values: Iterable[tuple[int, int | None]]) -> None:
        by_class: defaultdict[int, list[int]] = defaultdict(list)
        for parameters, value in values:
            if value is not None:
                by_class[bisect_left(_SIZE_CLASSES, parameters)].append(value)
        self._sorted = {index: sorted(found) for index, found in by_class.items()}

    def percentile(self, parameters: int, value: int | None) -> float | None:
        if value is None:
            return None
        peers = self._sorted[bisect_left(_SIZE_CLASSES, parameters)]
        return bisect_left(peers, value) / len(peers)
