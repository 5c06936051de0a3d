"""Declared parents that no repository of the snapshot answers to, and what their names can still be known to mean.

In this order, and each says so in its evidence:
1. paste artefacts: addresses of the Hub's pages, revisions, quotes, file suffixes;
2. case: the Hub's ids differ by case from what cards write. A listed spelling first, else one the Hub resolved;
3. renames: redirects that the API told (table `renames`), and those that the data witnesses: where a card names one
   parent that is gone and the Hub resolved one parent that the card does not name, the Hub followed a redirect;
4. moved owners: the old owner lists nothing any more, and at least two (and most) of its missing names are listed under
   one other owner. One equal name alone is no evidence: re-uploads share names.

What remains keeps its name, with the evidence `declared, parent not in the snapshot`; what is no id at all is no edge.
Confidence orders the evidence; it was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from insource.hub.duck import table_names

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CONFIDENCE: Mapping[str, float] = {
    "declared": 1.0,
    "declared, parent not in the snapshot": 0.99,
    "declared, case repaired": 0.98,
    "declared, address repaired": 0.97,
    "declared, renamed": 0.95,
    "declared, owner moved": 0.9,
}

_ID = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$"
_ADDRESS = r"^(https?://)?(www\.)?(huggingface\.co|hf\.co)/(models/)?|^hf:(//)?"
_TAIL = r"((/(tree|blob|resolve)/.*)|([?#@:].*)|(\.git)|/+|\.)$"


def bare_id(name: str) -> str:
    """SQL: the id in a text that somebody wrote or pasted; NULL where it can't be one."""
    bare = f"""regexp_replace(regexp_replace(trim({name}, ' "''`<>[]()'), '{_ADDRESS}', '', 'i'), '{_TAIL}', '')"""
    return f"nullif(regexp_extract({bare}, '{_ID}', 0), '')"


