"""What a page shows of the exchange log: sums by day and task, and the log a page at a time. Plain data and its port.

Not here: reading whole exchanges for evidence (core/stores.py). A second answer that no client saw (a shadow) counts
in none of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from insource.core.values import Exchange

IMPORTED = ""
"""In place of an upstream: the exchange was imported, so a hosted service answered it, somewhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """What one upstream answered on one day (UTC)."""

    day: date
    upstream: str
    """As `engine:head`; IMPORTED for what was imported."""
    exchanges: int
    cost_usd: float
    private: int
    """Exchanges whose request holds private data, or could not be read to its end."""
    escalated: int
    """The local answer was below the gate, so the provider answered."""
    failed: int
    """Exchanges with an error status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUse:
    """What the log holds of one task."""

    task_id: str
    exchanges: int
    here: int
    """Answered on this machine."""
    cost_usd: float
    latency_seconds: float | None
    """Mean of the exchanges that have one."""
    private: int
    escalated: int
    last_day: date
    """The newest day (UTC) that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How many requests of one task went to one upstream."""

    task_id: str
    """"" for requests without a task."""
    upstream: str
    """IMPORTED for what was imported; `none` for what nothing answered, as by a policy that refuses."""
    exchanges: int
    private: int


@dataclass(frozen=True, slots=True)
class Position:
    """Of an exchange in the order of the log."""

    created: datetime
    id: str


Where = Literal["", "here", "hosted", "private", "escalated", "failed", "shadow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSearch:
    """Which exchanges a page of the log shows."""

    task_id: str | None = None
    where: Where = ""
    text: str = ""
    """In the request or its answer, letter by letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    exchanges: tuple[Exchange, ...]
    """The newest first."""
    task_of: dict[str, str]
    """Exchange id -> task id, of those that have one."""
    older: Position | None
    """Where the next page begins; None: this is the last one."""
    searched: int | None = None
    """A text was looked for in so many exchanges only, the newest; None: in all that there are."""


class LogFigures(Protocol):
    def days(self, *, since: date | None = None, task_id: str | None = None) -> list[DayFigures]:
        """In the order of days, then upstreams."""
        ...

    def tasks(self) -> dict[str, TaskUse]:
        """By task id."""
        ...

    def ways(self, *, since: date | None = None) -> list[Way]:
        """In the order of tasks, then upstreams."""
        ...

    def page(self, search: LogSearch, *, before: Position | None = None, most: int = 50) -> LogPage:
        """The newest that match and are older than `before`."""
        ...

    def one(self, exchange_id: str) -> tuple[Exchange, str | None] | None:
        """The exchange and its task's id; None: it is not in the log."""
        ...

    def newest(self) -> datetime | None:
        """When the last exchange was made."""
        ...
