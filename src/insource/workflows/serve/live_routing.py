"""Moves, pins, matcher and candidates in memory, taken up anew when the registry changes. No request waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from insource.core.errors import EngineFailed, InsourceError
from insource.core.ports import Engine
from insource.core.values import EngineState, JsonObject
from insource.engines.adapters import AdaptedEngine
from insource.routing.decide import RoutingTable
from insource.workflows.asking import Local
from insource.workflows.serve.engine_pool import EnginePool, PooledEngine

_LOG = logging.getLogger(__name__)
_RESTART_PAUSE_SECONDS = 5.0
"""Between two attempts to start a dead engine: an engine that can't start must not be tried at every request."""

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
        self, load: Callable[[], RoutingState], *, revision: Callable[[], int], pool: EnginePool, idle_seconds: float
    ) -> None:
        """`load` and `revision` may block: they run in a thread. An engine of `pool` that the state does not keep warm
        is stopped after `idle_seconds` without use; 0: never."""
        self._load = load
        self._revision = revision
        self._pool = pool
        self._idle_seconds = idle_seconds
        self._current = load()
        self._starts: dict[int, asyncio.Task[None]] = {}
        self._stops: set[asyncio.Task[None]] = set()
        self._tried: dict[int, float] = {}

    @property
    def current(self) -> RoutingState:
        return self._current

    async def refresh(self) -> bool:
        """Takes up a changed registry; True when it was changed. Storage errors leave the old state in force."""
        try:
            if await asyncio.to_thread(self._revision) == self._current.revision:
                return False
            self._current = await asyncio.to_thread(self._load)
        except InsourceError as error:
            _LOG.error("The routing table could not be reloaded; the former one stays. %s", error)
            return False
        self.start_engines()
        return True

    async def watch(self, *, every_seconds: float = 0.5) -> None:
        """Until cancelled."""
        self.start_engines()
        while True:
            await asyncio.sleep(every_seconds)
            await self.refresh()
            self.rest_engines()

    def engines(self) -> list[Engine]:
        return list(_engines_of(self._current.locals.values()))

    def start_engines(self) -> None:
        for engine in self._warm():
            self.wake(engine)

    def rest_engines(self) -> None:
        """Stops what was started for a request, or for a move that is no more, once nobody has used it for a while."""
        warm = self._warm()
        for engine in self._pool.engines():
            if engine not in warm and self._is_idle(engine):
                task = asyncio.create_task(self._stop_idle(engine))
                self._stops.add(task)
                task.add_done_callback(self._stops.discard)

    async def ensure(self, engine: Engine) -> None:
        """Returns once the engine is ready; starts it where it is not. Raises EngineFailed."""
        engine = _process_of(engine)
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
        engine = _process_of(engine)
        if engine.state in (EngineState.STARTING, EngineState.READY) or id(engine) in self._starts:
            return
        now = self._pool.clock.monotonic()
        if now - self._tried.get(id(engine), -_RESTART_PAUSE_SECONDS) < _RESTART_PAUSE_SECONDS:
            return
        self._tried[id(engine)] = now
        task = asyncio.create_task(_start(engine))
        self._starts[id(engine)] = task
        task.add_done_callback(lambda _: self._starts.pop(id(engine), None))

    async def close(self) -> None:
        tasks = [*self._starts.values(), *self._stops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(engine.stop() for engine in {*self._pool.engines(), *self.engines()}))

    def _warm(self) -> set[Engine]:
        """Engines that run all the time."""
        state = self._current
        return _engines_of(local for key, local in state.locals.items() if key in state.warm)

    def _is_idle(self, engine: PooledEngine) -> bool:
        runs = engine.state in (EngineState.READY, EngineState.FAILED)
        return runs and 0 < self._idle_seconds <= engine.idle_seconds

    async def _stop_idle(self, engine: PooledEngine) -> None:
        """Asked once more: a request may have come before this task ran. From here to the engine's state nothing
        else runs."""
        if engine not in self._warm() and self._is_idle(engine):
            self._tried.pop(id(engine), None)
            await engine.stop()


def _engines_of(locals_: Iterable[Local]) -> set[Engine]:
    return {_process_of(local.engine) for local in locals_ if local.engine is not None}


def _process_of(engine: Engine) -> Engine:
    """What is started and stopped: adapters of one model share it."""
    return engine.shared if isinstance(engine, AdaptedEngine) else engine


def _is_ready(engine: Engine) -> bool:
    return engine.state is EngineState.READY


async def _start(engine: Engine) -> None:
    try:
        await engine.start()
    except InsourceError as error:
        _LOG.error("%s did not start. %s", engine.name, error)
