"""Parents that files tell: a copy has the bytes of its original, and a configuration often names what it was made from.

Bytes: a model all of whose weights an older model holds too was copied from it. A family's parts (the encoder of an
image pipeline, a frozen tower) are in many models' files, so a share of the bytes says nothing of which was the parent.

Names: only one that a model of the snapshot bears, or that several owners declare as their parent, counts: the rest are
folders of their makers. How often such a name is right is counted where children declare a parent beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from insource.core.ecosystem import Edge
from insource.hub.lineage.inferred_pairs import is_merge, kind_of
from insource.hub.lineage.inferred_values import facts_of
from insource.hub.lineage.repair import bare_id, load_renames
from insource.hub.repo_files import ADAPTER_CONFIG

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAME_BYTES = "files: all of its weights are in the parent's"
SAME_BYTES_CONFIDENCE = 0.95
"""That one was copied from the other is sure; which from which hangs on dates of creation. Not measured."""
_MIN_SHARE = 0.99
"""Of the child's bytes."""
_MIN_BYTES = 1 << 20
"""Smaller weights are tests', and may be equal by chance: all zeros, or one seed."""
_OLDEST_HOLDERS = 16
_PRIOR_CASES, _PRIOR_RIGHT = 10, 9
"""As if so many declared children had been seen before."""

_ORPHANS = """
CREATE OR REPLACE TEMP TABLE orphans AS
SELECT id, created FROM models WHERE id NOT IN (SELECT child FROM edges)
"""
_COPIES = f"""
WITH counted AS (
    SELECT *, count(*) OVER (PARTITION BY sha256) AS holders, sum(size_bytes) OVER (PARTITION BY id) AS weights,
        max(size_bytes) OVER (PARTITION BY id) AS largest FROM weight_files
), keys AS (  -- of the files that an original can't lack, the one that fewest have
    SELECT c.id, greatest(max(c.weights), max(r.stored_bytes)) AS bytes,
        arg_min(c.sha256, (c.holders, -c.size_bytes, c.sha256)) AS key
    FROM counted c JOIN repo_files r USING (id)
    WHERE c.size_bytes > (1 - {_MIN_SHARE}) * greatest(c.weights, r.stored_bytes) OR c.size_bytes = c.largest
    GROUP BY c.id
), holders AS (
    SELECT f.sha256, f.id, m.created FROM weight_files f JOIN models m USING (id)
    WHERE m.created IS NOT NULL AND f.sha256 IN (SELECT key FROM keys)
    QUALIFY row_number() OVER (PARTITION BY f.sha256 ORDER BY m.created, f.id) <= {_OLDEST_HOLDERS}
), pairs AS (
    SELECT o.id AS child, h.id AS parent, k.bytes, h.created
    FROM orphans o JOIN keys k USING (id) JOIN holders h ON h.sha256 = k.key AND h.created < o.created
    WHERE k.bytes >= {_MIN_BYTES}
), held AS (
    SELECT p.child, p.parent, p.created, sum(c.size_bytes) AS held, any_value(p.bytes) AS bytes
    FROM pairs p JOIN weight_files c ON c.id = p.child JOIN weight_files f ON f.id = p.parent AND f.sha256 = c.sha256
    GROUP BY p.child, p.parent, p.created
)
SELECT child, parent FROM held h
WHERE held >= {_MIN_SHARE} * bytes AND NOT EXISTS (FROM edges e WHERE e.child = h.parent AND e.parent = h.child)
QUALIFY row_number() OVER (PARTITION BY child ORDER BY created, parent) = 1 ORDER BY child
"""
_NAMED = f"""
CREATE OR REPLACE TEMP TABLE config_parents AS
WITH said AS (
    SELECT id, '{ADAPTER_CONFIG}' AS config, config_base_model AS names FROM models WHERE config_base_model IS NOT NULL
    UNION ALL
    SELECT id, config, f.names FROM repo_files f JOIN models m USING (id)
    WHERE f.names IS NOT NULL AND m.config_base_model IS NULL
), cleaned AS (
    SELECT id AS child, config, lower(CASE
        WHEN contains(names, 'models--')  -- a folder of the Hub client's cache
            THEN regexp_replace(regexp_extract(names, 'models--([A-Za-z0-9._-]+)', 1), '--', '/')
        ELSE {bare_id("names")} END) AS folded
    FROM said
), wanted AS (SELECT DISTINCT folded FROM cleaned), known AS (
    SELECT lower(id) AS folded, id, 2 AS weight, downloads FROM models WHERE lower(id) IN (FROM wanted)
    UNION ALL SELECT lower(old), new, 1, NULL FROM all_renames WHERE lower(old) IN (FROM wanted)
    UNION ALL SELECT lower(parent), parent, 0, NULL FROM edges  -- one stranger's card may name a folder too
    WHERE lower(parent) IN (FROM wanted) AND contains(parent, '/')
    GROUP BY ALL HAVING count(DISTINCT split_part(child, '/', 1)) > 1
), ids AS (
    SELECT folded, arg_max(id, (weight, coalesce(downloads, 0), id)) AS id FROM known GROUP BY folded
)
SELECT c.child, c.config, i.id AS parent FROM cleaned c JOIN ids i USING (folded)
JOIN models m ON m.id = c.child LEFT JOIN models p ON p.id = i.id
WHERE i.id <> c.child AND NOT coalesce(p.created > m.created + INTERVAL 1 DAY, false)
"""
_HITS = """
SELECT config, count(*), count_if(agrees) FROM (
    SELECT config, child, bool_or(e.parent = n.parent) AS agrees FROM config_parents n
    JOIN edges e USING (child) WHERE e.kind <> 'merge' GROUP BY config, child) GROUP BY config
"""
_TOLD = """
SELECT child, config, parent FROM config_parents n SEMI JOIN orphans o ON o.id = n.child
WHERE NOT EXISTS (FROM edges e WHERE e.child = n.parent AND e.parent = n.child) ORDER BY child
"""


