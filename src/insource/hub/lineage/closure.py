"""The full closure of a lineage: for every model, how many models descend from it, exactly.

Merges have several parents, so descendants of the parents overlap and counts can't be added up. What makes it cheap
nevertheless: cut every edge into a node with several parents, and a forest is left. For a node v,

    descendants(v) = its subtree in the forest + the whole trees of all merges that can be reached from v,

which are disjoint trees. Subtree sizes are one pass from the leaves. Which merges a node reaches is a bitset, needed
only for the ancestors of merges, computed for a block of merges at a time (memory is bounded by the block) with merges
of one neighbourhood in one block (few nodes reach a block). Cycles are condensed first: the models of one cycle are one
node of their number, and each other's descendants.

Cost: O(nodes + edges) for the forest, O(edges among ancestors of merges x merges / 64) words at worst for the bitsets.
It grows faster than the data, and not by depth: in the made-up lineage of bench/hub_snapshot.py, 80 levels at every
size, twice the models (1x to 2x) have 2.5 times the pairs of a merge and an ancestor, for larger families have more of
both; the bitsets are 3.2 times as large, for of their bits fewer are set (.041 after .053). Blocks by number, by the
child below or by bandwidth (reverse Cuthill-McKee) instead of by height took .9 to 1.4 times the processor's time.
Nodes are numbers from 0; edges are two arrays, child and parent. Guarded by order, never by a depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]
_BLOCK = 2048
"""Merges whose bitsets are held at once: 256 bytes a node that reaches one. Half or twice as many take longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dag:
    """A lineage with its cycles condensed: no self-loops, no repeated edges."""

    node_of: Ints
    """Of each model its node; the models of one cycle share it."""
    sizes: Ints
    """Models of each node."""
    child: Ints
    parent: Ints
    """The edges between nodes."""
    height: Ints
    """Of each node the steps of its longest way down to a leaf."""
    self_loops: int
    """Edges from a model to itself, dropped."""

    @property
    def nodes(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Neighbours of each node, as slices of one array."""

    starts: Ints
    neighbours: Ints

    @classmethod
    def of(cls, source: Ints, target: Ints, *, nodes: int) -> Ranges:
        starts = np.zeros(nodes + 1, dtype=np.int64)
        np.cumsum(np.bincount(source, minlength=nodes), out=starts[1:])
        return cls(starts=starts, neighbours=target[np.argsort(source, kind="stable")])

    def around(self, nodes: Ints) -> Ints:
        """The neighbours of these nodes, with repetitions."""
        counts = self.starts[nodes + 1] - self.starts[nodes]
        offsets = np.repeat(self.starts[nodes] - (np.cumsum(counts) - counts), counts)
        return self.neighbours[offsets + np.arange(len(offsets))]


def condense(child: Ints, parent: Ints, *, models: int) -> Dag:
    """Only what no order from either end reaches can lie on a cycle, so strong components are sought there alone."""
    loops = child == parent
    child, parent = _distinct(child[~loops], parent[~loops], models)
    node_of = np.arange(models, dtype=np.int64)
    sizes = np.ones(models, dtype=np.int64)
    height = heights(child, parent, nodes=models)
    left = np.flatnonzero(height < 0)
    if len(left):
        place = np.full(models, -1, dtype=np.int64)
        place[left] = np.arange(len(left))
        inside = (place[child] >= 0) & (place[parent] >= 0)
        _, label = _components(place[child[inside]], place[parent[inside]], nodes=len(left), connection="strong")
        node_of[left] = left[np.unique(label, return_index=True)[1]][label]
        kept, node_of = np.unique(node_of, return_inverse=True)
        sizes = np.bincount(node_of, minlength=len(kept))
        child, parent = node_of[child], node_of[parent]
        apart = child != parent
        child, parent = _distinct(child[apart], parent[apart], len(kept))
        height = heights(child, parent, nodes=len(kept))
    return Dag(node_of=node_of, sizes=sizes, child=child, parent=parent, height=height, self_loops=int(loops.sum()))


def heights(child: Ints, parent: Ints, *, nodes: int) -> Ints:
    """Of each node the steps of its longest way down to a leaf; -1 for what lies on or above a cycle. Turned round
    (`heights(parent, child)`) the steps up to its farthest root."""
    waiting = np.bincount(parent, minlength=nodes)
    up = Ranges.of(child, parent, nodes=nodes)
    height = np.full(nodes, -1, dtype=np.int64)
    front, steps = np.flatnonzero(waiting == 0), 0
    while len(front):
        height[front] = steps
        above, arrived = _counted(up.around(front), nodes=nodes)
        waiting[above] -= arrived
        front, steps = above[waiting[above] == 0], steps + 1
    return height


def descendant_counts(dag: Dag) -> Ints:
    """Of every model, its distinct descendants over any number of steps, itself not counted."""
    parents = np.bincount(dag.child, minlength=dag.nodes)
    alone = parents[dag.child] == 1
    tree = _subtree_sizes(dag.child[alone], dag.parent[alone], sizes=dag.sizes, height=dag.height)
    counts = tree.copy()
    _add_merges(counts, tree, dag, merges=np.flatnonzero(parents > 1))
    return counts[dag.node_of] - 1


def families(dag: Dag) -> Ints:
    """Of every model the number of its component: models joined by edges in any direction."""
    return _components(dag.child, dag.parent, nodes=dag.nodes, connection="weak")[1][dag.node_of].astype(np.int64)


def _counted(some: Ints, *, nodes: int) -> tuple[Ints, Ints]:
    """The distinct nodes among them, and how often each is there. The first front holds most nodes: no sorting then."""
    if len(some) < nodes // 8:
        return np.unique(some, return_counts=True)
    counts = np.bincount(some, minlength=nodes)
    there = np.flatnonzero(counts)
    return there, counts[there]


def _distinct(child: Ints, parent: Ints, nodes: int) -> tuple[Ints, Ints]:
    if not len(child):
        return child, parent
    key = np.sort(child.astype(np.int64) * nodes + parent)
    key = key[np.concatenate(([True], key[1:] != key[:-1]))]
    return np.divmod(key, nodes)


def _components(child: Ints, parent: Ints, *, nodes: int, connection: str) -> tuple[int, NDArray[np.int32]]:
    graph = coo_array((np.ones(len(child), dtype=np.int8), (child, parent)), shape=(nodes, nodes)).tocsr()
    return connected_components(graph, directed=True, connection=connection)


def _subtree_sizes(child: Ints, parent: Ints, *, sizes: Ints, height: Ints) -> Ints:
    """Of a forest: every child is added to its parent after all of its own children were added to it."""
    total = sizes.copy()
    order = np.argsort(height[child], kind="stable")
    child, parent = child[order], parent[order]
    for part in _levels(height[child]):
        np.add.at(total, parent[part], total[child[part]])
    return total


def _levels(sorted_levels: Ints) -> list[slice]:
    edges = np.flatnonzero(np.diff(sorted_levels)) + 1
    ends = [0, *edges.tolist(), len(sorted_levels)]
    return [slice(low, high) for low, high in pairwise(ends) if high > low]


def _add_merges(counts: Ints, tree: Ints, dag: Dag, *, merges: Ints) -> None:
    """Adds to `counts` the trees of the merges that each node reaches."""
    if not len(merges):
        return
    above = np.flatnonzero(_ancestors_of(merges, dag))
    twin, child, parent = _without_twins(dag, above=above, merges=merges)
    kept, place = _numbered(np.concatenate((parent, merges)), nodes=dag.nodes)
    child, parent, own = place[child], place[parent], place[merges]
    tree_of, height_of = tree[kept], dag.height[kept]
    order = np.lexsort((parent, height_of[parent]))
    child, parent = child[order], parent[order]
    neighbourhood = _components(child, parent, nodes=len(kept), connection="weak")[1]
    own = own[np.lexsort((height_of[own], neighbourhood[own]))]
    reached = np.zeros(len(kept), dtype=np.int64)
    for start in range(0, len(own), _BLOCK):
        _add_block(reached, tree_of, merges=own[start : start + _BLOCK], edges=(child, parent), height=height_of)
    counts[above] += reached[place[twin[above]]]
    counts[merges] -= tree[merges]


def _numbered(some: Ints, *, nodes: int) -> tuple[Ints, Ints]:
    """Some of the nodes in their order, without repeats, and of each node its place among them."""
    there = np.zeros(nodes, dtype=bool)
    there[some] = True
    return np.flatnonzero(there), np.cumsum(there) - 1


def _without_twins(dag: Dag, *, above: Ints, merges: Ints) -> tuple[Ints, Ints, Ints]:
    """A node that is no merge, and above merges by one child only, reaches what that child reaches (or is): its twin.
    Of each node its last twin, and the edges between those that remain."""
    inside = np.zeros(dag.nodes, dtype=bool)
    inside[above] = True
    kept = inside[dag.child]
    child, parent = dag.child[kept], dag.parent[kept]
    single = np.bincount(parent, minlength=dag.nodes) == 1
    single[merges] = False
    twin = np.arange(dag.nodes, dtype=np.int64)
    twin[parent[single[parent]]] = child[single[parent]]
    while True:
        further = twin[twin]
        if np.array_equal(further, twin):
            break
        twin = further
    rest = ~single[parent]
    return twin, *_distinct(twin[child[rest]], parent[rest], dag.nodes)


def _ancestors_of(merges: Ints, dag: Dag) -> NDArray[np.bool_]:
    """Of each node whether it is a merge or above one."""
    up = Ranges.of(dag.child, dag.parent, nodes=dag.nodes)
    seen = np.zeros(dag.nodes, dtype=bool)
    front = merges
    while len(front):
        seen[front] = True
        near = np.unique(up.around(front))
        front = near[~seen[near]]
    return seen


def _add_block(reached: Ints, tree: Ints, *, merges: Ints, edges: tuple[Ints, Ints], height: Ints) -> None:
    """Bitsets of one block of merges, pushed up level by level; the edges are sorted by their parent's height, then
    by parent."""
    child, parent = edges
    live = np.zeros(len(reached), dtype=bool)
    live[merges] = True
    for part in _levels(height[parent]):
        live[parent[part][live[child[part]]]] = True
    rows = np.flatnonzero(live)
    row_of = np.zeros(len(reached), dtype=np.int64)
    row_of[rows] = np.arange(len(rows))
    kept = live[child]
    child, parent = child[kept], parent[kept]
    bits = np.zeros((len(rows), (len(merges) + 63) // 64), dtype=np.uint64)
    columns = np.arange(len(merges))
    bits[row_of[merges], columns // 64] = np.uint64(1) << (columns % 64).astype(np.uint64)
    for part in _levels(height[parent]):
        above = parent[part]
        first = np.flatnonzero(np.concatenate(([True], above[1:] != above[:-1])))
        bits[row_of[above[first]]] |= np.bitwise_or.reduceat(bits[row_of[child[part]]], first, axis=0)
    reached[rows] += _weigh(bits, tree[merges])


def _weigh(bits: NDArray[np.uint64], weights: Ints) -> Ints:
    """Of each row the sum of the weights of its bits: one count of bits for each binary digit of the weights."""
    total = np.zeros(len(bits), dtype=np.int64)
    for digit in range(int(weights.max()).bit_length()):
        chosen = np.zeros(64 * bits.shape[1], dtype=np.uint8)
        chosen[: len(weights)] = (weights >> digit) & 1
        mask = np.packbits(chosen, bitorder="little").view("<u8")
        words = np.flatnonzero(mask)
        if len(words):
            total += np.bitwise_count(bits[:, words] & mask[words]).sum(axis=1, dtype=np.int64) << digit
    return total
