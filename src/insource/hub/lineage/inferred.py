"""Parents that nobody declared, inferred: from a model's files, else by a score learned from what others declare, which
knows what a copy's name says; where too few declare a parent, from copies' names alone.

An inferred edge never overrides a declared one: a child with a declared parent gets none. One parent a child, the most
likely, and only where the confidence holds the wanted precision. Deterministic for a seed.

Merges get none: they have several parents, and for theirs no score holds that precision (docs/lineage.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from insource.core.ecosystem import Edge
from insource.hub.lineage.inferred_names import Namesakes, infer_copies, possible_names
from insource.hub.lineage.inferred_pairs import FEATURES, Declared, PairTable, is_merge, kind_of
from insource.hub.lineage.inferred_scores import Scorer, train
from insource.hub.lineage.inferred_values import WANTED_PRECISION, ModelFacts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MIN_COPY_CONFIDENCE = 0.5
_NAMED_ALIKE = """
SELECT id, created, coalesce(downloads_all, downloads), likes, gguf_parameters IS NOT NULL FROM models
WHERE lower(split_part(id, '/', -1)) IN (SELECT unnest($names::VARCHAR[])) OR id IN (SELECT unnest($ids::VARCHAR[]))
ORDER BY id
"""


def infer_edges(
    models: Iterable[ModelFacts],
    declared: Iterable[Declared],
    *,
    seed: int = 0,
    precision: float = WANTED_PRECISION,
    children: Iterable[ModelFacts] | None = None,
    from_files: Sequence[Edge] = (),
) -> Sequence[Edge]:
    """Edges of `children` (default: all of `models`) that declare no parent, sorted by child. Those `from_files`
    (`inferred_files.edges_from_files`) come before what names and scores say."""
    models, declared = tuple(models), tuple(declared)
    stated = {edge.child.lower() for edge in declared}
    told = {edge.child: edge for edge in from_files if edge.child.lower() not in stated}
    wanted = models if children is None else children
    asked = [model for model in wanted if model.id.lower() not in stated and model.id not in told]
    found = _learned(models, declared, asked, seed=seed, precision=precision) if declared else None
    if found is None:  # too little to learn from
        found = [one for one in infer_copies(asked, Namesakes(models)) if one.confidence >= _MIN_COPY_CONFIDENCE]
    return sorted([*told.values(), *found], key=lambda edge: (edge.child, edge.parent))


def infer_told(connection: DuckDBPyConnection, from_files: Sequence[Edge]) -> Sequence[Edge]:
    """What `infer_edges` says without learning: by files and names alone, of the tables of `build_lineage`. It reads
    what a name needs, of the models whose names matter, so it answers at the size of the whole Hub."""
    orphans = connection.execute("SELECT id FROM models WHERE id NOT IN (SELECT child FROM edges)").fetchall()
    copies: set[str] = set()
    names: set[str] = set()
    for (id,) in orphans:
        if possible := list(possible_names(id)):
            copies.add(id)
            names.update(possible)
    found = connection.execute(_NAMED_ALIKE, {"names": sorted(names), "ids": sorted(copies)}).fetchall()
    models = [
        ModelFacts(id=id, created=created, downloads=downloads, likes=likes, gguf=gguf)
        for id, created, downloads, likes, gguf in found
    ]
    return infer_edges(models, (), children=[one for one in models if one.id in copies], from_files=from_files)


def scorer_of(
    models: Sequence[ModelFacts],
    declared: Sequence[Declared],
    *,
    seed: int,
    precision: float = WANTED_PRECISION,
    features: Sequence[str] = FEATURES,
) -> tuple[PairTable, Scorer | None]:
    """The learned part alone: for curves and ablations."""
    columns = [FEATURES.index(name) for name in features]
    scorer = train(models, declared, seed=seed, precision=precision, columns=columns)
    return PairTable(models, declared), scorer


def _learned(
    models: Sequence[ModelFacts], declared: Sequence[Declared], asked: Sequence[ModelFacts], *, seed: int,
    precision: float,
) -> Sequence[Edge] | None:  # fmt: skip
    table, scorer = scorer_of(models, declared, seed=seed, precision=precision)
    return None if scorer is None else list(_ranked_edges(table, scorer, asked))


def _ranked_edges(table: PairTable, scorer: Scorer, asked: Sequence[ModelFacts]) -> Iterator[Edge]:
    facts = {model.id: model for model in asked}
    known = [model for model in asked if model.id in table.known and not is_merge(model)]
    for ranked in scorer.rank(table, known):
        child, parent = facts[ranked.child], ranked.parents[0]
        worth = scorer.worth(kind_of(child))
        if ranked.strength >= worth.threshold:
            yield Edge(
                child=child.id,
                parent=parent,
                kind=kind_of(child),
                evidence=_evidence(table, child, parent),
                confidence=round(worth.confidence(ranked), 4),
            )


def _evidence(table: PairTable, child: ModelFacts, parent: str) -> str:
    """The facts that speak for the pair, in words."""
    candidates, features = table.look(child)
    values = dict(zip(FEATURES, features[list(candidates).index(parent)], strict=True))
    reasons = [
        (values["named_original"] > 0, "the name without its format is the parent's"),
        (values["same_author"] == 1, "the same author"),
        (values["author_uses"] > 0, f"declared by {values['author_uses']:.0f} of the author's other models"),
        (values["parent_words_shared"] > 0.8, "the name holds the parent's"),
        (values["parameters_ratio"] < 0.02, "as many parameters"),
        (values["same_type"] == 1, "the same architecture"),
        (values["uses_same_shape"] > 0, "others of this shape declare it"),
    ]
    said = [text for holds, text in reasons if holds]
    return "learned: " + ("; ".join(said) or "likest of the candidates")
