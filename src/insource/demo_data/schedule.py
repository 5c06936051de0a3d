"""When the demo's requests came: six weeks of a shop's days. A moment depends on the request's id alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from insource.core.hashing import unit_interval

FIRST_DAY = datetime(2026, 10, 5, tzinfo=UTC)
DAYS = 42
_WEIGHT_BY_WEEKDAY = (1.3, 1.1, 1.0, 1.0, 1.0, 0.7, 0.5)
_WEIGHT_BY_HOUR = (1, 0, 0, 0, 0, 1, 3, 6, 10, 12, 12, 11, 9, 9, 10, 10, 9, 8, 8, 9, 9, 7, 4, 2)


def moment(id: str) -> datetime:
    """More on Mondays than on Sundays, most before noon. To the second."""
    day = _drawn([_WEIGHT_BY_WEEKDAY[day % 7] for day in range(DAYS)], unit_interval("demo day", id))
    hour = _drawn(_WEIGHT_BY_HOUR, unit_interval("demo hour", id))
    second = int(3600 * unit_interval("demo second", id))
    return FIRST_DAY + timedelta(days=day, hours=hour, seconds=second)


def iso(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _drawn(weights: Sequence[float], place: float) -> int:
    """The index at which the running sum of the weights passes `place` of their total."""
    left = place * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return len(weights) - 1
