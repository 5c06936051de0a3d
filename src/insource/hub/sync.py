"""`insource hub sync`: a source's rows of today, or of a file's day, become a snapshot in the archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from insource.core.ecosystem_store import FieldMapping, Progress, SnapshotInfo, SyncReport, SyncRequest
from insource.core.errors import BadInput, UsageError
from insource.hub.archive import Archive, Snapshot
from insource.hub.duck import connect
from insource.hub.prepared import prepare
from insource.hub.schema import MODELS, REPO_TYPES, RepoType
from insource.hub.sources.read import Read, damage_is_said, read_file, take_lines
from insource.hub.sources.shapes import parse_map

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LOOKED_AFTER = 200
"""Vanished ids that a sync asks the Hub about: one request each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPlace:
    """Where the archive is and which Hub is asked."""

    home: Path
    hub_url: str
    today: date

    @property
    def archive(self) -> Archive:
        """Of models; the others' are beside it."""
        return Archive(self.home / "hub")


def sync(place: HubPlace, request: SyncRequest, *, progress: Progress) -> SyncReport:
    """From the Hub's API or a path or address; what the questions need is worked out at once. Raises BadInput,
    DownloadFailed, UsageError, StorageError."""
    repo_type = _repo_type(request.repo_type)
    report = _take_snapshot(place, request, repo_type=repo_type, progress=progress)
    if place.archive.snapshots():
        progress("Working out lineage and sizes", 0, None)
        prepare(place.archive)
    return report


def _repo_type(name: str) -> RepoType | None:
    if name and name not in REPO_TYPES:
        raise UsageError(f"There is no repository type {name!r}.", next_step=f"Choose of: {', '.join(REPO_TYPES)}.")
    return REPO_TYPES[name] if name else None


def _take_snapshot(
    place: HubPlace, request: SyncRequest, *, repo_type: RepoType | None, progress: Progress
) -> SyncReport:
    source, limit = request.source, request.limit
    with connect() as connection:
        if not source:
            return _from_api(connection, place, limit=limit, progress=progress, repo_type=repo_type or MODELS)
        path, is_download = _fetched(place, source, progress)
        progress(f"Reading {Path(urlsplit(source).path).name}", 0, None)
        chosen = parse_map(request.fields)
        read = read_file(connection, path, scratch=_scratch(place.archive), repo_type=repo_type, chosen=chosen)
        with damage_is_said(path):
            snapshot = place.archive.beside(read.repo_type).add(
                connection,
                rows="incoming" if limit is None else f"(FROM incoming ORDER BY id LIMIT {limit:d})",
                source=read.source,
                day=_day_of(read, request, place),
                whole=request.whole and limit is None,
                origin=Path(urlsplit(source).path).name,
            )
        if is_download:
            path.unlink()
        return SyncReport(
            snapshot=snapshot_info(snapshot, read.repo_type),
            refused=read.refused,
            cut=read.cut,
            renamed={},
            deleted=(),
            mapping=_mapping(read),
        )


def _day_of(read: Read, request: SyncRequest, place: HubPlace) -> date:
    """A date from the future is a stranger's, not the file's."""
    if request.day is None and read.day is None:
        raise UsageError(
            f"The source {request.source!r} has no date.",
            next_step="Give the day of its counts: --day YYYY-MM-DD.",
        )
    return request.day or min(read.day or place.today, place.today)


def _mapping(read: Read) -> FieldMapping | None:
    shape = read.shape
    if shape is None:
        return None
    fields = {column: names[0] for column, names in shape.fields.items()}
    return FieldMapping(wrapper=shape.wrapper, fields=fields, unused=shape.unused, usual=shape.is_usual)


def _scratch(archive: Archive) -> Path:
    """Of what is not whole yet, a type's own: a listing of one goes on after one of another."""
    return archive.folder / "partial"


def _fetched(place: HubPlace, source: str, progress: Progress) -> tuple[Path, bool]:
    if source.startswith(("http://", "https://")):
        from insource.hub.sources.download import download  # late, with the Hub's client

        what = f"Download {Path(urlsplit(source).path).name}"
        bar = lambda done, total: progress(what, done, total)  # noqa: E731
        return download(source, _scratch(place.archive), hub_url=place.hub_url, progress=bar), True
    path = Path(source)
    if not path.is_file():
        raise BadInput(
            f"There is no file {source!r}.", next_step="Give a path or an http(s) address, or leave --from out."
        )
    return path, False


def _from_api(
    connection: DuckDBPyConnection, place: HubPlace, *, limit: int | None, progress: Progress, repo_type: RepoType
) -> SyncReport:
    from insource.hub.sources import hub_api  # late, with the Hub's client

    archive = place.archive.beside(repo_type)
    lines, listing = hub_api.list_repositories(
        _scratch(archive),
        hub_url=place.hub_url,
        repo_type=repo_type,
        limit=limit,
        today=place.today,
        progress=lambda count: progress(f"Listing {repo_type.name}", count, limit),
    )
    read: Read = take_lines(
        connection, lines, repo_type=repo_type, source="api", day=listing.started, refused=listing.refused
    )
    snapshot = archive.add(
        connection,
        source="api",
        day=listing.started,
        whole=limit is None,
        origin=urlsplit(listing.endpoint).hostname or "",
    )
    hub_api.forget(_scratch(archive))
    vanished = archive.vanished(connection, snapshot, most=_LOOKED_AFTER)
    became = hub_api.what_became_of(vanished, hub_url=place.hub_url, repo_type=repo_type)
    renamed = {old: new for old, new in became.items() if new is not None}
    archive.add_renames(renamed)
    return SyncReport(
        snapshot=snapshot_info(snapshot, repo_type),
        refused=read.refused,
        cut=read.cut,
        renamed=renamed,
        deleted=tuple(old for old, new in became.items() if new is None),
    )


def snapshot_info(one: Snapshot, repo_type: RepoType) -> SnapshotInfo:
    return SnapshotInfo(
        repo_type=repo_type.name,
        source=one.source,
        day=one.day,
        whole=one.whole,
        origin=one.origin,
        rows=one.rows,
        changed=one.changed,
        size_bytes=one.size_bytes,
        columns=one.columns,
    )
