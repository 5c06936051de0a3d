"""Tools that are offered together: requests that choose from one set of tools are told apart from those of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

TOGETHER = 0.1
"""Share of the requests with one tool that offer the other too."""
LIKE = 0.7
"""Share of the tools found with one of two that are found with both, when they are of one set. A tool that everybody
offers (a web search) is found with all, and so is like none."""
MOST_TOOLS = 60
"""Of one request, in pairs; longer lists are cut."""


def tool_sets(offered: Sequence[tuple[str, ...]]) -> list[frozenset[str]]:
    """Sets of tools that are found together, from the tools of each request. A tool that goes with several sets (a web
    search that all agents have) is in none."""
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
