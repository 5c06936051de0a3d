"""The parents that repositories declare, as one table `edges` with the evidence of each row.

`base_models` are those that the Hub resolved; the readers take them from the tags `base_model:…`, or from a field of
their own where a source has that. Names on the card may be misspelt or outdated (`card_base_models`). A row that states
no relation has the kind `derived`: nothing is guessed.

Not here: edges that nobody declared (`inferred` ones come from their own module and join through `merge_edges`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from insource.core.ecosystem import DeclaredCounts
from insource.hub.lineage.altered import mark_altered
from insource.hub.lineage.repair import repair_parents

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KINDS = ("finetune", "adapter", "quantized", "merge")
"""What a relation may be. `derived` is added for a parent without a stated relation, and `altered` for a quantisation
that is not the parent any more (`altered.py`)."""
EDGE_COLUMNS = ("child", "parent", "kind", "evidence", "confidence", "first_seen")

_STATED = """
CREATE OR REPLACE TEMP TABLE stated_edges AS
WITH resolved AS (
    SELECT id AS child, unnest(base_models, recursive := false) AS base, created FROM models
    WHERE len(base_models) > 0
), rows AS (
    SELECT child, base.id AS parent, base.relation AS relation, created, 0 AS origin FROM resolved
    UNION ALL
    SELECT id AS child, unnest(card_base_models) AS parent, NULL AS relation, created, 1 AS origin FROM models
    WHERE len(card_base_models) > 0
)
SELECT child, trim(parent) AS parent,
    -- The Hub gives a repository one relation; a name that only the card states has that of the others.
    coalesce(arg_min(known, origin), max(max(known)) OVER (PARTITION BY child), 'derived') AS kind,
    min(created) AS first_seen, min(origin) AS origin
FROM (
    SELECT *, CASE WHEN relation IN ('finetune', 'adapter', 'quantized', 'merge') THEN relation END AS known FROM rows)
WHERE parent IS NOT NULL AND trim(parent) <> '' GROUP BY child, trim(parent)
"""
_EDGES = """
CREATE OR REPLACE TABLE edges AS
SELECT child, parent,
    -- A repaired name often repeats what the Hub resolved: the plain statement wins.
    coalesce(arg_min(kind, -confidence) FILTER (kind <> 'derived'), 'derived') AS kind,
    arg_max(evidence, confidence) AS evidence, max(confidence) AS confidence, min(first_seen) AS first_seen
FROM repaired_edges WHERE parent IS NOT NULL AND child <> parent GROUP BY child, parent ORDER BY child, parent
"""
_UNRESOLVED = """
CREATE OR REPLACE TABLE unresolved_parents AS
SELECT child, stated AS parent, kind,
    CASE WHEN child = coalesce(parent, stated) THEN 'itself' WHEN parent IS NULL THEN 'no repository id'
        ELSE 'not in the snapshot' END AS reason
FROM repaired_edges WHERE parent IS NULL OR child = parent OR evidence = 'declared, parent not in the snapshot'
ORDER BY child, parent
"""


def build_declared(connection: DuckDBPyConnection) -> DeclaredCounts:
    """Makes the tables `edges` and `unresolved_parents` of the view `models`. A table `renames(old, new)`, redirects
    that the API told, is used where the caller made one."""
    connection.execute(_STATED)
    repair_parents(connection)
    connection.execute(_EDGES)
    mark_altered(connection)
    connection.execute(_UNRESOLVED)
    connection.execute("CREATE OR REPLACE TABLE stated_count AS SELECT count(*) AS stated FROM stated_edges")
    return declared_counts(connection)


def declared_counts(connection: DuckDBPyConnection) -> DeclaredCounts:
    """Of the tables that `build_declared` made."""

    def counts(sql: str) -> dict[str, int]:
        return {str(name): int(count) for name, count in connection.execute(sql).fetchall()}

    by_evidence = counts("SELECT evidence, count(*) FROM edges GROUP BY 1 ORDER BY 2 DESC, 1")
    return DeclaredCounts(
        stated=counts("SELECT 'all', stated FROM stated_count")["all"],
        edges=sum(by_evidence.values()),
        by_evidence=by_evidence,
        unresolved=counts("SELECT reason, count(*) FROM unresolved_parents GROUP BY 1 ORDER BY 2 DESC, 1"),
    )


def merge_edges(connection: DuckDBPyConnection, *, inferred: str = "inferred_edges") -> int:
    """Adds the rows of the table `inferred` (with the columns of `edges`) for children that declare no parent, and says
    how many. A declared edge is never overridden, nor is a second parent put beside it."""
    before = connection.execute("SELECT count(*) FROM edges").fetchall()[0][0]
    connection.execute(
        f"""INSERT INTO edges BY NAME SELECT {", ".join(EDGE_COLUMNS)} FROM {_identifier(inferred)} AS i
        WHERE i.child <> i.parent AND i.child NOT IN (SELECT child FROM edges)"""
    )
    return int(connection.execute("SELECT count(*) FROM edges").fetchall()[0][0] - before)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
