"""The closure against NetworkX: random lineages with merges and cycles, deep chains, and the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.hub.lineage import closure as module
from insource.hub.lineage.closure import condense, descendant_counts, families, heights
from insource.hub.lineage.counts import Graph, build_counts, close
from insource.hub.lineage.declared import build_declared
from insource.hub.lineage.families import build_families
from tests.hub_rows import real_models


@st.composite
def lineages(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Models, and edges from child to parent; half of them without cycles, as most real ones are."""
    models = draw(st.integers(1, 24))
    node = st.integers(0, models - 1)
    found = draw(st.lists(st.tuples(node, node), max_size=60))
    return models, [(max(e), min(e)) for e in found] if draw(st.booleans()) else found


def arrays(edges: list[tuple[int, int]]) -> tuple[module.Ints, module.Ints]:
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def peer(models: int, edges: list[tuple[int, int]]) -> Any:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(models))
    graph.add_edges_from((parent, child) for child, parent in edges)
    return graph


@given(lineages(), st.sampled_from([1, 2, 64, 4096]))
def test_every_count_is_networkxs(lineage: tuple[int, list[tuple[int, int]]], block: int) -> None:
    models, edges = lineage
    graph = peer(models, edges)
    with patch.object(module, "_BLOCK", block):
        dag = condense(*arrays(edges), models=models)
        counts = descendant_counts(dag)
    assert counts.tolist() == [len(nx.descendants(graph, node) - {node}) for node in range(models)]
    assert dag.self_loops == sum(child == parent for child, parent in edges)
    groups = {frozenset(np.flatnonzero(families(dag) == label).tolist()) for label in families(dag)}
    assert groups == {frozenset(found) for found in nx.weakly_connected_components(graph)}


@given(lineages())
def test_generations_and_roots_are_networkxs(lineage: tuple[int, list[tuple[int, int]]]) -> None:
    models, edges = lineage
    graph = peer(models, edges)
    child, parent = arrays(edges)
    found = close(Graph(models=models, child=child, parent=parent))
    small = nx.condensation(graph)
    level = dict.fromkeys(small, 0)
    for node in nx.topological_sort(small):
        for below in small.successors(node):
            level[below] = max(level[below], level[node] + 1)
    for node in range(models):
        assert found.generation[node] == level[small.graph["mapping"][node]]
        above = {small.graph["mapping"][a] for a in nx.ancestors(graph, node) | {node}}
        sources = [m for c in above if level[c] == 0 for m in small.nodes[c]["members"]]
        assert found.root[node] == min(sources)
    assert found.direct.tolist() == [sum(p == node != c for c, p in edges) for node in range(models)]


def test_a_chain_of_merges_is_guarded_by_the_set_and_not_by_its_depth() -> None:
    """Each merges the last one with a root of its own."""
    depth = 3000
    edges = [(i, i - 1) for i in range(1, depth)] + [(i, depth + i) for i in range(1, depth)]
    child, parent = arrays(edges)
    dag = condense(child, parent, models=2 * depth)
    counts = descendant_counts(dag)
    assert counts[:depth].tolist() == list(range(depth - 1, -1, -1))
    assert counts[depth + 1 :].tolist() == list(range(depth - 1, 0, -1))
    assert heights(dag.parent, dag.child, nodes=dag.nodes).max() == depth - 1


def test_nothing_has_no_lineage() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert len(descendant_counts(condense(none, none, models=0))) == 0
    assert descendant_counts(condense(none, none, models=3)).tolist() == [0, 0, 0]


@pytest.mark.data
def test_the_real_lineage_is_networkxs(shared_data: Path) -> None:
    connection = real_models(shared_data)
    build_declared(connection)
    build_counts(connection)
    build_families(connection)
    graph = nx.DiGraph(connection.execute("SELECT parent, child FROM edges").fetchall())
    rows = connection.execute("SELECT id, direct, transitive, generation, family FROM lineage_counts").fetchall()
    assert {row[0] for row in rows} == set(graph)
    assert all(direct == graph.out_degree(id) for id, direct, *_ in rows)
    assert all(transitive == len(nx.descendants(graph, id) - {id}) for id, _, transitive, *_ in rows)
    assert max(generation for *_, generation, _ in rows) == 75
    assert len({row[4] for row in rows}) == nx.number_weakly_connected_components(graph)
    biggest = connection.execute("SELECT models FROM families LIMIT 1").fetchall()[0][0]
    assert biggest == max(map(len, nx.weakly_connected_components(graph)))


@pytest.mark.data
def test_counts_by_tag_are_the_tags_own(shared_data: Path) -> None:
    connection = real_models(shared_data)
    build_declared(connection)
    build_counts(connection)
    tagged: dict[str, set[str]] = {}
    for id, tags in connection.execute("SELECT id, tags FROM models").fetchall():
        for tag in tags or ():
            if tag.startswith("base_model:") and tag.count(":") == 1:
                tagged.setdefault(tag.partition(":")[2], set()).add(id)
    found = dict(connection.execute("SELECT id, by_tag FROM lineage_counts WHERE by_tag > 0").fetchall())
    # One that names nobody but itself has a tag, and no edge.
    alone = {id for id, names in tagged.items() if names == {id} and id not in found}
    assert found == {id: len(names) for id, names in tagged.items() if id not in alone}
