"""Every exchange of a task gets a place, a cluster and a part, once; nothing is ever sorted again. Pure.

The parts are drawn by a hash of the cluster's first text: 60 % of the clusters may be fitted on, 40 % are evidence. Of
a cluster in the fit part the first exchange is fitted on, and of the later ones half (by a hash) stay out: they show
how a candidate does on repeats of what it was fitted on. What resembles texts of both parts is in neither.

The places of a first log go by a hash, which knows nothing of time, so that any beginning of the ledger is a random
sample; what comes later is placed as it arrives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from insource.core.evidence import Part, Place, TextRules
from insource.core.hashing import sha256_hex, unit_interval
from insource.evals.clusters import NearDuplicates, folded

FIT_SHARE = 0.6
HELD_OUT_SHARE = 0.5
_SALT = "insource split 2"
_AGREE = 0.95
"""Of the pairs of texts that differ in digits alone: when so many have equal answers, digits are not what is asked."""
_PAIRS = 20
"""Fewer such pairs show nothing, and digits count."""
_LEAST_TEMPLATE = 8
"""Characters that all texts begin or end with; fewer are chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An exchange that has no place yet."""

    exchange_id: str
    created: datetime
    text: str
    """What was asked, without the system prompt."""
    answer: str
    """The reference in the form it is compared in."""


def fold(text: str, rules: TextRules) -> str:
    """The text as it is compared."""
    end = len(text) - len(rules.suffix)
    if text.startswith(rules.prefix) and text.endswith(rules.suffix) and end >= len(rules.prefix):
        text = text[len(rules.prefix) : end]
    return folded(text, drop_digits=rules.drop_digits)


def text_rules(arrivals: Sequence[Arrival]) -> TextRules:
    texts = sorted({arrival.text for arrival in arrivals})
    prefix = _common_start(texts)
    suffix = _common_start([text[::-1] for text in texts])[::-1]
    rules = TextRules(prefix=prefix, suffix=suffix, drop_digits=False)
    return TextRules(prefix=prefix, suffix=suffix, drop_digits=_digits_do_not_matter(arrivals, rules))


def _common_start(texts: Sequence[str]) -> str:
    """Of all of several texts; "" where it is too short to be a template."""
    if len(texts) < 2:
        return ""
    first, last = min(texts), max(texts)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length] if length >= _LEAST_TEMPLATE else ""


def _digits_do_not_matter(arrivals: Sequence[Arrival], rules: TextRules) -> bool:
    """Whether texts that differ in digits alone have equal answers."""
    without = TextRules(prefix=rules.prefix, suffix=rules.suffix, drop_digits=True)
    answers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for arrival in arrivals:
        answers[fold(arrival.text, without)].setdefault(fold(arrival.text, rules), arrival.answer)
    groups = [list(group.values()) for group in answers.values() if len(group) > 1]
    pairs = sum(len(group) - 1 for group in groups)
    agreeing = sum(max(Counter(group).values()) - 1 for group in groups)
    return pairs >= _PAIRS and agreeing >= _AGREE * pairs


class Placing:
    """The index of what has a place already. Give it the former places in their order, then place what is new."""

    def __init__(self, rules: TextRules, texts: Iterable[str] = ()) -> None:
        """`texts`: some of the task's, for the order in which the search looks; any are right."""
        self._rules = rules
        self._index = NearDuplicates.for_texts([fold(text, rules) for text in texts])
        self._clusters: list[str] = []
        self._parts: list[Part] = []
        self._next = 0

    def know(self, place: Place, text: str | None) -> None:
        """An exchange that has its place, in the order of places. None: its text is gone, so nothing resembles it."""
        if text is not None:
            self._add(fold(text, self._rules), place.cluster, place.part)
        self._next = max(self._next, place.place + 1)

    def place(self, arrivals: Iterable[Arrival]) -> list[Place]:
        """Of exchanges that have none yet, in the order of their places."""
        new = sorted(arrivals, key=lambda arrival: (arrival.created, arrival.exchange_id))
        found = [self._cluster_of(arrival) for arrival in new]
        if self._next == 0:
            found.sort(key=lambda item: sha256_hex(f"{_SALT} order {item[0]}".encode()))
        start = self._next
        self._next += len(found)
        return [
            Place(exchange_id=exchange_id, place=start + at, cluster=cluster, part=part)
            for at, (exchange_id, cluster, part) in enumerate(found)
        ]

    def _cluster_of(self, arrival: Arrival) -> tuple[str, str, Part]:
        text = fold(arrival.text, self._rules)
        alike = self._index.alike(text)
        cluster = self._clusters[alike[0].index] if alike else arrival.exchange_id
        part = self._part_of(arrival.exchange_id, text, [self._parts[each.index] for each in alike])
        self._add(text, cluster, part)
        return arrival.exchange_id, cluster, part

    def _part_of(self, exchange_id: str, text: str, alike: Sequence[Part]) -> Part:
        if not alike:
            return "fit" if unit_interval(_SALT, text) < FIT_SHARE else "evidence"
        sides = {"evidence" if part == "evidence" else "fit" for part in alike if part != "between"}
        if len(sides) != 1:
            return "between"
        if sides == {"evidence"}:
            return "evidence"
        return "held out" if unit_interval(_SALT, "held out", exchange_id) < HELD_OUT_SHARE else "fit"

    def _add(self, text: str, cluster: str, part: Part) -> None:
        self._index.add(text)
        self._clusters.append(cluster)
        self._parts.append(part)
