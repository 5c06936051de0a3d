"""Moves, pins, matcher and candidates in memory, taken up anew when the registry changes. No request waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from insource.core.errors import EngineFailed, InsourceError
from insource.core.ports import Clock, Engine
from insource.core.values import EngineState, JsonObject
from insource.routing.decide import RoutingTable
from insource.workflows.asking import Local

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
    locals: Mapping[str, Local]
    """By candidate id, and by `local/NAME` models without a recipe. What can't be loaded is absent."""
    warm: frozenset[str] = frozenset()
    """Keys of `locals` whose engines run all the time; those of others start when they are asked for."""


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
        self._retire({id(engine): engine for engine in former if id(engine) in self._known})
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
        state = self._current
        for key, local in state.locals.items():
            if local.engine is not None and key in state.warm and self._warm:
                self.wake(local.engine)

    async def ensure(self, engine: Engine) -> None:
        """Returns once the engine is ready; starts it where it is not. Raises EngineFailed."""
        if _is_ready(engine):
            return
        self.wake(engine)
        starting = self._starts.get(id(engine))
        if starting is not None:
            await asyncio.shield(starting)
        if not _is_ready(engine):
            raise EngineFailed(
                f"The engine for {engine.model!r} is {engine.state}, not ready.",
                next_step="Try again in a few seconds; `insource doctor` names what is wrong.",
            )

    def wake(self, engine: Engine) -> None:
        """Starts an engine in the background; at most one attempt at a time, and a pause between two."""
        if engine.state not in (EngineState.STOPPED, EngineState.FAILED) or id(engine) in self._starts:
            return
        now = self._clock.monotonic()
        if now - self._tried.get(id(engine), -_RESTART_PAUSE_SECONDS) < _RESTART_PAUSE_SECONDS:
            return
        self._tried[id(engine)] = now
        self._known[id(engine)] = engine
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


def _is_ready(engine: Engine) -> bool:
    return engine.state is EngineState.READY


async def _start(engine: Engine) -> None:
    try:
        await engine.start()
    except InsourceError as error:
        _LOG.error("%s did not start. %s", engine.name, error)
