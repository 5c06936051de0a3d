"""Whether a family of blocks tells jobs apart, or is a slot of one job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insource.traffic.wording import asks, labelled, labelled_as_job

SURE = 0.75
"""Agreement (kappa) from which messages and answers alone show that the alternatives are different jobs."""
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
MOST = 0.8
"""Share of the alternatives (by their texts) that have to be of one sort."""


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
    if case.cover >= COVER and size <= FEW and case.share([one.at_edge for one in case.alternatives]) >= MOST:
        if case.share([one.framed or (size <= FEW_EDGES and one.inside <= INSIDE) for one in case.alternatives]) >= MOST:
            return 1
    if known and case.answered and case.agreement < CHANCE:
        return 0
    return 1 if _long_and_few(case) else 0


def _asks(one: Alternative) -> bool:
    if labelled(one.before):
        return False
    return labelled_as_job(one.before) or (asks(one.text) and one.words >= 2)


def _long_and_few(case: Case) -> bool:
    plain = [
        one.words >= LONG_WORDS and one.elsewhere <= 0.2 and not labelled(one.before) for one in case.alternatives
    ]
    return case.cover >= COVER and len(plain) <= FEW and case.share(plain) >= MOST
