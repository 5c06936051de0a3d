"""A model's descendants as a drawing within a page: the nearest ones, as many as a browser moves fluently."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from insource.core.ecosystem import TreeNode
from insource.web.tree_svg import tree_svg

FEW, MANY = 150, 5_000
"""Models drawn at first, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    svg: Markup
    shown: int
    descendants: int
    """In the whole snapshot."""


def draw(root: TreeNode, *, most: int) -> Lineage:
    kept = limited(root, most)
    # Names of strangers are escaped where the picture is made.
    return Lineage(svg=Markup(tree_svg(kept)), shown=count(kept), descendants=root.transitive)


def count(root: TreeNode) -> int:
    return sum(1 for _ in _all(root))


def _all(root: TreeNode) -> Iterator[TreeNode]:
    waiting = deque([root])
    while waiting:
        node = waiting.popleft()
        yield node
        waiting.extend(node.children)


def limited(root: TreeNode, most: int) -> TreeNode:
    """The first `most` models step by step from the root; what is left out is counted where it would hang. Pure, and
    without recursion: chains are deep."""
    kept = {id(node) for node, _ in zip(_all(root), range(most), strict=False)}
    made: dict[int, TreeNode] = {}
    for node in reversed(list(_all(root))):
        if id(node) not in kept:
            continue
        left_out = Counter(child.kind for child in node.children if id(child) not in kept)
        folded = Counter(dict(node.folded)) + left_out
        children = tuple(made[id(child)] for child in node.children if id(child) in kept)
        made[id(node)] = replace(node, children=children, folded=tuple(folded.most_common()))
    return made[id(root)]
