"""The loop that watches moves, beside the gateway. It holds nothing that the log does not: killed, it goes on there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from insource.core.errors import InsourceError
from insource.core.evidence import Event
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, JsonObject, Move, Stage
from insource.routing.monitor import Standing, Step, after_change, after_round, promotion
from insource.workflows.asking import Local
from insource.workflows.serve.ask_again import AskAgain
from insource.workflows.serve.conversations import Conversations
from insource.workflows.serve.share import midnight
from insource.workflows.services import Services
from insource.workflows.watch.anchors import ROUND, TRIES, TRY, is_due
from insource.workflows.watch.look import ALARMS, Watch, is_old, watch_of
from insource.workflows.watch.renew import expire, renew
from insource.workflows.watch.tell import TOLD, Webhook, untold

_LOG = logging.getLogger(__name__)
_REMEMBERED = 5_000
"""Exchanges of before a start whose conversations are known."""
_RENEW_DAYS = 7.0
_ROUNDS_READ_DAYS = 1 / 24
_AT_ONCE = 100
_ANCHORS_AT_ONCE = 4
_LATE = timedelta(minutes=15)
"""An exchange is written when it ends, under the time when it began."""


@dataclass(slots=True, kw_only=True)
class Watcher:
    services: Services
    asking: AskAgain
    conversations: Conversations
    webhook: Webhook | None = None
    _watches: dict[str, Watch] = field(default_factory=dict[str, Watch], init=False)
    """By task id."""
    _costs_read: datetime | None = field(default=None, init=False)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._recall_conversations()
            while True:
                await self.tick()
                await asyncio.sleep(self.services.settings.watch_seconds)
        finally:
            if self.webhook is not None:
                await self.webhook.close()

    async def tick(self) -> None:
        """One look at every move; what goes wrong with one keeps no other from being watched."""
        try:
            await self._recall_costs()
            watches = await asyncio.to_thread(self._current)
        except InsourceError as error:
            _LOG.error("The moves could not be read. %s", error)
            return
        for watch in watches:
            try:
                await self._look(watch)
            except InsourceError as error:
                _LOG.error("The move of %s could not be watched. %s", watch.move.task_id, error)
        if self.webhook is not None:
            await self._tell(self.webhook)

    # ------------------------------------------------------------------------------------------- one move

    async def _look(self, watch: Watch) -> None:
        standing = await asyncio.to_thread(watch.standing)
        watched = standing.watched
        if watched.found:
            if watch.move.stage is not Stage.SHADOW:
                await self._ask_round(watch)
            again = await asyncio.to_thread(watch.again)
            novelty = await asyncio.to_thread(watch.novelty, standing)
            await asyncio.to_thread(self._do, watch, after_change(standing, watched, again, novelty=novelty))
            return
        if watch.move.stage is not Stage.SHADOW and await self._round_if_due(watch):
            return
        if await self._renewed(watch) or await asyncio.to_thread(expire, watch):
            return
        await asyncio.to_thread(self._promote, watch, standing)

    async def _round_if_due(self, watch: Watch) -> bool:
        """True: the round found a change."""
        now = self.services.clock.now()
        if watch.rounds_read is not None and not is_old(watch.rounds_read, now, days=_ROUNDS_READ_DAYS):
            return False
        watch.rounds_read = now
        rounds = await asyncio.to_thread(watch.rounds)
        if not is_due(rounds, now, every_days=self.services.settings.anchor_days):
            return False
        await self._ask_round(watch)
        if not rounds.numbers:
            await self._ask_round(watch, hosted=False)  # what the candidate answers twice shows its noise
            return False
        step = after_round(await asyncio.to_thread(watch.again))
        if step is None or watch.events(step.kind):
            return False
        await asyncio.to_thread(self._do, watch, step)
        return True

    async def _ask_round(self, watch: Watch, *, hosted: bool = True) -> None:
        """What is not answered as it first was is asked again."""
        anchors, rounds = await asyncio.to_thread(lambda: (list(watch.anchors()), watch.rounds()))
        number = max(int(self.services.clock.now().timestamp()), *(n + 1 for n in rounds.numbers), 0)
        ids = frozenset(anchor.id for anchor in anchors)
        here, there = ids, ids if hosted else frozenset[str]()
        for attempt in range(TRIES):
            if not here and not there:
                return
            metadata: JsonObject = {ROUND: number, TRY: attempt}
            await self._ask_anchors(
                watch.move,
                here=[anchor for anchor in anchors if anchor.id in here],
                hosted=[anchor for anchor in anchors if anchor.id in there],
                metadata=metadata,
            )
            await asyncio.sleep(2 * self.services.settings.flush_seconds)  # until the last of them is in the log
            here, there = await asyncio.to_thread(_unsettled, watch, number)

    async def _ask_anchors(
        self, move: Move, *, here: list[Exchange], hosted: list[Exchange], metadata: JsonObject
    ) -> None:
        """A few at once: live requests come first."""
        local, task_id = self._local(move), move.task_id
        for some in _pieces(here if local is not None else [], _ANCHORS_AT_ONCE):
            assert local is not None
            await asyncio.gather(*(self.asking.here(past, local, task_id=task_id, metadata=metadata) for past in some))
        for some in _pieces(hosted, _ANCHORS_AT_ONCE):
            await asyncio.gather(*(self.asking.hosted(past, task_id, metadata=metadata) for past in some))

    async def _renewed(self, watch: Watch) -> bool:
        certificate = watch.certificate()
        if certificate is None or watch.move.stage is Stage.SHADOW:
            return False
        now = self.services.clock.now()
        tried = max((e.created for e in watch.events("renewed")), default=certificate.created)
        if not is_old(max(tried, certificate.created), now, days=_RENEW_DAYS):
            return False
        return await renew(watch, self._local(watch.move))

    def _promote(self, watch: Watch, standing: Standing) -> None:
        settings = self.services.settings
        step = promotion(standing, by_itself=settings.promote == "auto")
        if step is None:
            return
        said = [e for e in watch.events(step.kind) if e.figures.get("to") == step.figures.get("to")]
        if not said and (step := promotion(replace(standing, faults=watch.faults()), by_itself=step.stage is not None)):
            self._do(watch, step)

    def _do(self, watch: Watch, step: Step) -> None:
        """The move and the event that says so go together; of two gateways one does it."""
        registry, now = self.services.registry, self.services.clock.now()
        event = Event(
            created=now, task_id=watch.move.task_id, kind=step.kind, text=_sentence(watch, step), figures=step.figures
        )
        if step.stage is None:
            registry.put_event(event)
        else:
            following = replace(watch.move, stage=step.stage, changed=now, reason=step.kind)
            registry.change_move(watch.move, following, event)

    def _local(self, move: Move) -> Local | None:
        return self.asking.state().locals.get(move.candidate_id)

    # ---------------------------------------------------------------------------------------- what is read

    def _current(self) -> list[Watch]:
        """Of every move that is compared, with what was read of it before."""
        found: dict[str, Watch] = {}
        for move in self.services.registry.moves():
            if move.stage not in (Stage.SHADOW, Stage.CANARY, Stage.LIVE):
                continue
            known = self._watches.get(move.task_id)
            same = known is not None and (known.move.candidate_id, known.move.changed) == (
                move.candidate_id,
                move.changed,
            )
            watch = known if same else watch_of(self.services, move)
            if watch is not None:
                watch.move = move
                found[move.task_id] = watch
        self._watches = found
        return list(found.values())

    async def _recall_costs(self) -> None:
        now = self.services.clock.now()
        since = midnight(now) if self._costs_read is None else max(midnight(now), self._costs_read - _LATE)
        read = self.services.exchanges.read
        for kind in ("share_of", "anchor_of"):
            where = ExchangeFilter(mark=kind, since=since)
            self.asking.shares.recall(await asyncio.to_thread(_all, read, where))
        self._costs_read = now

    async def _recall_conversations(self) -> None:
        where = ExchangeFilter(newest=_REMEMBERED)
        found = await asyncio.to_thread(lambda: list(self.services.exchanges.read(where)))
        for some in _pieces(found, _AT_ONCE):
            self.conversations.recall(some)
            await asyncio.sleep(0)

    async def _tell(self, webhook: Webhook) -> None:
        """What could not be told is told at the next look."""
        try:
            for number, event in await asyncio.to_thread(untold, self.services):
                await webhook.tell(event)
                await asyncio.to_thread(self.services.registry.put_fact, TOLD, str(number))
        except InsourceError as error:
            _LOG.warning("An event could not be sent to the webhook. %s", error)


def _unsettled(watch: Watch, number: int) -> tuple[frozenset[str], frozenset[str]]:
    """Here and hosted."""
    compared = watch.compared()
    return compared.unsettled(number, here=True), compared.unsettled(number, here=False)


def _all(read: Callable[[ExchangeFilter], Iterator[Exchange]], where: ExchangeFilter) -> list[Exchange]:
    return list(read(where))


def _pieces(exchanges: list[Exchange], size: int) -> Iterator[list[Exchange]]:
    rest = iter(exchanges)
    while some := list(islice(rest, size)):
        yield some


def _sentence(watch: Watch, step: Step) -> str:
    """With what to do next."""
    task_id, stage = watch.move.task_id, step.figures.get("to")
    following = {
        "suggestion": f" Next: insource move {task_id} --to {watch.move.candidate_id} --stage {stage}",
        "rolled back": f" Next: insource evaluate {task_id}",
        **dict.fromkeys((*ALARMS, "system changed"), f" Next: insource evaluate {task_id}"),
    }
    return f"{watch.name!r}: {step.text}{following.get(step.kind, '')}"
