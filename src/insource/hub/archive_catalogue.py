"""The catalogue of what `insource hub sync` fetched: `core.ports.Catalogue` over the view `models` and its lineage.

Everything that can be decided by a column is decided in DuckDB, so that objects are made of at most `MOST` models,
however many there are. What metadata never tells (layers, heads, widths) comes from the shipped catalogue, by id, or
from the nearest ancestor of the same size that it knows: a fine-tune keeps its parent's architecture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from insource.core.altered_models import TELLING_TAGS
from insource.core.catalogue import Ancestry, CatalogueModel, Selection, Wanted
from insource.core.ports import Catalogue
from insource.hub.activity import VELOCITY_DAYS
from insource.hub.archive import Archive
from insource.hub.facts import format_in
from insource.hub.licence_chain import stated_licence
from insource.hub.prepared import open_prepared
from insource.hub.sizes_sql import SIZES_SQL
from insource.hub.snapshot import SnapshotCatalogue

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST = 20_000
"""Models of one selection: the most downloaded ones."""
_MOST_OFFERS = 32
_FIRST_DAY = date(2022, 3, 2)
"""What the Hub states for everything that is older."""
_SAME_SIZE = 1.1
_SHAPE = (
    "layers", "attention_heads", "kv_heads", "head_width", "embedding_width", "vocabulary", "experts", "experts_used",
    "expert_width",
)  # fmt: skip
_shape_of = attrgetter(*_SHAPE)

_IS_GGUF = "(list_contains(coalesce(m.tags, []), 'gguf') OR contains(lower(m.id), 'gguf'))"
_NAME = r"regexp_replace(lower(regexp_extract({}, '[^/]*$')), '[-_.](i1[-_.])?gguf$', '')"
_SHIPPED = "CREATE OR REPLACE TEMP TABLE shipped_offers AS SELECT unnest(?::VARCHAR[]) AS id"
_OFFERS = f"""
CREATE OR REPLACE TEMP TABLE gguf_offers AS
SELECT e.parent AS id, list(m.id ORDER BY m.downloads DESC NULLS LAST, m.id)[:{_MOST_OFFERS}] AS repositories,
    arg_max(m.gguf_context, coalesce(m.downloads, 0)) AS context, max(m.gguf_parameters) AS parameters
FROM edges e JOIN models m ON m.id = e.child WHERE e.kind = 'quantized' AND {_IS_GGUF} GROUP BY e.parent
"""
_JUDGED = f"""
CREATE OR REPLACE TEMP TABLE judged AS
WITH able AS MATERIALIZED (SELECT m.id, m.downloads, {_IS_GGUF} AS is_gguf,
        len(list_filter(m.tags, lambda tag: regexp_full_match(lower(tag), '{TELLING_TAGS}'))) > 0 AS tagged
    FROM models m
    WHERE m.pipeline_tag IS NULL OR list_contains($pipelines, m.pipeline_tag)),
copies AS (SELECT DISTINCT child AS id, kind FROM edges e JOIN models p ON p.id = e.parent
    WHERE kind IN ('adapter', 'quantized', 'altered')),
adapters AS (SELECT DISTINCT id FROM copies WHERE kind = 'adapter'),
quantised AS (SELECT DISTINCT id FROM copies WHERE kind = 'quantized'),
altered AS (SELECT DISTINCT id FROM copies WHERE kind = 'altered'),
offered AS (SELECT id FROM gguf_offers UNION SELECT id FROM shipped_offers
    UNION SELECT id FROM able WHERE is_gguf),
names AS (SELECT DISTINCT {_NAME.format("id")} AS name FROM offered)
SELECT m.id, m.downloads, CASE
    WHEN a.id IS NOT NULL THEN 'adapters'
    WHEN x.id IS NOT NULL OR m.tagged THEN 'altered copies, or altered as their tags say'
    WHEN q.id IS NOT NULL THEN 'copies, which stand with their original'
    WHEN n.name IS NULL AND NOT $convertible THEN 'nobody is known to offer them as GGUF' END AS reason
FROM able m LEFT JOIN adapters a ON a.id = m.id LEFT JOIN quantised q ON q.id = m.id
LEFT JOIN altered x ON x.id = m.id
LEFT JOIN names n ON n.name = {_NAME.format("m.id")}
"""
_CHOSEN = """
CREATE OR REPLACE TEMP TABLE chosen AS SELECT id FROM judged WHERE reason IS NULL
ORDER BY downloads DESC NULLS LAST, id LIMIT $most
"""
_ROWS = f"""
WITH wanted AS (SELECT m.* FROM models m WHERE m.id IN (SELECT id FROM chosen)),
sized AS (WITH models AS (FROM wanted) SELECT id, parameters FROM ({SIZES_SQL})),
recent AS (SELECT parent AS id, count(*) AS children FROM edges
    WHERE first_seen > $since AND parent IN (SELECT id FROM chosen) GROUP BY parent)