_KNOWN = (
    """CREATE OR REPLACE TEMP TABLE known_ids AS
    SELECT id, lower(id) AS folded, true AS listed, coalesce(downloads, 0) AS weight FROM models
    UNION ALL
    SELECT parent, lower(parent), false, count(*) FROM stated_edges
    WHERE origin = 0 AND parent NOT IN (SELECT id FROM models) GROUP BY parent""",
    # Of one folded name the listed spelling, then the weightier.
    """CREATE OR REPLACE TEMP TABLE folded_ids AS
    SELECT folded, arg_max(id, (listed, weight, id)) AS id, bool_or(listed) AS listed FROM known_ids
    WHERE folded IN (SELECT lower(parent) FROM loose) OR folded IN (SELECT lower(cleaned) FROM loose)
    GROUP BY folded""",
)
_LOOSE = f"""
CREATE OR REPLACE TEMP TABLE loose AS
SELECT DISTINCT parent, {bare_id("parent")} AS cleaned
FROM stated_edges WHERE parent NOT IN (SELECT id FROM models)
"""
_WITNESSED = """
CREATE OR REPLACE TEMP TABLE witnessed AS
WITH gone AS (  -- names on the card that nothing known answers to
    SELECT child, parent FROM stated_edges
    WHERE origin = 1 AND lower(parent) NOT IN (SELECT folded FROM folded_ids)
), unnamed AS (  -- parents that the Hub resolved and the card does not name
    SELECT s.child, s.parent FROM stated_edges s SEMI JOIN gone USING (child)
    WHERE s.origin = 0 AND NOT EXISTS (
        SELECT 1 FROM models m WHERE m.id = s.child
        AND list_contains(list_transform(m.card_base_models, lambda name: lower(name)), lower(s.parent)))
), pairs AS (
    SELECT g.child, g.parent AS old, u.parent AS new,
        count(*) OVER (PARTITION BY g.child) = 1
        OR lower(split_part(g.parent, '/', 2)) = lower(split_part(u.parent, '/', 2)) AS told
    FROM gone g JOIN unnamed u USING (child)
)
SELECT old, mode(new) AS new FROM pairs WHERE told GROUP BY old HAVING count(DISTINCT new) = 1
"""
_MOVED = """
CREATE OR REPLACE TEMP TABLE moved_owners AS
WITH missing AS (
    SELECT DISTINCT split_part(cleaned, '/', 1) AS owner, lower(split_part(cleaned, '/', 2)) AS name FROM loose
    WHERE cleaned LIKE '%/%' AND lower(cleaned) NOT IN (SELECT folded FROM folded_ids WHERE listed)
), homeless AS (
    SELECT owner, name, count(*) OVER (PARTITION BY owner) AS names FROM missing
    WHERE lower(owner) NOT IN (SELECT lower(author) FROM models WHERE author IS NOT NULL)
), votes AS (
    SELECT h.owner, m.author, count(*) AS votes, any_value(names) AS names FROM homeless h
    JOIN (SELECT author, lower(split_part(id, '/', 2)) AS name FROM models) m USING (name)
    WHERE h.name <> '' AND m.author IS NOT NULL GROUP BY ALL
)
SELECT owner, arg_max(author, votes) AS author FROM votes GROUP BY owner
HAVING max(votes) >= 2 AND 2 * max(votes) > max(names) AND count_if(votes * 2 > names) = 1
"""
_REPAIRED = """
CREATE OR REPLACE TEMP TABLE repaired_edges AS
WITH targets AS (
    SELECT l.parent AS stated, l.cleaned,
        coalesce(r.new, r2.new) AS renamed, f.id AS folded, f.listed, m.id AS moved
    FROM loose l
    LEFT JOIN folded_ids f ON f.folded = lower(l.cleaned)
    LEFT JOIN all_renames r ON r.old = l.cleaned
    LEFT JOIN witnessed r2 ON r2.old = l.cleaned
    LEFT JOIN moved_owners o ON o.owner = split_part(l.cleaned, '/', 1)
    LEFT JOIN (SELECT lower(id) AS folded, min(id) AS id FROM models GROUP BY 1) m
        ON m.folded = lower(o.author || '/' || split_part(l.cleaned, '/', 2))
), named AS (
    SELECT stated, CASE WHEN cleaned IS NULL THEN NULL
        WHEN listed OR (folded = cleaned AND renamed IS NULL AND moved IS NULL) THEN folded
        ELSE coalesce(renamed, moved, folded, cleaned) END AS parent,
        CASE WHEN cleaned IS NULL THEN NULL WHEN listed AND folded = cleaned THEN 'declared, address repaired'
        WHEN listed THEN 'declared, case repaired'
        WHEN renamed IS NOT NULL THEN 'declared, renamed' WHEN moved IS NOT NULL THEN 'declared, owner moved'
        WHEN folded IS NOT NULL AND folded <> cleaned THEN 'declared, case repaired'
        ELSE 'declared, parent not in the snapshot' END AS evidence
    FROM targets
)
SELECT s.child, s.parent AS stated, s.kind, s.first_seen, s.origin,
    CASE WHEN n.stated IS NULL THEN s.parent ELSE n.parent END AS parent,
    CASE WHEN n.stated IS NULL THEN 'declared' ELSE n.evidence END AS evidence,
    c.confidence
FROM stated_edges s LEFT JOIN named n ON n.stated = s.parent
LEFT JOIN evidence_confidence c ON c.evidence = CASE WHEN n.stated IS NULL THEN 'declared' ELSE n.evidence END
"""


def load_renames(connection: DuckDBPyConnection) -> None:
    """Makes the table `all_renames` (old, new) of the redirects that the API told; empty where there are none."""
    told = "renames" in table_names(connection)
    rows = (
        "SELECT old, min(new) AS new FROM renames GROUP BY old" if told else "SELECT '' AS old, '' AS new WHERE false"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE all_renames AS {rows}")


def repair_parents(connection: DuckDBPyConnection) -> None:
    """Makes the table `repaired_edges` of `stated_edges`: `parent` is NULL where the stated name is no id."""
    connection.execute(_LOOSE)
    for statement in _KNOWN:
        connection.execute(statement)
    connection.execute(_WITNESSED)
    load_renames(connection)
    connection.execute(_MOVED)
    connection.execute("CREATE OR REPLACE TEMP TABLE evidence_confidence (evidence VARCHAR, confidence DOUBLE)")
    connection.executemany("INSERT INTO evidence_confidence VALUES (?, ?)", [list(row) for row in CONFIDENCE.items()])
    connection.execute(_REPAIRED)
