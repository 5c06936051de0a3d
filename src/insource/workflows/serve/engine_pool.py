"""The engines of a gateway: one for equal model files and settings, each with the time since somebody used it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from insource.core.ports import Call, Clock, Demand, Engine, Reply
from insource.core.values import EngineSettings, EngineState, Model


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
        self._answering += 1
        try:
            reply = await self._engine.send(call)
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


@dataclass(slots=True, kw_only=True)
class EnginePool:
    make: Callable[[Model, EngineSettings], Engine]
    clock: Clock
    _engines: dict[tuple[str, EngineSettings], PooledEngine] = field(
        default_factory=dict[tuple[str, EngineSettings], PooledEngine], init=False
    )

    def get(self, file: Model, settings: EngineSettings) -> PooledEngine:
        """The same engine whichever candidates use it. Not started."""
        key = (file.sha256, settings)
        if key not in self._engines:
            self._engines[key] = PooledEngine(self.make(file, settings), self.clock)
        return self._engines[key]

    def engines(self) -> tuple[PooledEngine, ...]:
        return tuple(self._engines.values())