def edges_from_files(connection: DuckDBPyConnection, *, precision: float) -> Sequence[Edge]:
    """Edges of models that declare no parent, one each, sorted by child: of the view `models`, `edges`, and what
    `FilesLog.load` makes. A name counts where it is right in at least `precision` of the declared cases."""
    connection.execute(_ORPHANS)
    load_renames(connection)
    connection.execute(_NAMED)
    found = {edge.child: edge for edge in _named(connection) if edge.confidence >= precision}
    for child, parent in connection.execute(_COPIES).fetchall():
        found[child] = Edge(
            child=child, parent=parent, kind="derived", evidence=SAME_BYTES, confidence=SAME_BYTES_CONFIDENCE
        )
    for child in _in_circles(found):
        if found[child].evidence != SAME_BYTES:
            del found[child]
    return [found[child] for child in sorted(found)]


def _in_circles(found: Mapping[str, Edge]) -> set[str]:
    """Children that are their own ancestors: two configurations may name each other's model. Bytes alone never do."""
    circles: set[str] = set()
    done: set[str] = set()
    for start in found:
        way: dict[str, None] = {}
        at = start
        while at in found and at not in way and at not in done:
            way[at] = None
            at = found[at].parent
        if at in way:
            circles.update(list(way)[list(way).index(at) :])
        done.update(way)
    return circles


def _named(connection: DuckDBPyConnection) -> Sequence[Edge]:
    shares = {
        config: (right + _PRIOR_RIGHT) / (cases + _PRIOR_CASES)
        for config, cases, right in connection.execute(_HITS).fetchall()
    }
    told = connection.execute(_TOLD).fetchall()
    facts = {model.id: model for model in facts_of(connection, ids=[child for child, _, _ in told])}
    return [
        Edge(
            child=child,
            parent=parent,
            kind="adapter" if config == ADAPTER_CONFIG else kind_of(facts[child]),
            evidence=f"files: {config} names it",
            confidence=round(shares.get(config, _PRIOR_RIGHT / _PRIOR_CASES), 4),
        )
        for child, config, parent in told
        if not is_merge(facts[child])  # a merge's configuration names one of several
    ]
