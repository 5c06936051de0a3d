"""Families of blocks: alternatives of which a text has one, as a prompt's slot is filled with one of several texts.

A log of several jobs shows one family whose alternatives are their instructions; names, days, documents and examples
make families too. `strength` decides whether a family tells jobs apart
or is a slot of one job. Tools that are offered together are families too (`tool_sets`). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from insource.traffic.corpus import CONSTANT, Blocks, Bools, Floats, Ints
from insource.traffic.evidence import SURE
from insource.traffic.wording import asks, labelled, labelled_as_job, names_somebody, ordered

MOST_BLOCKS = 250
"""Considered in a group, those that say most."""
MOST_ALTERNATIVES = 100
OVERLAP = 0.02
"""Share of the rarer of two alternatives that may hold both: one text quotes another now and then."""
SEEDS = 6
"""Blocks that families are built around: those that say most, and those with most text beside them that they
exclude."""
LEAST_SAID = 60
"""Phrases times texts: five texts have to share a long instruction, twenty a short one."""
EDGE_SHARE = 0.08
"""Of a group's texts: a single word that begins or ends so many messages may be all that a template says."""
CHANCE = 0.25
"""Below it they show one job, if answers are known: then only a text that asks for something makes another job."""
LIKELY = 0.45
"""Enough of a few alternatives that together cover all texts."""
KNOWN_TEXTS = 60
"""Fewer texts show nothing by their agreement."""
COVER = 0.95
LONG_WORDS = 8
FEW_EDGES = 6
INSIDE = 0.1
"""People begin messages with few words too (how, what, can), but these are inside other messages as well."""
FEW = 12
MANY = 20
"""Texts of one value in a sentence that says what to do, from which it is another job: names, dates and ids have more
values, each in fewer requests."""
MOST = 0.8
"""Share of the alternatives (by their texts) that have to be of one sort."""
TOGETHER = 0.1
"""Share of the requests with one tool that offer the other too."""
LIKE = 0.7
"""Share of the tools found with one of two that are found with both, when they are of one set. A tool that everybody
offers (a web search) is found with all, and so is like none."""
MOST_TOOLS = 60
"""Of one request, in pairs; longer lists are cut."""
_LONG = (3.0, 8.0, 24.0)
"""Lengths up to which a block's phrases count, in the three orders in which families are sought."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    blocks: Ints
    """Alternatives, by their numbers in the group."""
    choice: Ints
    """Of each text in the group: which alternative it has, -1 for none."""

    @property
    def size(self) -> int:
        return len(self.blocks)

    @property
    def cover(self) -> float:
        return float((self.choice >= 0).mean())


def constant(blocks: Blocks, size: int) -> Bools:
    """What nearly all texts of a group of that size have."""
    return blocks.texts >= max(2, CONSTANT * size)


def families(
    blocks: Blocks, size: int, *, least: int, first: Callable[[], Bools], eligible: Bools | None = None
) -> Iterator[Family]:
    """Families of at least `least` texts for each alternative; of `eligible` blocks alone where given. Where there
    are too many blocks, those that `first` names are taken before others."""
    said = blocks.texts * np.minimum(blocks.feature("phrases"), 24)
    frequent = blocks.at_edge & (blocks.texts >= EDGE_SHARE * size)
    wanted = (blocks.texts >= least) & ~constant(blocks, size) & ((said >= LEAST_SAID) | frequent)
    if eligible is not None:
        wanted &= eligible
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return
    if len(chosen) > MOST_BLOCKS:
        ahead = first()[chosen]
        chosen = chosen[np.lexsort((chosen, -said[chosen], ~ahead))][:MOST_BLOCKS]
    has: Floats = blocks.in_text[:, chosen].toarray()
    together = has.T @ has
    texts = together.diagonal()
    apart = together <= OVERLAP * np.minimum(texts[:, None], texts[None, :])
    alternatives = np.lexsort((chosen, -(apart @ texts)))[:SEEDS]
    seen: set[bytes] = set()
    for longest in _LONG:
        rank = texts * np.minimum(blocks.feature("phrases")[chosen], longest)
        order = np.lexsort((chosen, -rank))
        for seed in dict.fromkeys([*order[:SEEDS].tolist(), *alternatives.tolist()]):
            members = _members(seed, order, apart)
            key = np.sort(chosen[members]).tobytes()
            if key not in seen:
                seen.add(key)
                yield _family(chosen, has, members)


def _members(seed: int, order: Ints, apart: Bools) -> Ints:
    """The seed, and what fits beside all that were taken before, in the given order."""
    members, fits = [seed], apart[seed].copy()
    for block in order:
        if fits[block]:
            members.append(int(block))
            fits &= apart[block]
            if len(members) > MOST_ALTERNATIVES:
                break
    return np.array(members, dtype=np.int64)


def _family(chosen: Ints, has: Floats, members: Ints) -> Family:
    present = has[:, members] > 0
    choice = np.where(present.any(axis=1), present.argmax(axis=1), -1)
    return Family(blocks=chosen[members], choice=choice)


# -------------------------------------------------------------------------------- jobs or a slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    text: str
    """The recurring text itself."""
    before: str
    """What stands in front of it on the same line or the line above, in one request."""
    texts: int
    words: int
    elsewhere: float
    """Share of its occurrences that are outside the group."""
    at_edge: bool
    framed: bool
    """A mark such as a colon sets it off from the text that it stands beside."""
    inside: float
    """Of words at the edge of a message: how often they are inside messages, for each time at the edge."""
    shared: float
    """Of words at the edge of a message: the share of the other alternatives' texts that hold them too, as the turns
    of a quoted talk begin with who speaks."""
    whole: bool
    """It is a whole message of a user."""
    last: bool
    """It is all that the user says last: a question that many ask, and no prompt around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    alternatives: Sequence[Alternative]
    cover: float
    agreement: float
    answered: bool
    """The answers of most texts are known."""
    texts: int

    def share(self, sort: Sequence[bool]) -> float:
        total = sum(one.texts for one in self.alternatives)
        return sum(one.texts for one, holds in zip(self.alternatives, sort, strict=True) if holds) / max(1, total)


