"""Who descends from an account's or a family's models: `direct` and `reached` for the figures on derivatives.

`direct`: child, owner, parent, parent_org, parent_family, in lower case, by the edges of `lineage/declared.py`.
`reached`: key (`org:…`, `family:…`) and the models that descend from it over any number of steps; of accounts without
the account's own. Each key is one walk guarded by what it saw, so cycles and long chains of merges end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insource.hub.duck import table_names
from insource.hub.lineage.closure import Ranges
from insource.hub.lineage.declared import build_declared
from insource.hub.report.prepare import FAMILY_PATTERN

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Ints = NDArray[np.int64]
MOST_ACCOUNTS = 100
"""With the most direct derivatives; only those are walked."""


def build_reach(connection: DuckDBPyConnection) -> None:
    if "edges" not in table_names(connection):
        build_declared(connection)
    connection.execute(_DIRECT, [FAMILY_PATTERN])
    connection.execute(_NODES)
    edges = connection.execute(_EDGES).fetchnumpy()
    child, parent = _ints(edges["child"]), _ints(edges["parent"])
    owner = _ints(connection.execute("SELECT owner FROM nodes ORDER BY n").fetchnumpy()["owner"])
    down = Ranges.of(parent, child, nodes=len(owner))
    found: list[tuple[str, int]] = []
    for key, own, seeds in connection.execute(_KEYS, [MOST_ACCOUNTS]).fetchall():
        reached = _walk(np.array(seeds, dtype=np.int64), down, nodes=len(owner))
        found.append((key, int(np.count_nonzero(owner[reached] != (-1 if own is None else own)))))
    connection.execute("CREATE OR REPLACE TEMP TABLE reached (key VARCHAR, models BIGINT)")
    if found:
        keys, models = [key for key, _ in found], [count for _, count in found]
        connection.execute("INSERT INTO reached SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[])", [keys, models])


def _walk(front: Ints, down: Ranges, *, nodes: int) -> Ints:
    """The seeds and everything below them."""
    seen = np.zeros(nodes, dtype=bool)
    while len(front):
        seen[front] = True
        near = np.unique(down.around(front))
        front = near[~seen[near]]
    return np.flatnonzero(seen)


def _ints(column: Any) -> Ints:
    return np.asarray(column, dtype=np.int64)


_DIRECT = """CREATE OR REPLACE TEMP TABLE direct AS
SELECT DISTINCT lower(child) AS child, lower(split_part(child, '/', 1)) AS owner, lower(parent) AS parent,
  lower(split_part(parent, '/', 1)) AS parent_org, nullif(regexp_extract(lower(parent), ?), '') AS parent_family
FROM edges WHERE lower(parent) <> lower(child)"""
_NODES = """CREATE OR REPLACE TEMP TABLE nodes AS
WITH named AS (SELECT child AS name FROM direct UNION SELECT parent FROM direct)
SELECT row_number() OVER () - 1 AS n, name, dense_rank() OVER (ORDER BY split_part(name, '/', 1)) AS owner FROM named"""
_EDGES = """SELECT c.n AS child, p.n AS parent FROM direct JOIN nodes c ON c.name = direct.child
JOIN nodes p ON p.name = direct.parent"""
_KEYS = """WITH orgs AS (
    SELECT parent_org FROM direct WHERE owner <> parent_org GROUP BY 1 ORDER BY count(DISTINCT child) DESC, 1 LIMIT ?
)
SELECT 'org:' || d.parent_org, p.owner, list(DISTINCT c.n) FROM direct d JOIN orgs USING (parent_org)
    JOIN nodes c ON c.name = d.child JOIN nodes p ON p.name = d.parent GROUP BY d.parent_org, p.owner
UNION ALL
SELECT 'family:' || d.parent_family, NULL, list(DISTINCT c.n) FROM direct d JOIN nodes c ON c.name = d.child
    WHERE d.parent_family IS NOT NULL GROUP BY d.parent_family"""
