"""Families of blocks: alternatives of which a text has one, as a prompt's slot is filled with one of several texts.

A log of several jobs shows one family whose alternatives are their instructions; names, days, documents and examples
make families too. Which of them tells jobs apart is decided elsewhere (`judge`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from insource.traffic.blocks import CONSTANT, Blocks
from insource.traffic.corpus import Bools, Floats, Ints

MOST_BLOCKS = 250
"""Considered in a group, those that say most."""
MOST_ALTERNATIVES = 100
OVERLAP = 0.02
"""Share of the rarer of two alternatives that may hold both: one text quotes another now and then."""
SEEDS = 6
"""Blocks that families are built around: those that say most, and those with most text beside them that they exclude."""
LEAST_SAID = 60
"""Phrases times texts: five texts have to share a long instruction, twenty a short one."""
EDGE_SHARE = 0.08
"""Of a group's texts: a single word that begins or ends so many messages may be all that a template says."""
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
    """Families of at least `least` texts for each alternative; of `eligible` blocks alone where given. Where there are too
    many blocks, those that `first` names are taken before others."""
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
