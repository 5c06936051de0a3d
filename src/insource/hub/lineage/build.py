"""All that the lineage's questions need, made of the view `models` in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from insource.core.ecosystem import DeclaredCounts
from insource.hub.lineage.counts import build_counts
from insource.hub.lineage.declared import build_declared
from insource.hub.lineage.families import build_families

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NO_FILE_EDGES = """
CREATE OR REPLACE TABLE file_edges
    (child VARCHAR, parent VARCHAR, kind VARCHAR, evidence VARCHAR, confidence DOUBLE)
"""
_NAMES = """
CREATE OR REPLACE TABLE names AS
SELECT lower(split_part(id, '/', -1)) AS name, id, downloads FROM (
    SELECT id, downloads FROM models
    UNION ALL SELECT DISTINCT parent, NULL FROM edges WHERE parent NOT IN (SELECT id FROM models)
) ORDER BY name
"""
"""Sorted, so that all that begins with a name is found without reading the others."""
_TRUNK = """
CREATE OR REPLACE TABLE trunk AS
WITH rows AS (
    SELECT e.child, e.parent, m.license, m.license_name, dense_rank() OVER (ORDER BY e.child)::INTEGER AS place
    FROM edges e SEMI JOIN (SELECT parent AS child FROM edges) p ON p.child = e.child
    LEFT JOIN models m ON m.id = e.parent
), places AS (SELECT DISTINCT child, place FROM rows)
SELECT r.*, p.place AS parent_place FROM rows r LEFT JOIN places p ON p.child = r.parent ORDER BY r.place, r.parent
"""
_CHILDREN = """
CREATE OR REPLACE TABLE children AS
SELECT e.parent, e.child, e.kind, m.downloads, CASE WHEN e.kind = 'quantized' THEN m.tags END AS tags
FROM edges e LEFT JOIN models m ON m.id = e.child
ORDER BY e.parent, m.downloads DESC NULLS LAST, e.child
"""


def build_lineage(connection: DuckDBPyConnection) -> DeclaredCounts:
    """Makes the tables `edges`, `unresolved_parents`, `lineage_counts`, `families`, `copies`, `intermediaries`;
    `names`: every id that is listed or named as a parent, by its name without its owner in lower case; `trunk`: the
    edges of models that are parents themselves, a third of all, which every way up keeps to after its first step, each
    with its parent's licence, and with the numbers `place` of the child and `parent_place` (NULL for a root), for by
    names a way up takes twice as long; `children`: the edges from above, each with the child's downloads and a copy's
    tags, which tell its format; `file_edges`: what files tell beside them, none of it yet (`prepared.py`)."""
    counts = build_declared(connection)
    connection.execute(_NO_FILE_EDGES)
    build_counts(connection)
    build_families(connection)
    connection.execute(_NAMES)
    connection.execute(_TRUNK)
    connection.execute(_CHILDREN)
    return counts
