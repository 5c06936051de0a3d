"""`core.ecosystem.Ecosystem` over DuckDB: of the snapshots on this machine, or of one file. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from insource.core.ecosystem import DeclaredCounts, Ecosystem, Inferred, Page, TreeNode, Trends, WrittenEdges
from insource.core.ecosystem_report import Taken
from insource.core.ecosystem_search import Hits, Search
from insource.core.errors import UsageError
from insource.hub.archive import Archive
from insource.hub.duck import connect, table_names
from insource.hub.lineage.build import build_lineage
from insource.hub.lineage.declared import declared_counts
from insource.hub.lineage.export import add_inferred, export_edges
from insource.hub.lineage.tree import tree_of
from insource.hub.lineage.trending import trending
from insource.hub.page import page_of
from insource.hub.prepared import load_file_edges, load_others, open_prepared
from insource.hub.repo_files import FilesLog
from insource.hub.report.figures import choose, take
from insource.hub.report.open_window import open_window
from insource.hub.report.prepare import read_organisations
from insource.hub.search import build_search, search
from insource.hub.sizes_sql import SIZES_SQL
from insource.hub.sources.read import load_file

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class HubEcosystem:
    """Over a connection with `models`; its owner closes it. The tables of `build_lineage` are made at the first
    question that needs them, unless they are there."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        *,
        as_of: date,
        described: str,
        archive: Archive | None = None,
        files: FilesLog | None = None,
    ) -> None:
        self._connection = connection
        self._as_of = as_of
        self._described = described
        self._archive = archive
        self._files = files

    @cached_property
    def _lineage(self) -> DuckDBPyConnection:
        if "lineage_counts" not in table_names(self._connection):
            build_lineage(self._connection)
            if self._files is not None:
                load_file_edges(self._connection, self._files)
        return self._connection

    @property
    def as_of(self) -> date:
        return self._as_of

    @property
    def described(self) -> str:
        return self._described

    def page(self, model: str) -> Page:
        return page_of(self._lineage, model, as_of=self._as_of)

    def search(self, asked: Search) -> Hits:
        connection, tables = self._lineage, table_names(self._lineage)
        if "searched" not in tables:
            if "sizes" not in tables:
                connection.execute(f"CREATE TEMP TABLE sizes AS {SIZES_SQL}")
            build_search(connection)
        return search(connection, asked)

    def declared(self) -> DeclaredCounts:
        return declared_counts(self._lineage)

    def tree(self, model: str, *, depth: int = 3, most: int = 12, direct: bool = False) -> TreeNode:
        return tree_of(self._lineage, model, depth=depth, most=most, direct=direct)

    def trends(self, *, days: int, rows: int = 20) -> Trends:
        return trending(self._lineage, days=days, rows=rows)

    def write_edges(self, out: Path, *, inferred: Inferred = "none") -> WrittenEdges:
        added = {} if inferred == "none" else add_inferred(self._lineage, learned=inferred == "learned")
        return WrittenEdges(edges=export_edges(self._lineage, out), inferred=added)

    def report(
        self, *, only: Sequence[str] = (), organisations: Path | None = None, since: date | None = None
    ) -> Taken:
        figures, accounts, described = choose(only), read_organisations(organisations), self._described
        if since is not None:
            if self._archive is None:
                raise no_window()
            described += open_window(self._connection, self._archive, since)
        return take(self._connection, figures, organisations=accounts, source=described)


def no_window() -> UsageError:
    return UsageError(
        "A window lies between two snapshots that are here.",
        next_step="Take them with insource hub sync, and leave --from out.",
    )


@contextmanager
def open_archive(archive: Archive, *, files: bool) -> Generator[Ecosystem]:
    """The newest snapshots; with `files`, also what files tell of parents. Raises UsageError without a snapshot,
    StorageError."""
    connection, day = open_prepared(archive, files=files)
    with connection:
        yield HubEcosystem(connection, as_of=day, described=f"the newest snapshots of {day}", archive=archive)


@contextmanager
def open_file(path: Path, *, root: Path, files: bool = False, beside: Archive | None = None) -> Generator[Ecosystem]:
    """One file of models; with the datasets and Spaces that are `beside` it. Raises BadInput."""
    with connect() as connection:
        read = load_file(connection, path, scratch=root / "partial")
        if beside is not None:
            load_others(connection, beside)
        yield HubEcosystem(
            connection,
            as_of=read.day or date.min,
            described=f"{path.name} ({read.source}, {read.day or 'undated'})",
            files=FilesLog(root) if files else None,
        )
