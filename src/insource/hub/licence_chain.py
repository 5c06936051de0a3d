"""The licence that is in force over a whole lineage, not the one on the last card.

A derivative's licence can't give away what an ancestor's withholds. The effective licence is the strictest one stated
by a model or any of its ancestors, merges' parents included, in the order of `licences.CLASSES`. An ancestor whose
licence is not stated, or not known here, adds no class: it is listed as `unstated`, and a policy refuses it.

Conflict: a label of a known class, and an ancestor of a known stricter one. Not legal advice: an owner may have other
rights than the Hub tells of, and a parent declared by a stranger may be wrong. A parent that no card declares and files
tell (`lineage/inferred_files.py`) counts like a declared one, and its link says so.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from insource.core.ecosystem import EffectiveLicence, LicenceClass, Link, Policy
from insource.hub.licence_duties import duties
from insource.hub.licences import CLASSES, licence_class

UNKNOWN_RANK = -1
Ints = NDArray[np.int64]


def stated_licence(license: str | None, license_name: str | None) -> str | None:
    """The id that tells something: of `other` its name; None also where the card is known to state none (`''`)."""
    return license_name if license in {None, "", "other"} and license_name else license or None


def class_rank(name: LicenceClass) -> int:
    """Place in the order of strictness; -1: not known."""
    return UNKNOWN_RANK if name == "unknown" else CLASSES.index(name)


def chain(
    model_id: str,
    parents_of: Mapping[str, Iterable[str]] | Callable[[str], Iterable[str]],
    licence_of: Callable[[str], str | None],
    *,
    told_by_files: Container[str] = (),
) -> EffectiveLicence:
    """Of one model. Guarded by the set of what was seen: self-loops and cycles end, and chains may be of any length.
    `told_by_files`: models whose parents files tell."""
    parents = parents_of if callable(parents_of) else lambda id: parents_of.get(id, ())
    steps = _steps(model_id, parents)
    told = any(id in told_by_files for id in steps)
    declared = _steps(model_id, lambda id: () if id in told_by_files else parents(id)) if told else steps
    links = tuple(_link(id, up, licence_of(id), told_by_files=id not in declared) for id, up in steps.items())
    own = class_rank(links[0].licence_class)
    return EffectiveLicence(
        links=links,
        strictest=max(links, key=lambda link: (class_rank(link.licence_class), -link.steps)),
        conflicts=tuple(link for link in links[1:] if UNKNOWN_RANK < own < class_rank(link.licence_class)),
        unstated=tuple(link for link in links if link.licence_class == "unknown"),
        duties=duties(link.license for link in links),
    )


def refusal(licence: EffectiveLicence | None, policy: Policy) -> Link | None:
    """Of what somebody states and the policy does not allow, the strictest. A licence that nobody states stops nothing
    here: the model is on this machine already, and may be its owner's own."""
    stated = [link for link in licence.refusals(policy) if link.license] if licence else []
    return max(stated, key=lambda link: (class_rank(link.licence_class), -link.steps), default=None)


def _steps(start: str, parents: Callable[[str], Iterable[str]]) -> Mapping[str, int]:
    """Of the model and all that is above it, nearest first."""
    steps = {start: 0}
    queue = [start]
    for id in queue:
        for parent in parents(id):
            if parent not in steps:
                steps[parent] = steps[id] + 1
                queue.append(parent)
    return steps


def _link(id: str, steps: int, license: str | None, *, told_by_files: bool) -> Link:
    return Link(id=id, steps=steps, license=license, licence_class=licence_class(license), told_by_files=told_by_files)


def effective_ranks(own: Ints, child: Ints, parent: Ints) -> Ints:
    """Of every model at once: the strictest rank among itself and its ancestors.

    Ranks only grow and are bounded, so this ends whatever the edges are. Only children of what changed in a round are
    looked at in the next: rounds = the longest way that a stricter rank travels (75 among real merges).
    """
    order = np.argsort(parent, kind="stable")
    child, parent = child[order], parent[order]
    starts = np.searchsorted(parent, np.arange(len(own) + 1))
    ranks = own.copy()
    changed = np.arange(len(own))
    while len(changed):
        counts = starts[changed + 1] - starts[changed]
        offsets = np.repeat(starts[changed] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        targets, given = child[offsets], ranks[parent[offsets]]
        stricter = given > ranks[targets]
        targets, given = targets[stricter], given[stricter]
        np.maximum.at(ranks, targets, given)
        changed = np.unique(targets)
    return ranks
