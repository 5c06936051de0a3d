"""Counts of derivatives, each with its name, because they differ by an order of magnitude and reports mix them.

direct: models that name the model as a parent, after repair. transitive: all distinct descendants over any number of
steps (`closure.py`). by_tag: repositories whose own tag `base_model:ID` names it as written: what the Hub's search
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from insource.hub.lineage.closure import Dag, Ints, condense, descendant_counts, families, heights

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NODES = """
CREATE OR REPLACE TEMP TABLE lineage_nodes AS
WITH named AS (SELECT child AS id FROM edges UNION SELECT parent FROM edges),
-- Every model of an edge is a node; the more downloaded has the lower number, so that the first of a family leads it.
known AS (
    SELECT n.id, m.downloads, m.created FROM named n LEFT JOIN models m USING (id)
)
SELECT (row_number() OVER (ORDER BY coalesce(downloads, -1) DESC, created NULLS LAST, id) - 1)::BIGINT AS node, id
FROM known
"""
_PAIRS = """
SELECT c.node AS child, p.node AS parent FROM edges e
JOIN lineage_nodes c ON c.id = e.child JOIN lineage_nodes p ON p.id = e.parent
"""
_COUNTS = """
CREATE OR REPLACE TABLE lineage_counts AS
WITH tagged AS (
    SELECT substr(tag, 12) AS id, count(*) AS repositories FROM (
        SELECT unnest(list_filter(tags, lambda tag: starts_with(tag, 'base_model:'))) AS tag FROM models
    ) WHERE NOT regexp_matches(tag, '^base_model:(finetune|adapter|quantized|merge):') GROUP BY ALL
)
SELECT n.id, a.direct, a.transitive, coalesce(t.repositories, 0) AS by_tag, a.generation, f.id AS family,
    r.id AS main_root
FROM lineage_nodes n JOIN node_figures a USING (node)
JOIN lineage_nodes f ON f.node = a.family JOIN lineage_nodes r ON r.node = a.root
LEFT JOIN tagged t ON t.id = n.id ORDER BY n.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The edges as numbers. A lower number is a more downloaded model."""

    models: int
    child: Ints
    parent: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Of every node."""

    dag: Dag
    direct: Ints
    transitive: Ints
    generation: Ints
    """Steps to its farthest root; the models of a cycle share one."""
    family: Ints
    """The node that leads its component: the most downloaded one without a parent."""
    root: Ints
    """The same of a model's own ancestors without parents: the most downloaded. A merge has others beside it."""


def load_graph(connection: DuckDBPyConnection) -> Graph:
    """Numbers the models of the table `edges` (table `lineage_nodes`)."""
    connection.execute(_NODES)
    models = int(connection.execute("SELECT count(*) FROM lineage_nodes").fetchall()[0][0])
    arrays: Mapping[str, Any] = connection.execute(_PAIRS).fetchnumpy()
    return Graph(
        models=models, child=np.asarray(arrays["child"], np.int64), parent=np.asarray(arrays["parent"], np.int64)
    )


def close(graph: Graph) -> Closure:
    """The full closure: everything about every node."""
    dag = condense(graph.child, graph.parent, models=graph.models)
    level = heights(dag.parent, dag.child, nodes=dag.nodes)
    own, pairs = graph.child != graph.parent, graph.parent
    return Closure(
        dag=dag,
        direct=np.bincount(pairs[own], minlength=graph.models),
        transitive=descendant_counts(dag),
        generation=level[dag.node_of],
        family=_leaders(dag, families(dag), level),
        root=_main_roots(dag, level)[dag.node_of],
    )


def _leaders(dag: Dag, component: Ints, level: Ints) -> Ints:
    sources = np.flatnonzero(level[dag.node_of] == 0)
    lead = np.full(int(component.max(initial=-1)) + 1, dag.nodes + len(component), dtype=np.int64)
    np.minimum.at(lead, component[sources], sources)
    return lead[component]


def _main_roots(dag: Dag, level: Ints) -> Ints:
    """Of each node the lowest number of a model among its sources, level by level from above."""
    root = np.full(dag.nodes, np.iinfo(np.int64).max, dtype=np.int64)
    models = np.arange(len(dag.node_of), dtype=np.int64)
    source = level[dag.node_of] == 0
    np.minimum.at(root, dag.node_of[source], models[source])
    order = np.argsort(level[dag.child], kind="stable")
    child, parent = dag.child[order], dag.parent[order]
    ends = np.concatenate(([0], np.flatnonzero(np.diff(level[child])) + 1, [len(child)]))
    for low, high in pairwise(ends):
        np.minimum.at(root, child[low:high], root[parent[low:high]])
    return root


def build_counts(connection: DuckDBPyConnection) -> Closure:
    """Makes the table `lineage_counts` (id, direct, transitive, by_tag, generation, family, main_root) of every model
    that an edge names; a model that is not in it has no parent and no derivative."""
    closure = close(load_graph(connection))
    columns = {
        "node": np.arange(len(closure.direct)),
        "direct": closure.direct,
        "transitive": closure.transitive,
        "generation": closure.generation,
        "family": closure.family,
        "root": closure.root,
    }
    connection.register("node_figures", columns)
    try:
        connection.execute(_COUNTS)
    finally:
        connection.unregister("node_figures")
    return closure