SELECT w.id, s.parameters, w.model_type, w.pipeline_tag, w.languages, coalesce(w.gguf_context, w.context) AS context,
    w.active_parameters, w.license, w.license_name,
    w.downloads, w.likes, w.created, w.tags, o.repositories, o.context AS offered_context,
    o.parameters AS offered_parameters, coalesce(c.transitive, 0) AS derivatives, coalesce(r.children, 0) AS recent
FROM wanted w LEFT JOIN sized s ON s.id = w.id LEFT JOIN gguf_offers o ON o.id = w.id
LEFT JOIN lineage_counts c ON c.id = w.id LEFT JOIN recent r ON r.id = w.id
ORDER BY w.downloads DESC NULLS LAST, w.id
"""
_WAYS = """
CREATE OR REPLACE TEMP VIEW ways AS SELECT child, parent, false AS told_by_files FROM edges
UNION ALL SELECT child, parent, true AS told_by_files FROM file_edges
"""
_CHAINS = """
CREATE OR REPLACE TEMP TABLE chains AS
WITH RECURSIVE up AS (SELECT id FROM chosen UNION SELECT w.parent FROM ways w JOIN up ON w.child = up.id)
SELECT id FROM up
"""
_ABOVE = "SELECT child, parent, told_by_files FROM ways WHERE child IN (SELECT id FROM chains) ORDER BY ALL"
_LICENCES = """
SELECT c.id, m.license, m.license_name, m.id IS NOT NULL AS listed FROM chains c LEFT JOIN models m ON m.id = c.id
"""
_FIND = "SELECT id FROM models WHERE lower(id) = lower(?) ORDER BY downloads DESC NULLS LAST, id LIMIT 1"


@contextmanager
def open_archive_catalogue(archive: Archive, *, shipped: SnapshotCatalogue) -> Generator[Catalogue]:
    """Of the newest snapshots. Raises UsageError without one, StorageError."""
    connection, as_of = open_prepared(archive, files=True)
    whole = any(one.whole for one in archive.snapshots())
    with connection:
        yield ArchiveCatalogue(connection, as_of=as_of, shipped=shipped, whole=whole)


class ArchiveCatalogue:
    """Over a connection that holds `models` and the tables of `build_lineage`; its owner closes it."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        *,
        as_of: date,
        shipped: SnapshotCatalogue,
        most: int = MOST,
        whole: bool = True,
    ) -> None:
        self._connection = connection
        self._as_of = as_of
        self._shipped = shipped
        self._most = most
        self._whole = whole
        """False: only parts were synced."""

    @property
    def as_of(self) -> date:
        return self._as_of

    def select(self, wanted: Wanted) -> Selection:
        self._prepare_offers()
        self._connection.execute(_JUDGED, {"pipelines": sorted(wanted.pipelines), "convertible": wanted.convertible})
        self._connection.execute(_CHOSEN, {"most": self._most})
        counted = self._connection.execute("SELECT reason, count(*) FROM judged GROUP BY 1 ORDER BY 2 DESC").fetchall()
        left_out = {str(reason): int(count) for reason, count in counted if reason is not None}
        ancestry = self._ancestry()
        models = self._read_chosen(ancestry)
        listed = self._count("SELECT count(*) FROM models")
        judged = sum(int(count) for _, count in counted)
        beyond = judged - sum(left_out.values()) - len(models)
        if listed > judged:
            left_out["made for other work"] = listed - judged
        if beyond:
            left_out[f"less downloaded than the first {self._most:,}"] = beyond
        models, listed = self._with_shipped(models, listed)
        return Selection(
            models=models,
            listed=listed,
            left_out=left_out,
            ancestry=ancestry if self._has_lineage else None,
            lineage_as_of=self._lineage_day,
            stating_parents=self._count("SELECT count(base_models) FROM models"),
        )

    def _with_shipped(self, models: Sequence[CatalogueModel], listed: int) -> tuple[Sequence[CatalogueModel], int]:
        """Where only parts were synced, the shipped catalogue's models beside them: parts say nothing of the rest."""
        if self._whole:
            return models, listed
        known = {str(id) for (id,) in self._connection.execute("SELECT lower(id) FROM models").fetchall()}
        others = [model for model in self._shipped.models() if model.id.lower() not in known]
        return [*models, *others], listed + len(others)

    def _count(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchall()[0][0])

    def find(self, id: str) -> CatalogueModel | None:
        found = self._connection.execute(_FIND, [id.strip()]).fetchall()
        if not found:
            return None if self._whole else self._shipped.find(id)
        self._prepare_offers()
        self._connection.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT ? AS id", [found[0][0]])
        return self._read_chosen(self._ancestry())[0]

    def _prepare_offers(self) -> None:
        offered = [model.id for model in self._shipped.models() if model.gguf_repositories]
        self._connection.execute(_SHIPPED, [offered])
        self._connection.execute(_OFFERS)

    @cached_property
    def _has_lineage(self) -> bool:
        """False: only sources that never state parents were synced, as the shipped records."""
        return bool(self._connection.execute("SELECT 1 FROM edges LIMIT 1").fetchall())

    @cached_property
    def _lineage_day(self) -> date | None:
        """The newest day of which parents are known: later ones would only look as if nothing were built."""
        newest = "SELECT max(created)::DATE FROM models WHERE base_models IS NOT NULL"
        return self._connection.execute(newest).fetchall()[0][0]

    def _read_chosen(self, ancestry: Ancestry) -> Sequence[CatalogueModel]:
        since = (self._lineage_day or self._as_of) - timedelta(days=VELOCITY_DAYS)
        cursor = self._connection.execute(_ROWS, {"since": since})
        names = [column[0] for column in cursor.description or ()]
        rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
        return [self._model(row, ancestry) for row in rows]

    def _ancestry(self) -> Ancestry:
        self._connection.execute(_WAYS)
        self._connection.execute(_CHAINS)
        parents: defaultdict[str, list[str]] = defaultdict(list)
        told: set[str] = set()
        for child, parent, by_files in self._connection.execute(_ABOVE).fetchall():
            parents[child].append(parent)
            if by_files:
                told.add(child)
        licences: dict[str, str | None] = {
            id: stated_licence(license, name) if listed else self._shipped_licence(id)
            for id, license, name, listed in self._connection.execute(_LICENCES).fetchall()
        }
        return Ancestry(parents=dict(parents), licences=licences, told_by_files=frozenset(told))

    def _shipped_licence(self, id: str) -> str | None:
        known = self._shipped.find(id)
        return known.license if known is not None else None

    @cached_property
    def _types(self) -> frozenset[str]:
        """Model types that the shipped catalogue knows: the Hub tags a repository with its own."""
        return frozenset(model.model_type for model in self._shipped.models() if model.model_type)

    def _model(self, row: Mapping[str, Any], ancestry: Ancestry) -> CatalogueModel:
        known, tags = self._shipped.find(row["id"]), row["tags"] or ()
        created = row["created"].date() if row["created"] is not None else None
        younger = created is not None and self._lineage_day is not None and created > self._lineage_day
        parameters = int(row["parameters"] or (known and known.parameters) or row["offered_parameters"] or 0)
        like = known or self._ancestor(row["id"], parameters, ancestry)
        offers = [*(row["repositories"] or ()), *(known.gguf_repositories if known else ())]
        return CatalogueModel(
            id=row["id"],
            parameters=parameters,
            active_parameters=(known and known.active_parameters) or row["active_parameters"],
            model_type=(known and known.model_type)
            or row["model_type"]
            or next((tag for tag in tags if tag in self._types), like.model_type if like else ""),
            pipeline_tag=row["pipeline_tag"] or (known.pipeline_tag if known else ""),
            capabilities=known.capabilities if known else (),
            languages=tuple(row["languages"] or ()),
            context_tokens=row["context"] or (like and like.context_tokens) or row["offered_context"],
            license=ancestry.licences.get(row["id"]),
            downloads=row["downloads"],
            likes=row["likes"],
            released=(known and known.released) or (created if created and created > _FIRST_DAY else None),
            format=format_in(row["id"], tags) or (known.format if known else ""),
            gguf_repositories=tuple(dict.fromkeys(offers)),
            derivatives=row["derivatives"] if self._has_lineage and not younger else None,
            recent_derivatives=row["recent"] if self._has_lineage and not younger else None,
            **({} if like is None else dict(zip(_SHAPE, _shape_of(like), strict=True))),
        )

    def _ancestor(self, model: str, parameters: int, ancestry: Ancestry) -> CatalogueModel | None:
        """The nearest one that the shipped catalogue describes and that has as many parameters."""
        queue, seen = list(ancestry.parents.get(model, ())), {model}
        for id in queue:
            if id in seen:
                continue
            seen.add(id)
            known = self._shipped.find(id)
            if known is not None and known.layers and parameters and known.parameters:
                larger, smaller = max(parameters, known.parameters), min(parameters, known.parameters)
                if larger < _SAME_SIZE * smaller:
                    return known
            queue.extend(ancestry.parents.get(id, ()))
        return None
