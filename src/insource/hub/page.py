"""One model's page: its facts, parents, licence chain, what was built on it, and in which other formats it is offered.

Only questions about one model are asked here, so that a page stays quick however large the snapshot is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from insource.core.ecosystem import Derivatives, EffectiveLicence, Facts, Offer, Page, Parent, Spaces
from insource.hub.copies import alters
from insource.hub.duck import table_names
from insource.hub.facts import facts_of, is_namesake, offers
from insource.hub.licence_chain import chain, stated_licence
from insource.hub.lineage.tree import find_id
from insource.hub.sizes import compared
from insource.hub.sizes_sql import QUANTISED_KINDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TOP = 10
_MOST_OFFERS = 200
_PARENTS = """
SELECT child, parent, kind, evidence, confidence, {by_files} AS told_by_files FROM {table}
WHERE child IN (SELECT unnest($ids)) ORDER BY child, parent
"""
_DECLARED = _PARENTS.format(table="edges", by_files="false")
_BY_FILES = _PARENTS.format(table="file_edges", by_files="true")
_LICENCES = "SELECT id, license, license_name FROM models WHERE id IN (SELECT unnest($ids))"
_PLACES = "SELECT DISTINCT place FROM trunk WHERE child IN (SELECT unnest($ids))"
_ABOVE = """
WITH RECURSIVE up AS (
    SELECT unnest($places::INTEGER[]) AS place
    UNION
    SELECT t.parent_place FROM trunk t JOIN up USING (place) WHERE t.parent_place IS NOT NULL
)
SELECT child, parent, license, license_name FROM trunk WHERE place IN (FROM up) ORDER BY child, parent
"""
_BY_KIND = "SELECT kind, count(*) AS children FROM children WHERE parent = $id GROUP BY kind ORDER BY 2 DESC, 1"
_CHILDREN = """
SELECT child AS id, kind, downloads, tags FROM children WHERE parent = $id AND ($kind = '' OR kind = $kind)
ORDER BY downloads DESC NULLS LAST, child LIMIT $most
"""
_NAMESAKES = """
SELECT id, downloads FROM names
WHERE name >= lower($name) AND name < lower($name) || chr(1114111) AND id <> $id
    AND id NOT IN (SELECT child FROM children WHERE parent = $id)
