"""Families (all that hangs together), and intermediaries: who passes models on unchanged.

Intermediaries are known by what they do: an owner of at least `LEAST_COPIES` repositories with a declared parent of
which at least `COPY_SHARE` are copies: quantisations, or re-uploads under the parent's own name. Skipping one means
that a model built on such a copy counts as built on what the copy is of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LEAST_COPIES = 5
"""Fewer say nothing of an owner's habit."""
COPY_SHARE = 0.6
"""Quantisers stand far above it and makers of models far below: they quantise their own, and mostly publish others."""

_OWNER = "CASE WHEN contains({0}, '/') THEN split_part({0}, '/', 1) ELSE '' END"
_COPIES = f"""
CREATE OR REPLACE TABLE copies AS
SELECT child, parent FROM edges
WHERE {_OWNER.format("child")} <> {_OWNER.format("parent")} AND kind <> 'merge' AND (kind = 'quantized'
    OR (kind <> 'adapter' AND lower(split_part(child, '/', -1)) = lower(split_part(parent, '/', -1))))
"""
_INTERMEDIARIES = f"""
CREATE OR REPLACE TABLE intermediaries AS
SELECT {_OWNER.format("e.child")} AS owner, count(DISTINCT e.child) AS derived, count(DISTINCT c.child) AS copied,
    count(DISTINCT c.child) / count(DISTINCT e.child) AS share
FROM edges e LEFT JOIN copies c ON c.child = e.child AND c.parent = e.parent
GROUP BY 1 HAVING copied >= ? AND share >= ? ORDER BY copied DESC, owner
"""
_FAMILIES = """
CREATE OR REPLACE TABLE families AS
SELECT family, count(*) AS models, count(*) FILTER (generation = 0) AS sources, max(generation) AS deepest
FROM lineage_counts GROUP BY family ORDER BY models DESC, family
"""
_DIRECT = """
CREATE OR REPLACE TEMP TABLE direct_edges AS
WITH RECURSIVE passed AS (
    SELECT c.child, c.parent FROM copies c JOIN intermediaries i ON i.owner = split_part(c.child, '/', 1)
), ends AS (  -- where a way over copies leads
    SELECT child AS via, parent FROM passed
    UNION
    SELECT e.via, p.parent FROM ends e JOIN passed p ON p.child = e.parent
), last AS (SELECT via, parent FROM ends WHERE parent NOT IN (SELECT child FROM passed))
SELECT DISTINCT ON (child, parent) * FROM (
    SELECT e.child, coalesce(l.parent, e.parent) AS parent, e.kind,
        CASE WHEN l.parent IS NULL THEN e.evidence ELSE e.evidence || ', over ' || e.parent END AS evidence,
        e.confidence, e.first_seen
    FROM edges e LEFT JOIN last l ON l.via = e.parent
) WHERE child <> parent ORDER BY child, parent, evidence
"""


def build_families(connection: DuckDBPyConnection) -> None:
    """Makes the tables `families`, `copies` and `intermediaries` of `edges` and `lineage_counts`."""
    connection.execute(_FAMILIES)
    connection.execute(_COPIES)
    connection.execute(_INTERMEDIARIES, [LEAST_COPIES, COPY_SHARE])


def skip_intermediaries(connection: DuckDBPyConnection) -> int:
    """Makes the table `direct_edges`: the edges with intermediaries' copies passed over. How many were re-attached."""
    connection.execute(_DIRECT)
    found = connection.execute("SELECT count(*) FROM direct_edges WHERE contains(evidence, ', over ')").fetchall()
    return int(found[0][0])
