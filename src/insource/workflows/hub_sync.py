"""`insource hub sync`: a source's rows of today, or of a file's day, become a snapshot in the archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from insource.core.errors import BadInput
from insource.hub.archive import Archive, Snapshot
from insource.hub.duck import connect
from insource.hub.prepared import prepare
from insource.hub.sources.read import Read, read_file, take_lines
from insource.workflows.services import Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LOOKED_AFTER = 200
"""Vanished ids that a sync asks the Hub about: one request each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    snapshot: Snapshot
    refused: int
    cut: int
    renamed: dict[str, str]
    """Old id to new, of ids that are no longer listed."""
    deleted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPlace:
    """Where the archive is and which Hub is asked."""

    home: Path
    hub_url: str
    today: date

    @property
    def archive(self) -> Archive:
        return Archive(self.home / "hub")

    @property
    def scratch(self) -> Path:
        """Of what is not whole yet."""
        return self.home / "hub" / "partial"


def sync(place: HubPlace, source: str, *, limit: int | None, day: date | None, progress: Progress) -> SyncReport:
    """From the Hub's API ("") or a path or address; what the questions need is worked out at once. Raises BadInput,
    DownloadFailed, UsageError, StorageError."""
    report = _take_snapshot(place, source, limit=limit, day=day, progress=progress)
    progress("Work out lineage and sizes", 0, None)
    prepare(place.archive)
    return report


def _take_snapshot(
    place: HubPlace, source: str, *, limit: int | None, day: date | None, progress: Progress
) -> SyncReport:
    with connect() as connection:
        if not source:
            return _from_api(connection, place, limit=limit, progress=progress)
        path, is_download = _fetched(place, source, progress)
        progress(f"Read {Path(urlsplit(source).path).name}", 0, None)
        read = read_file(connection, path, scratch=place.scratch)
        if limit is not None:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE incoming AS FROM incoming ORDER BY id LIMIT {limit:d}")
        # A date from the future is a stranger's, not the file's.
        snapshot = place.archive.add(
            connection,
            source=read.source,
            day=day or min(read.day, place.today),
            whole=limit is None,
            origin=Path(urlsplit(source).path).name,
        )
        if is_download:
            path.unlink()
        return SyncReport(snapshot=snapshot, refused=read.refused, cut=read.cut, renamed={}, deleted=())


def _fetched(place: HubPlace, source: str, progress: Progress) -> tuple[Path, bool]:
    if source.startswith(("http://", "https://")):
        from insource.hub.sources.download import download  # late, with the Hub's client

        what = f"Download {Path(urlsplit(source).path).name}"
        bar = lambda done, total: progress(what, done, total)  # noqa: E731
        return download(source, place.scratch, hub_url=place.hub_url, progress=bar), True
    path = Path(source)
    if not path.is_file():
        raise BadInput(
            f"There is no file {source!r}.", next_step="Give a path or an http(s) address, or leave --from out."
        )
    return path, False


def _from_api(connection: DuckDBPyConnection, place: HubPlace, *, limit: int | None, progress: Progress) -> SyncReport:
    from insource.hub.sources import hub_api  # late, with the Hub's client

    lines, listing = hub_api.list_models(
        place.scratch,
        hub_url=place.hub_url,
        limit=limit,
        today=place.today,
        progress=lambda models: progress("List models", models, limit),
    )
    read: Read = take_lines(connection, lines, source="api", day=listing.started, refused=listing.refused)
    snapshot = place.archive.add(
        connection,
        source="api",
        day=listing.started,
        whole=limit is None,
        origin=urlsplit(listing.endpoint).hostname or "",
    )
    hub_api.forget(place.scratch)
    vanished = place.archive.vanished(connection, snapshot, most=_LOOKED_AFTER)
    became = hub_api.what_became_of(vanished, hub_url=place.hub_url)
    renamed = {old: new for old, new in became.items() if new is not None}
    place.archive.add_renames(renamed)
    return SyncReport(
        snapshot=snapshot,
        refused=read.refused,
        cut=read.cut,
        renamed=renamed,
        deleted=tuple(old for old, new in became.items() if new is None),
    )
