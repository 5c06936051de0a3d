"""`core.ecosystem.EcosystemStore`: the snapshots in the data folder, and how they come there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from insource.core.ecosystem import Window
from insource.core.ecosystem_store import FilesReport, Progress, SnapshotInfo, SyncReport, SyncRequest
from insource.hub import ask_files
from insource.hub.schema import REPO_TYPES
from insource.hub.sync import HubPlace, snapshot_info, sync
from insource.hub.window import look_between


class HubStore:
    def __init__(self, place: HubPlace) -> None:
        self._place = place

    def snapshots(self) -> Sequence[SnapshotInfo]:
        kinds = REPO_TYPES.values()
        return [snapshot_info(one, kind) for kind in kinds for one in self._place.archive.beside(kind).snapshots()]

    def sync(self, request: SyncRequest, *, progress: Progress) -> SyncReport:
        return sync(self._place, request, progress=progress)

    def ask_for_files(self, *, model: str | None, limit: int, progress: Progress) -> FilesReport:
        return ask_files.ask_for_files(self._place, model=model, limit=limit, progress=progress)

    def window(self, *, first: date, last: date, most: int) -> Window:
        return look_between(self._place.archive, first=first, last=last, most=most)
