"""Templates in a log of any size: found in a sample, recognised in all requests, and sought again in what is left,
until nothing new is found. Large tasks are found first, and rare ones among what these leave. The same for any
order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import pairwise
from zlib import crc32

from insource.traffic.corpus import CALENDAR, READ_CHARACTERS
from insource.traffic.evidence import Outcome
from insource.traffic.grouping import FEWEST, Group, Unit, find_groups, least_texts
from insource.traffic.matcher import Templates
from insource.traffic.templates import View
from insource.traffic.wording import widens

SAMPLE_TEXTS = 1_500
SAMPLE_CHARACTERS = 3_000_000
FEW_TEXTS, MORE_TEXTS = 100, 200
"""A template of few texts of a sample is sought again in more that look like it: what seven texts have in common may
be chance."""
ROUNDS = 10
CATCH_ALL = 0.2
"""A template that several others extend is what their jobs have in common, and no job, when it holds fewer texts than
this share of theirs."""
_MOMENT = re.compile(rf"\d+|\b(?:{'|'.join(sorted(CALENDAR))})\b", re.IGNORECASE)
"""Digits and names of days and months: a prompt that says what time it is does not begin another conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    view: View
    outcome: Outcome


def find_templates(requests: Sequence[Request]) -> list[Group]:
    """Groups as found in samples, the largest first."""
    groups: list[Group] = []
    left = requests
    for _ in range(ROUNDS):
        known = {group.template for group in groups}
        units, least, whole = _sample(left, SAMPLE_TEXTS)
        found = find_groups(units, least)
        if not whole:
            found = [again for group in found for again in _sought_again(group, found, left)]
        found = [group for group in dict.fromkeys(found) if group.template not in known]
        if not found:
            break
        for group in found:
            groups = _with(groups, group)
        match = Templates((group.template, "") for group in groups)
        left = [request for request in left if match.find(request.view) is None]
    return _jobs(groups)


def _with(groups: Sequence[Group], new: Group) -> list[Group]:
    """The groups and a new one, or with the one group that the new one's template widens."""
    narrower = [group for group in groups if new.template.covers(group.template)]
    if len(narrower) != 1 or not widens(new.template, narrower[0].template):
        return [*groups, new]
    wide = replace(narrower[0], template=new.template, texts=narrower[0].texts + new.texts)
    return [wide if group is narrower[0] else group for group in groups]


def _sought_again(group: Group, groups: Sequence[Group], requests: Sequence[Request]) -> list[Group]:
    """The group, or those that are found where its longest text of its own is."""
    shared = {part for other in groups if other is not group for part in other.template.parts}
    own = [part for part in group.template.parts if part not in shared]
    if len(group.texts) >= FEW_TEXTS or not own:
        return [group]
    others = Templates((other.template, "") for other in groups if other is not group)
    alike = [request for request in requests if own[0] in request.view.text and others.find(request.view) is None]
    units, _, _ = _sample(alike, MORE_TEXTS)
    if len(units) <= len(group.texts):
        return [group]
    return find_groups(units, FEWEST) or [group]


def _jobs(groups: Sequence[Group]) -> list[Group]:
    """Without templates that hold only what others have in common."""
    kept: list[Group] = []
    for group in groups:
        wider = [len(other.texts) for other in groups if other is not group and group.template.covers(other.template)]
        if len(wider) < 2 or len(group.texts) >= CATCH_ALL * sum(wider) / len(wider):
            kept.append(group)
    return kept


# ----------------------------------------------------------------------------------------------------- the sample


def _sample(requests: Sequence[Request], most: int) -> tuple[list[Unit], int, bool]:
    """Distinct requests, in an order of their own; how many of them make a task where nothing but users' words is
    alike; whether it is all of them."""
    texts = {request.view.text for request in requests} - {""}
    by_text: dict[str, list[Request]] = {}
    characters = 0
    for text in nsmallest(most, texts, key=lambda text: (crc32(text.encode("utf-8", "replace")), text)):
        characters += min(len(text), READ_CHARACTERS)
        by_text[text] = []
        if characters >= SAMPLE_CHARACTERS:
            break
    for request in requests:
        if request.view.text in by_text:
            by_text[request.view.text].append(request)
    least = least_texts(len(texts)) * len(by_text) // max(1, len(texts))
    return _units(sorted(by_text), by_text), max(FEWEST, least), len(by_text) == len(texts)


def _units(drawn: Sequence[str], by_text: Mapping[str, Sequence[Request]]) -> list[Unit]:
    """Of a conversation only the longest request is there, so that a message that every step repeats is one text."""
    conversations: defaultdict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for text in drawn:
        seen = by_text[text][0].view
        conversations[_MOMENT.sub("0", seen.system), seen.turns].append(text)
    keys = sorted(conversations)
    earlier = {key for key, after in pairwise(keys) if key[0] == after[0] and key[1] == after[1][: len(key[1])]}
    return [_unit(conversations[key], by_text) for key in keys if key not in earlier]


def _unit(texts: Sequence[str], by_text: Mapping[str, Sequence[Request]]) -> Unit:
    requests = [request for text in texts for request in by_text[text]]
    answers = [request.outcome.answer for request in requests if request.outcome.answer]
    return Unit(
        text=texts[0],
        tools=tuple(sorted({name for request in requests for name in request.view.tools})),
        outcome=Outcome(answer=min(answers, default=None), tool_call=any(one.outcome.tool_call for one in requests)),
    )
