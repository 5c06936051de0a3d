"""The ecosystem as commands open it, for tests that sync and ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from insource.cli.session import load_settings
from insource.core.ecosystem_report import Taken
from insource.core.ecosystem_store import SyncReport, SyncRequest
from insource.hub.sync import HubPlace
from insource.hub.sync import sync as sync_place
from insource.wiring_choose import open_ecosystem
from insource.workflows.services import quiet


def sync(place: HubPlace, source: str = "", **options: Any) -> SyncReport:
    """Options: those of a `SyncRequest`."""
    return sync_place(place, SyncRequest(source=source, **options), progress=quiet)


def hub_report(home: Path, *, path: Path | None = None, since: date | None = None, only: Sequence[str] = ()) -> Taken:
    with open_ecosystem(load_settings().model_copy(update={"home": home}), path) as ecosystem:
        return ecosystem.report(since=since, only=only)
