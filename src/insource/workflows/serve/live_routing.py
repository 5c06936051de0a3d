"""Moves, pins, matcher and candidates in memory, taken up anew when the registry changes. No request waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from insource.core.errors import InsourceError
from insource.core.ports import Clock, Engine
from insource.core.values import EngineState, JsonObject
from insource.routing.decide import RoutingTable
from insource.workflows.serve.answer_locally import Local

_LOG = logging.getLogger(__name__)
_RESTART_PAUSE_SECONDS = 5.0
"""Between two attempts to start a dead engine: an engine that can't start must not be tried at every request."""

_RETIRE_SECONDS = 30.0
"""How long an engine that no move uses any more may finish what it is answering."""

Match = Callable[[JsonObject, str | None], str | None]
"""(request, the task that the application declared) -> task id or None; pure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingState:
    """One consistent view of what the registry holds."""

    revision: int
    table: RoutingTable
    match: Match
    locals: Mapping[str | None, Local]
    """By candidate id; None is the default local model without a recipe. A candidate that can't be loaded is absent."""


class LiveRouting:
    """Holds the state in force; `refresh` replaces it as a whole."""

    def __init__(
        self, load: Callable[[], RoutingState], *, revision: Callable[[], int], clock: Clock, warm: bool = True
    ) -> None:
        """`load` and `revision` may block: they run in a thread. `warm`: start the engines of every new state."""
        self._load = load
        self._revision = revision
        self._clock = clock
        self._warm = warm
        self._current = load()
        self._known: dict[int, Engine] = {}
        self._starts: dict[int, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._tried: dict[int, float] = {}

    @property
    def current(self) -> RoutingState:
        return self._current

    async def refresh(self) -> bool:
        """Takes up a changed registry; True when it was changed. Storage errors leave the old state in force."""
        try:
            if await asyncio.to_thread(self._revision) == self._current.revision:
                return False
            former = self.engines()
            self._current = await asyncio.to_thread(self._load)
        except InsourceError as error:
            _LOG.error("The routing table could not be reloaded; the former one stays. %s", error)
            return False
        self.start_engines()
        self._retire({id(engine): engine for engine in former})
        return True

    async def watch(self, *, every_seconds: float = 0.5) -> None:
        """Until cancelled."""
        self.start_engines()
        while True:
            await asyncio.sleep(every_seconds)
            await self.refresh()

    def engines(self) -> list[Engine]:
        found = {id(local.engine): local.engine for local in self._current.locals.values() if local.engine is not None}
        return list(found.values())

    def start_engines(self) -> None:
        for engine in self.engines():
            self._known[id(engine)] = engine
            if self._warm:
                self.wake(engine)

    def wake(self, engine: Engine) -> None:
        """Starts an engine in the background; at most one attempt at a time, and a pause between two."""
        if engine.state not in (EngineState.STOPPED, EngineState.FAILED) or id(engine) in self._starts:
            return
        now = self._clock.monotonic()
        if now - self._tried.get(id(engine), -_RESTART_PAUSE_SECONDS) < _RESTART_PAUSE_SECONDS:
            return
        self._tried[id(engine)] = now
        task = asyncio.create_task(_start(engine))
        self._starts[id(engine)] = task
        task.add_done_callback(lambda _: self._starts.pop(id(engine), None))

    async def close(self) -> None:
        tasks = [*self._starts.values(), *self._retiring]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engines = {**self._known, **{id(engine): engine for engine in self.engines()}}
        await asyncio.gather(*(engine.stop() for engine in engines.values()))

    def _retire(self, former: Mapping[int, Engine]) -> None:
        in_use = {id(engine) for engine in self.engines()}
        for key, engine in former.items():
            if key not in in_use:
                task = asyncio.create_task(self._stop_unused(engine))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    async def _stop_unused(self, engine: Engine) -> None:
        await asyncio.sleep(_RETIRE_SECONDS)
        if all(engine is not used for used in self.engines()):
            await engine.stop()


async def _start(engine: Engine) -> None:
    try:
        await engine.start()
    except InsourceError as error:
        _LOG.error("%s did not start. %s", engine.name, error)
