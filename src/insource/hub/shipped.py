"""`core.ecosystem.Ecosystem` over the catalogue that ships with insource, for whoever has no snapshot yet: facts and
figures, but no lineage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from insource.core.ecosystem import DeclaredCounts, Inferred, Page, TreeNode, Trends, WrittenEdges
from insource.core.ecosystem_report import Taken
from insource.core.ecosystem_search import Hits, Search
from insource.core.errors import UnknownModel
from insource.hub.archive import Archive, no_snapshot
from insource.hub.facts import catalogue_row, facts_of, offers
from insource.hub.licence_chain import chain
from insource.hub.snapshot import SnapshotCatalogue

_NEXT_STEP = "insource hub sync --from models.parquet (hub-stats), or insource hub sync for the Hub's API."


class ShippedEcosystem:
    def __init__(self, catalogue: SnapshotCatalogue, archive: Archive) -> None:
        self._catalogue = catalogue
        self._archive = archive
        """Without snapshots of models; perhaps with others."""

    @property
    def as_of(self) -> date:
        return self._catalogue.as_of

    @property
    def described(self) -> str:
        return f"{self._catalogue.path.name} (records, {self.as_of}) (the catalogue that insource ships)"

    def page(self, model: str) -> Page:
        found = self._catalogue.find(model)
        if found is None:
            raise UnknownModel(
                f"No model {model!r} is in the shipped catalogue of {self.as_of}, and no snapshot is here yet.",
                next_step=f"Take a snapshot: {_NEXT_STEP}",
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
            as_of=self.as_of,
            note=f"The shipped catalogue does not know parents and derivatives. To fetch them: {_NEXT_STEP}",
        )

    def search(self, asked: Search) -> Hits:
        """Its lineage is not known, so no family is either. Raises UsageError where one is asked for."""
        if asked.family or asked.by_growth:
            raise no_snapshot()
        from insource.hub.ecosystem import open_file  # late, with DuckDB

        with (
            TemporaryDirectory() as scratch,
            open_file(self._catalogue.path, root=Path(scratch), beside=self._archive) as opened,
        ):
            found = opened.search(asked)
        hits = [replace(hit, derivatives=None, derivatives_a_week=None) for hit in found.hits]
        return replace(found, hits=hits)

    def declared(self) -> DeclaredCounts:
        raise no_snapshot()

    def tree(self, model: str, *, depth: int = 3, most: int = 12, direct: bool = False) -> TreeNode:
        raise no_snapshot()

    def trends(self, *, days: int, rows: int = 20) -> Trends:
        raise no_snapshot()

    def write_edges(self, out: Path, *, inferred: Inferred = "none") -> WrittenEdges:
        raise no_snapshot()

    def report(
        self, *, only: Sequence[str] = (), organisations: Path | None = None, since: date | None = None
    ) -> Taken:
        from insource.hub.ecosystem import no_window, open_file  # late, with DuckDB

        if since is not None:
            raise no_window()
        with (
            TemporaryDirectory() as scratch,
            open_file(self._catalogue.path, root=Path(scratch), beside=self._archive) as opened,
        ):
            return replace(opened.report(only=only, organisations=organisations), source=self.described)