def strength(case: Case) -> int:
    """How surely the alternatives are different jobs: 3 by messages and answers, 2 by what they ask, 1 by their form
    alone, 0 not."""
    known = case.texts >= KNOWN_TEXTS
    asked = case.share([_asks(one) for one in case.alternatives]) >= MOST
    size = len(case.alternatives)
    if case.share([one.last for one in case.alternatives]) > 1 - MOST:
        return 0
    if case.share([one.whole for one in case.alternatives]) > 1 - MOST:
        return 3 if known and case.agreement >= SURE and size <= FEW and asked else 0
    if known and case.cover >= COVER and case.agreement >= (LIKELY if size <= FEW else SURE):
        return 3
    if known and asked and case.agreement >= SURE:
        return 3
    if asked and case.cover >= COVER and case.share([one.elsewhere > 0.2 for one in case.alternatives]) < MOST:
        return 2
    own = all(one.shared <= 1 - MOST for one in case.alternatives)
    set_off = case.share([_set_off(one, size) for one in case.alternatives]) >= MOST
    if case.cover >= COVER and size <= FEW and own and set_off:
        return 1
    if known and case.answered and case.agreement < CHANCE:
        return 0
    return 1 if _long_and_few(case) or _ordered_and_few(case) else 0


def _asks(one: Alternative) -> bool:
    if labelled(one.before):
        return False
    return labelled_as_job(one.before) or (asks(one.text) and one.words >= 2)


def _set_off(one: Alternative, size: int) -> bool:
    """It begins or ends a message, and a mark or its wording says that it is no part of what the user writes."""
    if not one.at_edge or names_somebody(one.before, one.text):
        return False
    return one.framed or (size <= FEW_EDGES and one.inside <= INSIDE)


def _long_and_few(case: Case) -> bool:
    plain = [one.words >= LONG_WORDS and one.elsewhere <= 0.2 and not labelled(one.before) for one in case.alternatives]
    return case.cover >= COVER and len(plain) <= FEW and case.share(plain) >= MOST


def _ordered_and_few(case: Case) -> bool:
    """Few values of one word in what the prompt orders: `into French`, `into German`."""
    own = [
        one.texts >= MANY and one.elsewhere <= 0.2 and ordered(one.before) and not names_somebody(one.before, one.text)
        for one in case.alternatives
    ]
    return case.cover >= COVER and 1 < len(own) <= FEW and case.share(own) >= MOST


# ------------------------------------------------------------------------------------ sets of tools


def tool_sets(offered: Sequence[tuple[str, ...]]) -> list[frozenset[str]]:
    """Sets of tools that are found together, from the tools of each request. A tool that goes with several sets (a
    web search that all agents have) is in none."""
    with_tools = [names[:MOST_TOOLS] for names in offered if names]
    single = Counter(name for names in with_tools for name in names)
    pairs = Counter(pair for names in with_tools for pair in combinations(sorted(names), 2))
    beside = {name: {name} for name in single}
    for (one, other), both in pairs.items():
        if both >= TOGETHER * min(single[one], single[other]):
            beside[one].add(other)
            beside[other].add(one)
    owner = {name: name for name in single}

    def root(name: str) -> str:
        while owner[name] != name:
            owner[name] = owner[owner[name]]
            name = owner[name]
        return name

    for one, other in sorted(pairs):
        if len(beside[one] & beside[other]) >= LIKE * len(beside[one] | beside[other]):
            owner[root(one)] = root(other)
    sets: dict[str, set[str]] = {}
    for name in sorted(single):
        sets.setdefault(root(name), set()).add(name)
    return sorted(map(frozenset, sets.values()), key=lambda names: (-len(names), sorted(names)))


def set_of(names: Iterable[str], sets: Sequence[frozenset[str]]) -> int:
    """The number of the set that most of a request's tools are from; -1 where none holds half of them."""
    offered = set(names)
    best = max(range(len(sets)), key=lambda number: (len(offered & sets[number]), -number), default=-1)
    return best if best >= 0 and 2 * len(offered & sets[best]) >= len(offered) > 0 else -1
