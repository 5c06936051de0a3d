"""The window between two snapshots that the report's figures ask about."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from insource.core.errors import UsageError
from insource.hub.archive import Archive
from insource.hub.window import window_downloads

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def open_window(connection: DuckDBPyConnection, archive: Archive, since: date) -> str:
    """Between two whole snapshots of one source: others hold other models, which is no growth."""
    whole = [one for one in archive.snapshots() if one.whole]
    pairs = [(one, two) for two in whole for one in whole if one.source == two.source and one.day < two.day]
    pair = max(
        (pair for pair in pairs if pair[0].day <= since), key=lambda pair: (pair[1].day, pair[0].day), default=None
    )
    if pair is None:
        days = ", ".join(f"{one.day} ({one.source})" for one in whole) or "none"
        raise UsageError(
            f"There are no two whole snapshots of one source, the first of them up to {since}.",
            next_step=f"Take another with `insource hub sync`. Whole snapshots here: {days}.",
        )
    window = window_downloads(connection, archive, first=pair[0].day, last=pair[1].day, source=pair[0].source)
    return f", and of {pair[0].source} from {window.first} to {window.last}"
