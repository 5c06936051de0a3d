"""The engines of an evaluation: one model at a time is ready, started when a recipe first asks it."""

from __future__ import annotations

from insource.core.ports import Engine
from insource.workflows.prove.attempts import Running
from insource.workflows.services import Services, engine_settings


class Engines:
    """An async context: at its end the engine that runs is stopped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: Running | None = None
        self._failed: dict[str, Exception] = {}

    async def running(self, ref: str) -> Running:
        """The model of this reference, ready; the one before it is stopped. Raises UnknownModel, EngineFailed; of a
        model that failed to start the same again, without another try."""
        if ref in self._failed:
            raise self._failed[ref]
        services = self._services
        model, settings = services.find_model(ref), engine_settings(services)
        if self._running is not None and self._running.model == model:
            return self._running
        await self.stop()
        engine: Engine = services.make_engine(model, settings)
        try:
            await engine.start()
        except Exception as error:
            self._failed[ref] = error
            await engine.stop()
            raise
        self._running = Running(engine=engine, model=model, settings=settings)
        return self._running

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.engine.stop()

    async def __aenter__(self) -> Engines:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
