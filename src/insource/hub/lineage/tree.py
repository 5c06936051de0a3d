"""The tree of what was built on one model, cut to what a person can look at."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from insource.core.ecosystem import TreeNode
from insource.core.errors import UnknownModel
from insource.hub.lineage.families import skip_intermediaries

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_SHOWN = 600
"""Models of one tree: more is no picture any more."""

_CHILDREN = """
WITH ranked AS (
    SELECT e.parent, e.child, e.kind, m.downloads, coalesce(c.direct, 0) AS direct,
        coalesce(c.transitive, 0) AS transitive, row_number() OVER (
            PARTITION BY e.parent ORDER BY c.transitive DESC, m.downloads DESC NULLS LAST, e.child) AS place
    FROM {edges} e LEFT JOIN models m ON m.id = e.child LEFT JOIN lineage_counts c ON c.id = e.child
    WHERE e.parent IN (SELECT unnest($parents))
)
SELECT parent, child, kind, downloads, direct, transitive FROM ranked WHERE place <= $most ORDER BY parent, place
"""
_KINDS = """SELECT parent, kind, count(*) FROM {edges} WHERE parent IN (SELECT unnest($parents)) GROUP BY ALL
ORDER BY 1, 3 DESC, 2"""
_FIND = """
SELECT id FROM names WHERE name = lower(split_part($id, '/', -1)) AND lower(id) = lower($id)
ORDER BY id = $id DESC, downloads DESC NULLS LAST LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    id: str
    kind: str
    downloads: int | None
    direct: int
    transitive: int


def find_id(connection: DuckDBPyConnection, model: str) -> str:
    """The id as it is spelt, whatever its case. Raises UnknownModel."""
    found = connection.execute(_FIND, {"id": model.strip()}).fetchall()
    if not found:
        raise UnknownModel(
            f"No model {model!r} is in the snapshot, nor does one name it as its parent.",
            next_step="Give its whole id, as in Qwen/Qwen2.5-7B; a newer snapshot comes from insource hub sync.",
        )
    return str(found[0][0])


def tree_of(
    connection: DuckDBPyConnection, model: str, *, depth: int = 3, most: int = 12, direct: bool = False
) -> TreeNode:
    """The descendants of a model, at most `most` children of each: those with the most descendants, then downloads.
    With `direct`, copies by intermediaries are passed over. Raises UnknownModel."""
    root = find_id(connection, model)
    if direct:
        skip_intermediaries(connection)
    edges = "direct_edges" if direct else "edges"
    below: dict[str, list[_Child]] = {}
    kinds: dict[str, dict[str, int]] = {}
    front, seen = [root], {root}
    for _ in range(depth):
        if not front or len(seen) >= MOST_SHOWN:
            break
        found, counted = _look_below(connection, front, edges=edges, most=most)
        kinds |= counted
        below |= found
        near = dict.fromkeys(child.id for parent in front for child in found.get(parent, []))
        front = [id for id in near if id not in seen][: MOST_SHOWN - len(seen)]
        seen |= set(front)
    figures = connection.execute(
        """SELECT (SELECT downloads FROM models WHERE id = $id), c.direct, c.transitive FROM (SELECT $id AS id)
        LEFT JOIN lineage_counts c USING (id)""",
        {"id": root},
    ).fetchall()[0]
    top = _Child(id=root, kind="", downloads=figures[0], direct=figures[1] or 0, transitive=figures[2] or 0)
    return _grow(top, below, kinds)


def _look_below(
    connection: DuckDBPyConnection, parents: list[str], *, edges: str, most: int
) -> tuple[dict[str, list[_Child]], dict[str, dict[str, int]]]:
    children: defaultdict[str, list[_Child]] = defaultdict(list)
    for parent, child, kind, downloads, direct, transitive in connection.execute(
        _CHILDREN.format(edges=edges), {"parents": parents, "most": most}
    ).fetchall():
        children[parent].append(_Child(id=child, kind=kind, downloads=downloads, direct=direct, transitive=transitive))
    kinds: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for parent, kind, count in connection.execute(_KINDS.format(edges=edges), {"parents": parents}).fetchall():
        kinds[parent][kind] = count
    return dict(children), dict(kinds)


def _grow(top: _Child, below: dict[str, list[_Child]], kinds: dict[str, dict[str, int]]) -> TreeNode:
    """Breadth first decides where a model has its children; then the tree is put together from its ends, not by
    recursion: chains are deep."""
    order: list[tuple[int, _Child]] = [(-1, top)]
    first = {top.id: 0}
    for place, (_, node) in enumerate(order):  # grows while it is walked
        for child in below.get(node.id, []) if first[node.id] == place else []:
            first.setdefault(child.id, len(order))
            order.append((place, child))
    inside: defaultdict[int, list[TreeNode]] = defaultdict(list)
    for place in range(len(order) - 1, -1, -1):
        above, child = order[place]
        again = first[child.id] != place
        children = () if again else tuple(reversed(inside.pop(place, [])))
        inside[above].append(
            TreeNode(
                id=child.id,
                kind=child.kind,
                downloads=child.downloads,
                direct=child.direct,
                transitive=child.transitive,
                shown_above=again,
                children=children,
                folded=() if again else _folded(children, kinds.get(child.id), child),
            )
        )
    return inside[-1][0]


def _folded(children: tuple[TreeNode, ...], kinds: dict[str, int] | None, child: _Child) -> tuple[tuple[str, int], ...]:
    if kinds is None:
        return (("", child.direct),) if child.direct else ()
    shown = defaultdict[str, int](int)
    for node in children:
        shown[node.kind] += 1
    return tuple((kind, count - shown[kind]) for kind, count in kinds.items() if count > shown[kind])
