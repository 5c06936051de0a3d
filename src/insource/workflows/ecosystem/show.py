"""`insource hub show`: one model's page from the view `models` and the lineage's tables, or from the shipped catalogue.

Only questions about one model are asked here, so that a page stays quick however large the snapshot is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from insource.core.errors import UnknownModel
from insource.core.ports import Catalogue
from insource.hub.duck import table_names
from insource.hub.facts import Facts, Offer, catalogue_row, facts_of, is_namesake, offers
from insource.hub.licence_chain import EffectiveLicence, Link, chain, stated_licence
from insource.hub.names import format_of
from insource.workflows.ecosystem.lineage import find_id

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
_SPACES = """
SELECT space AS id, likes, (SELECT count(*) FROM model_spaces WHERE model = $id) AS spaces
FROM model_spaces WHERE model = $id
ORDER BY likes DESC NULLS LAST, space LIMIT $most
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    id: str
    kind: str
    evidence: str
    confidence: float
    told_by_files: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivatives:
    """Counted in three ways that differ by an order of magnitude (`hub/lineage/counts.py`)."""

    direct: int
    transitive: int
    by_tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spaces:
    """Apps on the Hub that name the model."""

    count: int
    top: tuple[tuple[str, int | None], ...]
    """(id, likes), the most liked first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    facts: Facts
    family: str | None
    """The most downloaded root of the models that hang together."""
    parents: tuple[Parent, ...]
    licence: EffectiveLicence
    derivatives: Derivatives | None
    """None: this source holds no lineage."""
    by_kind: Mapping[str, int]
    """Direct derivatives by kind."""
    top: tuple[tuple[str, str, int | None], ...]
    """Direct derivatives (id, kind, downloads), the most downloaded first."""
    spaces: Spaces | None
    """None: no snapshot of Spaces is here."""
    offers: tuple[Offer, ...]
    as_of: date
    note: str
    """What this source can't say, and what to do about it; "" for nothing."""


def show(connection: DuckDBPyConnection, model: str, *, as_of: date) -> Page:
    """From a connection with `models` and the tables of `build_lineage`. Raises UnknownModel."""
    id = find_id(connection, model)
    rows = _rows(connection, "SELECT * FROM models WHERE id = $id", {"id": id})
    parents = _rows(connection, _DECLARED, {"ids": [id]}) or _rows(connection, _BY_FILES, {"ids": [id]})
    kinds = _rows(connection, _BY_KIND, {"id": id})
    top = _rows(connection, _CHILDREN, {"id": id, "kind": "", "most": _TOP})
    counts = _rows(
        connection, "SELECT direct, transitive, by_tag, family FROM lineage_counts WHERE id = $id", {"id": id}
    )
    nothing: dict[str, Any] = {"direct": 0, "transitive": 0, "by_tag": 0, "family": None}
    figures = counts[0] if counts else nothing
    return Page(
        facts=facts_of(rows[0] if rows else {"id": id}),
        family=figures["family"] if figures["family"] != id else None,
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
        offers=_offers(connection, id),
        as_of=as_of,
        note="" if rows else "The snapshot does not list this model; others name it as their parent.",
    )


def show_shipped(catalogue: Catalogue, model: str) -> Page:
    """What the shipped catalogue can say: facts, but no lineage. Raises UnknownModel."""
    found = catalogue.find(model)
    next_step = "insource hub sync --from models.parquet (hub-stats), or insource hub sync for the Hub's API."
    if found is None:
        raise UnknownModel(
            f"No model {model!r} is in the shipped catalogue of {catalogue.as_of}, and no snapshot is here yet.",
            next_step=f"Take a snapshot: {next_step}",
        )
    facts = facts_of(catalogue_row(found))
    return Page(
        facts=facts,
        family=None,
        parents=(),
        licence=chain(found.id, {}, lambda _: facts.license),
        derivatives=None,
        by_kind={},
        top=(),
        spaces=None,
        offers=offers(found.id, ((id, ("gguf",), None) for id in found.gguf_repositories), evidence="catalogue"),
        as_of=catalogue.as_of,
        note=f"The shipped catalogue holds no lineage: parents and derivatives are not known here. {next_step}",
    )


def page_json(page: Page) -> dict[str, Any]:
    """DESIGN §8, and the facts beside it."""
    facts, licence = page.facts, page.licence
    counted = page.derivatives
    return {
        "id": facts.id,
        "parameters": facts.size.value,
        "parameters_method": facts.size.method,
        "parameters_agreement": facts.size.agreement,
        "active_parameters": facts.active_parameters,
        "context_tokens": facts.context_tokens,
        "format": facts.format or None,
        "quantization": facts.quantization or None,
        "library": facts.library,
        "task": facts.task,
        "model_type": facts.model_type,
        "languages": list(facts.languages),
        "gated": facts.gated,
        "downloads": facts.downloads,
        "likes": facts.likes,
        "license": facts.license,
        "license_class": licence.links[0].licence_class,
        "effective_license": licence.strictest.license,
        "effective_license_class": licence.strictest.licence_class,
        "license_chain": [_link_json(link) for link in licence.links],
        "license_conflicts": [_link_json(link) for link in licence.conflicts],
        "license_unstated": [link.id for link in licence.unstated],
        "duties": list(licence.duties),
        "family": page.family,
        "parents": [
            {"id": one.id, "kind": one.kind, "evidence": one.evidence, "confidence": one.confidence}
            for one in page.parents
        ],
        "derivatives": {
            "direct": counted.direct if counted else None,
            "transitive": counted.transitive if counted else None,
            "by_tag": counted.by_tag if counted else None,
        },
        "derivatives_by_kind": dict(page.by_kind),
        "top_derivatives": [{"id": id, "kind": kind, "downloads": downloads} for id, kind, downloads in page.top],
        "spaces": None
        if page.spaces is None
        else {"count": page.spaces.count, "top": [{"id": id, "likes": likes} for id, likes in page.spaces.top]},
        "offers": [
            {
                "id": offer.id,
                "format": offer.format or None,
                "quantization": offer.quantization or None,
                "downloads": offer.downloads,
                "evidence": offer.evidence,
            }
            for offer in page.offers
        ],
        "as_of": page.as_of.isoformat(),
        "note": page.note or None,
    }


def _link_json(link: Link) -> dict[str, Any]:
    return {
        "id": link.id,
        "steps": link.steps,
        "license": link.license,
        "class": link.licence_class,
        "told_by_files": link.told_by_files,
    }


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


def _offers(connection: DuckDBPyConnection, id: str) -> tuple[Offer, ...]:
    """Declared ones first; then repositories with the same name but for the format, whose makers declared nothing."""
    copies = _rows(connection, _CHILDREN, {"id": id, "kind": "quantized", "most": _MOST_OFFERS})
    near = _rows(connection, _NAMESAKES, {"id": id, "name": id.rpartition("/")[2]})
    namesakes = [row for row in near if is_namesake(id, row["id"])][:_MOST_OFFERS]
    # Reading tags takes longer than all else here, and a name that tells its format needs none.
    ids = [row["id"] for row in namesakes if not format_of(row["id"])]
    tags = {row["id"]: row["tags"] for row in _rows(connection, _TAGS, {"ids": ids})} if ids else {}
    named = ((row["id"], tags.get(row["id"]) or (), row["downloads"]) for row in namesakes)
    return (
        *offers(id, ((row["id"], row["tags"] or (), row["downloads"]) for row in copies), evidence="lineage"),
        *offers(id, named, evidence="name"),
    )


def _rows(connection: DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, dict(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