ORDER BY downloads DESC NULLS LAST, id
"""
_TAGS = "SELECT id, tags FROM models WHERE id IN (SELECT unnest($ids))"
_QUANTISED_FROM = (
    "SELECT child, parent FROM edges WHERE child IN (SELECT unnest($ids)) AND kind IN ('quantized', 'altered')"
)
_SPACES = """
SELECT space AS id, likes, (SELECT count(*) FROM model_spaces WHERE model = $id) AS spaces
FROM model_spaces WHERE model = $id
ORDER BY likes DESC NULLS LAST, space LIMIT $most
"""


def page_of(connection: DuckDBPyConnection, model: str, *, as_of: date) -> Page:
    """From a connection with `models` and the tables of `build_lineage`. Raises UnknownModel."""
    id = find_id(connection, model)
    rows = _rows(connection, "SELECT * FROM models WHERE id = $id", {"id": id})
    parents = _rows(connection, _DECLARED, {"ids": [id]}) or _rows(connection, _BY_FILES, {"ids": [id]})
    kinds = _rows(connection, _BY_KIND, {"id": id})
    top = _rows(connection, _CHILDREN, {"id": id, "kind": "", "most": _TOP})
    counts = _rows(
        connection, "SELECT direct, transitive, by_tag, main_root FROM lineage_counts WHERE id = $id", {"id": id}
    )
    nothing: dict[str, Any] = {"direct": 0, "transitive": 0, "by_tag": 0, "main_root": None}
    figures = counts[0] if counts else nothing
    return Page(
        facts=_facts(connection, rows[0] if rows else {"id": id}, parents),
        family=figures["main_root"] if figures["main_root"] != id else None,
        parents=tuple(
            Parent(
                id=one["parent"],
                kind=one["kind"],
                evidence=one["evidence"],
                confidence=one["confidence"],
                told_by_files=one["told_by_files"],
            )
            for one in parents
        ),
        licence=_licence(connection, id, parents),
        derivatives=Derivatives(direct=figures["direct"], transitive=figures["transitive"], by_tag=figures["by_tag"]),
        by_kind={row["kind"]: row["children"] for row in kinds},
        top=tuple((child["id"], child["kind"], child["downloads"]) for child in top),
        spaces=_spaces(connection, id),
        offers=_offers(connection, id, rows[0]["tags"] if rows else None),
        as_of=as_of,
        note="" if rows else "The snapshot does not list this model; others name it as their parent.",
    )


def _facts(connection: DuckDBPyConnection, row: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]) -> Facts:
    facts = facts_of(row)
    ids = [one["parent"] for one in parents if one["kind"] in QUANTISED_KINDS and not one["told_by_files"]]
    if not ids or facts.size.value is None:
        return facts
    own = facts.size.value
    rows = _rows(connection, "SELECT * FROM models WHERE id IN (SELECT unnest($ids))", {"ids": ids})
    sizes = [size for one in rows if (size := facts_of(one).size.value)]
    nearest = min(sizes, key=lambda size: abs(math.log(size / own)), default=None)
    return replace(facts, size=compared(facts.size, nearest))


def _licence(connection: DuckDBPyConnection, id: str, own: Sequence[Mapping[str, Any]]) -> EffectiveLicence:
    """Up all declared ways; where they end, on by what files tell, and up again."""
    stated = _stated(connection, [id])
    parents, told = defaultdict[str, set[str]](set), set[str]()
    near = list(own)
    while near:
        copied = [edge["parent"] for edge in near if edge["told_by_files"]]
        told.update(edge["child"] for edge in near if edge["told_by_files"])
        # The trunk tells the parents of those alone that others declare as theirs.
        near += _rows(connection, _DECLARED, {"ids": copied}) if copied else []
        above = _above(connection, [edge["parent"] for edge in near])
        for edge in (*near, *above):
            parents[edge["child"]].add(edge["parent"])
        stated |= _stated(connection, [edge["parent"] for edge in near])
        stated |= {edge["parent"]: stated_licence(edge["license"], edge["license_name"]) for edge in above}
        ends = {edge["parent"] for edge in (*near, *above)} - parents.keys()
        near = _rows(connection, _BY_FILES, {"ids": sorted(ends)})
    return chain(id, {child: sorted(found) for child, found in parents.items()}, stated.get, told_by_files=told)


def _above(connection: DuckDBPyConnection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """All edges on the ways up from these, as far as they are declared."""
    places = [row["place"] for row in _rows(connection, _PLACES, {"ids": ids})]
    return _rows(connection, _ABOVE, {"places": places}) if places else []


def _stated(connection: DuckDBPyConnection, ids: Sequence[str]) -> dict[str, str | None]:
    rows = _rows(connection, _LICENCES, {"ids": ids})
    return {row["id"]: stated_licence(row["license"], row["license_name"]) for row in rows}


def _spaces(connection: DuckDBPyConnection, id: str) -> Spaces | None:
    if "model_spaces" not in table_names(connection):
        return None
    rows = _rows(connection, _SPACES, {"id": id, "most": _TOP})
    return Spaces(count=rows[0]["spaces"] if rows else 0, top=tuple((row["id"], row["likes"]) for row in rows))


def _offers(connection: DuckDBPyConnection, id: str, own_tags: Sequence[str] | None) -> tuple[Offer, ...]:
    """Declared ones first; then repositories with the same name but for the format, whose makers declared nothing, or
    no other model as what they quantised."""
    copies = _rows(connection, _CHILDREN, {"id": id, "kind": "quantized", "most": _MOST_OFFERS})
    near = _rows(connection, _NAMESAKES, {"id": id, "name": id.rpartition("/")[2]})
    namesakes = [row for row in near if is_namesake(id, row["id"]) and not alters(id, row["id"])][:_MOST_OFFERS]
    ids = [row["id"] for row in namesakes]
    tags = {row["id"]: row["tags"] or () for row in _rows(connection, _TAGS, {"ids": ids})} if ids else {}
    quantised = _rows(connection, _QUANTISED_FROM, {"ids": ids}) if ids else []
    others = {row["child"] for row in quantised if alters(id, row["parent"])}
    named = (
        (row["id"], told, row["downloads"])
        for row in namesakes
        if row["id"] not in others
        and not alters(id, row["id"], tags=(told := tags.get(row["id"], ())), original_tags=own_tags)
    )
    return (
        *offers(id, ((row["id"], row["tags"] or (), row["downloads"]) for row in copies), evidence="lineage"),
        *offers(id, named, evidence="name"),
    )


def _rows(connection: DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, dict(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
