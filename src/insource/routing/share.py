"""Which requests that were answered here the provider is asked too, and what that may cost a day. Pure.

The draw depends on the exchange's id alone, so it says nothing about the request. A task of which nothing was asked
today takes the next request that comes: a rare task would else never be watched.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from insource.core.hashing import unit_interval

UNPRICED_USD = 0.05
"""What an answer counts whose price nobody knows: a cap that does not see it would be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePlan:
    share: float
    """Of the covered requests of a task; 0: nothing is asked a second time, and nothing watches the moves."""
    usd_per_day: float
    """Of shares and anchors together, per UTC day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySpend:
    """What was asked a second time on one day, and what it cost."""

    day: int
    """Days since 1970 (UTC)."""
    spent_usd: float = 0.0
    asked: frozenset[str] = field(default_factory=frozenset[str])
    """Tasks with a share today."""

    def on(self, day: int) -> DaySpend:
        return self if day == self.day else DaySpend(day=day)

    def with_task(self, task_id: str) -> DaySpend:
        return self if task_id in self.asked else replace(self, asked=self.asked | {task_id})

    def with_cost(self, usd: float | None, *, answered: bool) -> DaySpend:
        """An answer that was cut may have been charged; one that never began was not."""
        cost = usd if usd is not None else (UNPRICED_USD if answered else 0.0)
        return replace(self, spent_usd=self.spent_usd + cost)


def is_drawn(task_id: str, exchange_id: str, *, plan: SharePlan, today: DaySpend) -> bool:
    """Whether the provider is asked too, for a request that may go there."""
    if plan.share <= 0 or not has_budget(plan, today):
        return False
    return task_id not in today.asked or unit_interval("share", task_id, exchange_id) < plan.share


def has_budget(plan: SharePlan, today: DaySpend) -> bool:
    return today.spent_usd < plan.usd_per_day
