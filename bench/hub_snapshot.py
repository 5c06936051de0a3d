"""A made-up snapshot of the Hub with the real one's shape: for `hub_scale.py`, whose figures it carries.

3,000,000 models and 966,000 edges; one root with 400,000 descendants; chains of merges 75 levels deep; merges of two to
six parents; names, dates, downloads and tags as long and as skewed as real ones. Seeded: the same file each time.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insource.hub.schema import MODEL_COLUMNS

Ints = NDArray[np.int64]
MODELS, EDGES, BIG_FAMILY = 3_000_000, 966_000, 352_000
CHAINS, CHAIN_LEVELS, MERGES = 60, 75, 40_000
_GENERATIONS = 40
"""Of merges of merges, beside the chains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    models: int
    child: Ints
    parent: Ints
    kind: Ints
    """0 finetune, 1 adapter, 2 quantized, 3 merge."""
    big_root: int


def make_shape(times: float = 1.0, *, seed: int = 7) -> Shape:
    """The lineage alone, `times` as large; only the chains keep their depth."""
    rng = np.random.default_rng(seed)
    models, edges, big = int(MODELS * times), int(EDGES * times), int(BIG_FAMILY * times)
    chained = CHAINS * CHAIN_LEVELS
    merges = int(MERGES * times)
    # Nodes: the big family, the other families, merges, chains; whoever is left has no edge.
    tree = edges - 4 * merges - 2 * chained
    family = np.arange(1, big + 1, dtype=np.int64)
    family_parent = np.where(rng.random(big) < 0.6, 0, (family * rng.random(big) ** 2).astype(np.int64))
    others = np.arange(big + 1, tree + 1, dtype=np.int64)
    roots = max(1, int(0.1 * len(others)))
    first = big + 1
    root_of = first + (roots * rng.random(len(others)) ** 3).astype(np.int64)
    member = others >= first + roots
    deep = rng.random(len(others)) < 0.25
    earlier = first + ((others - first) * rng.random(len(others))).astype(np.int64)
    other_parent = np.where(deep, earlier, root_of)[member]
    start = tree + 1
    merge_child = np.repeat(np.arange(start, start + merges, dtype=np.int64), 4)
    merge_parent = _merge_parents(rng, merge_child, below=start)
    start += merges
    chain_child = np.repeat(np.arange(start, start + chained, dtype=np.int64), 2)
    chain_parent = chain_child - 1
    chain_parent[0 :: 2 * CHAIN_LEVELS] = 0
    chain_parent[1::2] = rng.integers(0, tree, len(chain_child) // 2)
    child = np.concatenate([family, others[member], merge_child, chain_child])
    parent = np.concatenate([family_parent, other_parent, merge_parent, chain_parent])
    kind = np.where(child > tree, 3, rng.choice(3, p=(0.35, 0.25, 0.4), size=len(child)))
    extra = edges - len(child)
    spare = np.arange(start + chained, start + chained + extra, dtype=np.int64)
    child = np.concatenate([child, spare])
    parent = np.concatenate([parent, first + (roots * rng.random(extra) ** 3).astype(np.int64)])
    kind = np.concatenate([kind, rng.integers(0, 3, extra)])
    return Shape(models=models, child=child, parent=parent, kind=kind, big_root=0)


def _merge_parents(rng: np.random.Generator, child: Ints, *, below: int) -> Ints:
    """A third of the parents are merges of the generation before, mostly near ones; the others are anything."""
    generation = max(1, (int(child[-1]) - below + 1) // _GENERATIONS)
    back = child - generation - (100 * rng.random(len(child)) ** 2).astype(np.int64)
    merged = (
        (rng.random(len(child)) < 1 / 3)
        & (back >= below)
        & ((back - below) // generation < (child - below) // generation)
    )
    return np.where(merged, back, rng.integers(0, below, len(child)))


def write_snapshot(connection: Any, shape: Shape, path: Path) -> None:
    """As Parquet with the columns of `hub/schema.py`."""
    connection.register("e", {"child": shape.child, "parent": shape.parent, "kind": shape.kind})
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE names AS SELECT range AS node,
        'org-' || (CASE WHEN hash(range) % 3 = 0 THEN hash(range) % 200 ELSE hash(range * 7) % 400000 END)::VARCHAR
        || '/model-' || lower(to_base(range, 36)) || '-' || ((hash(range) >> 8) % 90 + 1)::VARCHAR || 'B-instruct' AS id
        FROM range({shape.models})""")
    connection.execute("""CREATE OR REPLACE TEMP TABLE parents AS SELECT e.child AS node, list(DISTINCT
            {'relation': ['finetune', 'adapter', 'quantized', 'merge'][e.kind + 1], 'id': p.id}) AS base_models
        FROM e JOIN names p ON p.node = e.parent GROUP BY e.child""")
    made = ", ".join(f"({_MADE.get(c.name, 'NULL')})::{c.type} AS {c.name}" for c in MODEL_COLUMNS)
    connection.execute(f"""COPY (SELECT {made} FROM names LEFT JOIN parents USING (node))
        TO '{path}' (FORMAT parquet, COMPRESSION zstd)""")
    connection.unregister("e")


_MADE = {
    "id": "id",
    "author": "split_part(id, '/', 1)",
    "created": "TIMESTAMP '2022-03-02' + INTERVAL (sqrt(hash(node) % 1000003 / 1000003.0) * 1640 * 1440) MINUTE",
    "modified": "TIMESTAMP '2026-09-01'",
    "downloads": "floor(10 / pow((hash(node * 3) % 1000003 + 1) / 1000003.0, 1.1))",
    "downloads_all": "floor(90 / pow((hash(node * 3) % 1000003 + 1) / 1000003.0, 1.1))",
    "likes": "floor(pow((hash(node * 5) % 1000003 + 1) / 1000003.0, -0.7)) - 1",
    "pipeline_tag": "['text-generation', 'text-to-image', 'fill-mask', NULL][1 + ((hash(node) >> 4) % 4)::BIGINT]",
    "library": "['transformers', 'diffusers', 'peft', 'gguf', NULL][1 + ((hash(node) >> 6) % 5)::BIGINT]",
    "license": "['apache-2.0', 'mit', 'llama3.1', NULL, NULL][1 + ((hash(node) >> 9) % 5)::BIGINT]",
    "tags": "list_concat(['transformers', 'safetensors', 'text-generation', 'region:us', 'endpoints_compatible', "
    "'arxiv:' || (hash(node) % 5000)::VARCHAR], flatten(list_transform(coalesce(base_models, []), "
    "lambda b: ['base_model:' || b.id, 'base_model:' || b.relation || ':' || b.id])))",
    "base_models": "base_models",
    "model_type": "['llama', 'qwen2', 'mistral', 'gemma2', NULL][1 + ((hash(node) >> 3) % 5)::BIGINT]",
    "parameters_stated": "pow(10, 8 + (hash(node) >> 5) % 3)",
    "source": "'records'",
}


def write_hub_stats(connection: Any, shape: Shape, path: Path) -> None:
    """As hub-stats writes it: nested, the card and the GGUF as JSON in a text, dtypes as a struct.

    Mean bytes as JSON, in the real file of 4,167 rows and here: tags 333 and 332, cards 1,477 and 1,476 (98 % have
    one; the largest 346,719 and 320,228), safetensors 283 and 277 (90 %), GGUF 1,879 and 1,859 (1 %). With parents are
    62 % of those rows, which were chosen so, and 21 % here: that many edges are what is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "ours.parquet"
        write_snapshot(connection, shape, ours)
        columns = ", ".join(f"{text} AS {name}" for name, text in _HUB_STATS.items())
        connection.execute(f"""COPY (SELECT {columns} FROM (SELECT *, hash(id) AS h FROM read_parquet('{ours}')))
            TO '{path}' (FORMAT parquet, COMPRESSION zstd)""")


_DTYPES = (
    "BF16", "F32", "F8_E4M3", "U8", "I64", "F8_E8M0", "I8", "I32", "F16", "U32", "BOOL", "I16", "U16", "miku", "F64",
    "F8_E5M2", "U64", "C64", "F4", "F6_E2M3",
)  # fmt: skip
_WORDS = """CASE WHEN h % 100000 = 7 THEN 16000 WHEN h % 1000 < 2 THEN 6500 WHEN h % 1000 < 14 THEN 600
    WHEN h % 1000 < 415 THEN 50 + h % 120 ELSE h % 8 END"""
"""Of a card, in four words: half of the real cards have at most 228 bytes, a tenth 2,977 and more."""
_HUB_STATS = {
    "id": "id",
    "author": "author",
    "createdAt": "created",
    "lastModified": "modified",
    "downloads": "downloads",
    "downloadsAllTime": "downloads_all",
    "likes": "likes",
    "trendingScore": "CASE WHEN h % 16 = 0 THEN 1.0 + h % 90 ELSE 0.0 END",
    "pipeline_tag": "pipeline_tag",
    "library_name": "library",
    "tags": "list_concat(tags, ['license:' || coalesce(license, 'other'), 'en', 'conversational', 'trl', 'sft', "
    "'text-generation-inference', 'generated_from_trainer', 'dataset:org/data-' || (h % 9999)::VARCHAR], "
    "list_transform(range((CASE WHEN h % 10 = 3 THEN 24 ELSE h % 4 END)::BIGINT), "
    "lambda i: 'some-longer-tag-' || (h % 97 + i)::VARCHAR))",
    "cardData": """CASE WHEN h % 50 > 0 THEN to_json({'license': license, 'language': ['en'], 'library_name': library,
        'base_model': CASE WHEN h % 4 = 0 AND len(base_models) = 1 THEN to_json(base_models[1].id)
            ELSE to_json(list_transform(base_models, lambda b: b.id)) END,
        'tags': tags[:3], 'pipeline_tag': pipeline_tag,
        'widget': [{'text': repeat('A word and another. ', ("""
    + _WORDS
    + """)::BIGINT)}]})::VARCHAR END""",
    "safetensors": "CASE WHEN h % 10 > 0 THEN {'parameters': {"
    + ", ".join(
        f"'{name}': {'parameters_stated' if name == 'BF16' else '1000::BIGINT' if name == 'F32' else 'NULL::BIGINT'}"
        for name in _DTYPES
    )
    + "}, 'total': parameters_stated + 1000} END",
    "gguf": """CASE WHEN h % 70 = 0 THEN to_json({'total': parameters_stated, 'architecture': model_type,
        'context_length': 32768, 'chat_template': repeat('{% if message %}', 110)})::VARCHAR END""",
    "baseModels": "CASE WHEN len(base_models) > 0 THEN {'relation': base_models[1].relation, 'models': "
    "list_transform(base_models, lambda b: {'_id': '64b01418c2f8f5e34a7f1302', 'id': b.id})} END",
}
