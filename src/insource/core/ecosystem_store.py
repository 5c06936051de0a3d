"""The snapshots of the ecosystem on this machine as values, and the port through which they come there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from insource.core.ecosystem import Edge, Window

Progress = Callable[[str, int, "int | None"], None]
"""(what, done, total or None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """One source on one day."""

    repo_type: str
    """`models`, `datasets`, `spaces`."""
    source: str
    day: date
    whole: bool
    """False: a part of what the source has."""
    origin: str
    """The file or address that it came from, without its folders."""
    rows: int
    """Repositories on that day."""
    changed: int
    """Rows in its file: new, changed and gone ones."""
    size_bytes: int
    columns: Mapping[str, int]
    """By column, the repositories of which it states it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What `sync` is asked for."""

    source: str = ""
    """A path or address; "" is the Hub's API."""
    repo_type: str = ""
    """"" is what the file holds, and models of the API."""
    limit: int | None = None
    day: date | None = None
    whole: bool = False
    """A file lists all that its source has, so what it lacks is gone. A listing of the API always does, unless it has a
    limit."""
    fields: str = ""
    """Which fields of a file are which of our columns, as `id=hf_id,likes=stars`; "" is as their names tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMapping:
    """What of a stranger's JSON was taken for what."""

    wrapper: str
    fields: Mapping[str, str]
    """Our column -> the file's field."""
    unused: tuple[str, ...]
    usual: bool
    """As the Hub's API writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    snapshot: SnapshotInfo
    refused: int
    cut: int
    renamed: Mapping[str, str]
    """Old id to new, of ids that are no longer listed."""
    deleted: tuple[str, ...]
    mapping: FieldMapping | None = None
    """None: of a file of a known kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesReport:
    """What a run of questions about files learned, and what is known after it."""

    model: str | None
    """As it is spelt, where one was asked about."""
    asked: int
    gone: tuple[str, ...]
    """Deleted, or closed to who asks."""
    renamed: Mapping[str, str]
    known: int
    left: int
    """Models that are still worth a request."""
    edges: Sequence[Edge]
    """That files tell, by all that is known."""
    declared: bool = False
    """The one model says itself what its parent is: its files are not asked for."""


class EcosystemStore(Protocol):
    """The snapshots on this machine."""

    def snapshots(self) -> Sequence[SnapshotInfo]:
        """Of all types. Raises BadInput where the list is damaged."""
        ...

    def sync(self, request: SyncRequest, *, progress: Progress) -> SyncReport:
        """Raises BadInput, DownloadFailed, UsageError, StorageError."""
        ...

    def ask_for_files(self, *, model: str | None, limit: int, progress: Progress) -> FilesReport:
        """Asks the Hub for the files of models without a declared parent. Raises UsageError without a snapshot,
        UnknownModel, DownloadFailed, StorageError."""
        ...

    def window(self, *, first: date, last: date, most: int) -> Window:
        """Raises UsageError where there is no snapshot up to a day."""
        ...
