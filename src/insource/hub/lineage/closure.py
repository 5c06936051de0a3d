"""The full closure of a lineage: for every model, how many models descend from it, exactly.

Merges have several parents, so descendants of the parents overlap and counts can't be added up. What makes it cheap
nevertheless: cut every edge into a node with several parents, and a forest is left. For a node v,

    descendants(v) = its subtree in the forest + the whole trees of all merges that can be reached from v,

which are disjoint trees. Subtree sizes are one pass from the leaves. Which merges a node reaches is a bitset, needed
only for the ancestors of merges, computed for a block of merges at a time (memory is bounded by the block) with merges
of one neighbourhood in one block (few nodes reach a block). Cycles are condensed first: the models of one cycle are one
node of their number, and each other's descendants.

Cost: O(nodes + edges) for the forest; for the bitsets at best one bit for each pair of a merge and an ancestor of it.
These pairs grow with the families, not with the depth: in the made-up lineage of bench/hub_snapshot.py, 80 levels at
every size, four times the models have 5.3 times the pairs, and the closure takes 6.2 times as long. What a block costs
beyond its pairs depends on the order of the merges (`_near_together`): by height the bitsets took 2.2 times as long.
Nodes are numbers from 0; edges are two arrays, child and parent. Guarded by order, never by a depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee

Ints = NDArray[np.int64]
_BLOCK = 1024
"""Merges whose bitsets are held at once: 128 bytes a node that reaches one. Half or twice as many take longer."""


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
    return connected_components(graph, directed=connection == "strong", connection=connection)


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
    kept, place = _numbered(np.concatenate((parent, merges)), height=dag.height)
    upward = _Upward.of(place[child], place[parent], height=dag.height[kept])
    reached = _reached(upward, tree[kept], merges=_near_together(place[merges], upward))
    counts[above] += reached[place[twin[above]]]
    counts[merges] -= tree[merges]


def _numbered(some: Ints, *, height: Ints) -> tuple[Ints, Ints]:
    """Some of the nodes by height, without repeats, and of each node its place among them."""
    there = np.zeros(len(height), dtype=bool)
    there[some] = True
    kept = np.flatnonzero(there)
    kept = kept[np.argsort(height[kept], kind="stable")]
    place = np.zeros(len(height), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    return kept, place


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upward:
    """Edges by their parent's height, then by parent; nodes are numbered by height, so that a level lies together."""

    child: Ints
    parent: Ints
    height: Ints
    """Of each node."""

    @classmethod
    def of(cls, child: Ints, parent: Ints, *, height: Ints) -> _Upward:
        order = np.argsort(parent, kind="stable")
        return cls(child=child[order], parent=parent[order], height=height)

    def among(self, live: NDArray[np.bool_], nodes: Ints, place: Ints) -> _Upward:
        """The edges between the live nodes, which get new places. What is above a live node is live."""
        kept = np.flatnonzero(live[self.child])
        return _Upward(child=place[self.child[kept]], parent=place[self.parent[kept]], height=self.height[nodes])

    def reach(self, columns: Ints, *, of: Ints) -> NDArray[np.uint64]:
        """Of each node the bits of the columns of all that it reaches or is, level by level."""
        words = int(columns.max()) // 64 + 1
        bits = np.zeros((len(self.height), words), dtype=np.uint64)
        bits[of, columns // 64] = np.uint64(1) << (columns % 64).astype(np.uint64)
        for part in _levels(self.height[self.parent]):
            above = self.parent[part]
            first = np.flatnonzero(np.concatenate(([True], above[1:] != above[:-1])))
            found = np.bitwise_or.reduceat(np.take(bits, self.child[part], axis=0), first, axis=0)
            bits[above[first]] |= found
        return bits


def _near_together(merges: Ints, upward: _Upward) -> Ints:
    """The merges in an order in which those of much the same ancestors are near each other: by neighbourhood, then by
    the bandwidth of the edges between merges alone (reverse Cuthill-McKee). With the other edges, which join everything
    with everything, it finds no order."""
    nodes = len(upward.height)
    neighbourhood = _components(upward.child, upward.parent, nodes=nodes, connection="weak")[1]
    place = np.full(nodes, -1, dtype=np.int64)
    place[merges] = np.arange(len(merges))
    child, parent = place[upward.child], place[upward.parent]
    between = (child >= 0) & (parent >= 0)
    ends = np.concatenate((child[between], parent[between])), np.concatenate((parent[between], child[between]))
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(len(merges), len(merges))).tocsr()
    order = merges[reverse_cuthill_mckee(graph, symmetric_mode=True)]
    return order[np.argsort(neighbourhood[order], kind="stable")]


def _reached(upward: _Upward, tree: Ints, *, merges: Ints) -> Ints:
    """Of each node the trees of all merges that it reaches or is. Which blocks of merges it reaches at all is found
    first, for all blocks at once; then each block is looked at among the nodes that reach it."""
    reached = np.zeros(len(tree), dtype=np.int64)
    place = np.zeros(len(tree), dtype=np.int64)
    columns = np.arange(len(merges))
    blocks = upward.reach(columns // _BLOCK, of=merges)
    for start in range(0, len(merges), _BLOCK):
        word, bit = divmod(start // _BLOCK, 64)
        live = (blocks[:, word] >> np.uint64(bit)) & np.uint64(1) == 1
        nodes = np.flatnonzero(live)
        place[nodes] = np.arange(len(nodes))
        own = merges[start : start + _BLOCK]
        bits = upward.among(live, nodes, place).reach(columns[: len(own)], of=place[own])
        reached[nodes] += _weigh(bits, tree[own])
    return reached


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
        near = up.around(front)
        front, _ = _counted(near[~seen[near]], nodes=dag.nodes)
    return seen


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
