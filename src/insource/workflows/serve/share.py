"""The permanent share: some requests that were answered here go to the provider too, once the client has its answer.

Never one that a policy or a pin keeps here. What it cost today is known from the log after a start, so the cap of a day
holds across restarts and, with a delay of the watch's pace, across gateways.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from insource.core.errors import InsourceError
from insource.core.ports import Clock, Reply
from insource.core.values import Exchange, Marks, Route
from insource.routing.share import DaySpend, SharePlan, has_budget, is_drawn
from insource.workflows.serve.record_exchange import Ending, Recorder, Underway
from insource.workflows.serve.relay import Relayed, relay

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One more call to the provider for a request that is in the log."""

    underway: Underway
    """Of the exchange that it will be."""
    route: Route
    marks: Marks
    send: Callable[[Underway], Awaitable[Reply]]


class Shares:
    """Owned by one event loop."""

    def __init__(self, plan: SharePlan, clock: Clock, *, most: int = 4, knows_today: bool = True) -> None:
        """`most` at once; what comes meanwhile is skipped, whatever it asks. `knows_today` False: nothing is asked
        before `recall` told what was spent today."""
        self._knows_today = knows_today
        self._plan = plan
        self._clock = clock
        self._most = most
        self._running: set[asyncio.Task[None]] = set()
        self._counted: dict[str, float] = {}
        self._today = DaySpend(day=_day(clock.now()))

    @property
    def today(self) -> DaySpend:
        return self._rolled()

    @property
    def has_budget(self) -> bool:
        return self._knows_today and has_budget(self._plan, self._rolled())

    def draws(self, task_id: str, exchange_id: str) -> bool:
        """Whether the provider is to be asked too; remembers that the task had its share today."""
        if (
            not self.has_budget
            or len(self._running) >= self._most
            or not is_drawn(task_id, exchange_id, plan=self._plan, today=self._rolled())
        ):
            return False
        self._today = self._today.with_task(task_id)
        return True

    def offer(self, second: Second) -> None:
        """Asks in the background; returns at once."""
        task = asyncio.create_task(self.ask(second))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def ask(self, second: Second) -> None:
        """Asks and records, whatever comes of it."""
        underway = second.underway
        underway.recorder = self._counting(underway.recorder)
        try:
            reply = await second.send(underway)
            whole = relay(Relayed(underway=underway, route=second.route, marks=second.marks), reply, headers=())
            await whole.read()
        except InsourceError as error:
            _LOG.warning("The provider was asked a second time (%s) and did not answer. %s", underway.id, error)
            underway.end(second.route, Ending(status=502), second.marks)

    def recall(self, exchanges: Iterable[Exchange]) -> None:
        """Counts what the log holds of today's extra calls: of before a start, and of other gateways."""
        for exchange in exchanges:
            self._count(exchange)
        self._knows_today = True

    async def close(self) -> None:
        """What is still asked is given up, and recorded as such."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _counting(self, recorder: Recorder) -> Recorder:
        def record(exchange: Exchange, body: bytes) -> None:
            self._count(exchange)
            recorder.record(exchange, body)

        return replace(recorder, record=record)

    def _count(self, exchange: Exchange) -> None:
        """Once for each exchange."""
        paid = exchange.route is not None and exchange.route.upstream.startswith("provider:")
        extra = exchange.marks.share_of is not None or exchange.marks.anchor_of is not None
        if not (paid and extra) or _day(exchange.created) != self._rolled().day or exchange.id in self._counted:
            return
        answered = exchange.response is not None or exchange.incomplete is not None
        counted = self._today.with_cost(exchange.cost_usd, answered=answered)
        self._counted[exchange.id] = counted.spent_usd - self._today.spent_usd
        task_id = exchange.route.task_id if exchange.route is not None and exchange.marks.share_of else None
        self._today = counted if task_id is None else counted.with_task(task_id)

    def _rolled(self) -> DaySpend:
        day = _day(self._clock.now())
        if day != self._today.day:
            self._today = self._today.on(day)
            self._counted.clear()
        return self._today


def midnight(now: datetime) -> datetime:
    """When the UTC day began."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _day(moment: datetime) -> int:
    return int(moment.timestamp() // 86_400)
