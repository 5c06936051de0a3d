"""The engines of a gateway: one for equal model files and settings, each with the time since somebody used it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from insource.core.ports import Call, Clock, Demand, Engine, Reply
from insource.core.values import EngineSettings, EngineState, Model, ModelFile
from insource.engines.adapters import HasAdapters, Scales


class PooledEngine:
    """`core.ports.Engine`: another one, and how long it has been idle."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._answering = 0
        self._used_at_seconds = clock.monotonic()

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def model(self) -> str:
        return self._engine.model

    @property
    def state(self) -> EngineState:
        return self._engine.state

    @property
    def is_here(self) -> bool:
        return self._engine.is_here

    @property
    def honours(self) -> frozenset[Demand]:
        return self._engine.honours

    @property
    def idle_seconds(self) -> float:
        """Since it was started or its last answer ended; 0 while it answers."""
        return 0.0 if self._answering else self._clock.monotonic() - self._used_at_seconds

    async def start(self) -> None:
        await self._engine.start()
        self._used_at_seconds = self._clock.monotonic()

    async def stop(self) -> None:
        await self._engine.stop()

    async def close(self) -> None:
        await self._engine.close()

    async def send(self, call: Call) -> Reply:
        return await self._counted(self._engine.send(call))

    async def _counted(self, sending: Awaitable[Reply]) -> Reply:
        self._answering += 1
        try:
            reply = await sending
        except BaseException:
            self._answered()
            raise
        closed = False

        async def close() -> None:
            nonlocal closed
            if not closed:
                closed = True
                self._answered()
            await reply.close()

        return Reply(status=reply.status, headers=reply.headers, chunks=reply.chunks, close=close)

    def _answered(self) -> None:
        self._answering -= 1
        self._used_at_seconds = self._clock.monotonic()


class PooledAdapters(PooledEngine):
    """`engines.adapters.HasAdapters`: the same of one with adapters."""

    def __init__(self, engine: HasAdapters, clock: Clock) -> None:
        super().__init__(engine, clock)
        self._with_adapters = engine

    @property
    def adapters(self) -> Sequence[str]:
        return self._with_adapters.adapters

    async def send_scaled(self, call: Call, scales: Scales) -> Reply:
        return await self._counted(self._with_adapters.send_scaled(call, scales))


MakeAdapted = Callable[[ModelFile, EngineSettings, Mapping[str, Path]], HasAdapters]
_Key = tuple[str, EngineSettings, tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class EnginePool:
    make: Callable[[Model, EngineSettings], Engine]
    make_adapted: MakeAdapted | None = None
    clock: Clock
    _engines: dict[_Key, PooledEngine] = field(default_factory=dict[_Key, PooledEngine], init=False)

    def get(self, file: Model, settings: EngineSettings) -> PooledEngine:
        """The same engine whichever candidates use it. Not started."""
        key = (file.sha256, settings, ())
        if key not in self._engines:
            self._engines[key] = PooledEngine(self.make(file, settings), self.clock)
        return self._engines[key]

    def adapted(self, file: ModelFile, settings: EngineSettings, adapters: Mapping[str, Path]) -> PooledAdapters:
        """One for all adapters of a model. Adapters can't be added to one that runs: another set is another engine."""
        assert self.make_adapted is not None, "whoever loads candidates with adapters says how their engine is made"
        key = (file.sha256, settings, tuple(sorted(adapters)))
        found = self._engines.get(key)
        if not isinstance(found, PooledAdapters):
            found = PooledAdapters(self.make_adapted(file, settings, adapters), self.clock)
            self._engines[key] = found
        return found

    def engines(self) -> tuple[PooledEngine, ...]:
        return tuple(self._engines.values())
