"""All that the lineage's questions need, made of the view `models` in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from insource.hub.lineage.counts import build_counts
from insource.hub.lineage.declared import DeclaredCounts, build_declared
from insource.hub.lineage.families import build_families

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NAMES = """
CREATE OR REPLACE TABLE names AS
SELECT lower(split_part(id, '/', -1)) AS name, id, max(downloads) AS downloads
FROM (SELECT id, downloads FROM models UNION ALL SELECT parent, NULL FROM edges)
GROUP BY id ORDER BY name
"""
"""Sorted, so that all that begins with a name is found without reading the others."""


def build_lineage(connection: DuckDBPyConnection) -> DeclaredCounts:
    """Makes the tables `edges`, `unresolved_parents`, `lineage_counts`, `families`, `copies`, `intermediaries`, and
    `names`: every id that is listed or named as a parent, by its name without its owner in lower case."""
    counts = build_declared(connection)
    build_counts(connection)
    build_families(connection)
    connection.execute(_NAMES)
    return counts
