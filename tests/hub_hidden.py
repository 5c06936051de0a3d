"""Declared edges of the real file, half of them hidden from the inference that must find them again."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from insource.hub.duck import connect
from insource.hub.lineage.inferred import infer_edges
from insource.hub.lineage.inferred_pairs import Declared
from insource.hub.lineage.inferred_values import facts_of
from insource.hub.sources.parquet import load_models


@dataclass(frozen=True, slots=True)
class Found:
    precision: float
    recall: float


def hidden_half(shared_data: Path, *, one_in: int = 1) -> Found:
    """`one_in`: of so many children only one is looked at, with its parents; learning takes as much less time."""
    with connect() as connection:
        load_models(connection, shared_data / "hub" / "hub_stats_frozen.parquet")
        rows = connection.execute(
            "SELECT id, base.id, base.relation FROM (SELECT id, unnest(base_models) AS base FROM models)"
            " WHERE id <> base.id AND base.relation IS NOT NULL ORDER BY ALL"
        ).fetchall()
        models = facts_of(connection)
    assert not [tag for model in models for tag in model.tags if "base_model" in tag]
    edges = [Declared(child=child, parent=parent, kind=kind) for child, parent, kind in rows]
    children = sorted({edge.child for edge in edges})
    random.Random(0).shuffle(children)
    children = children[: len(children) // one_in]
    kept, hidden = set(children), set(children[: len(children) // 2])
    edges = [edge for edge in edges if edge.child in kept]
    if one_in > 1:
        kept |= {edge.parent for edge in edges}
        models = [model for model in models if model.id in kept]
    truth: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        if edge.child in hidden and edge.kind != "merge":
            truth[edge.child].add(edge.parent)
    asked = [model for model in models if model.id in truth]
    found = infer_edges(models, [edge for edge in edges if edge.child not in hidden], seed=0, children=asked)
    right = sum(edge.parent in truth[edge.child] for edge in found)
    return Found(precision=right / len(found), recall=right / sum(map(len, truth.values())))
