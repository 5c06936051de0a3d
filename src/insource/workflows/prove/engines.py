"""The engines of an evaluation: one model at a time is ready, started when a recipe first asks it."""

from __future__ import annotations

from insource.core.ports import Engine
from insource.core.values import EngineSettings, Model, ModelFile
from insource.engines.adapters import AdaptedEngine
from insource.workflows.prove.attempts import Running
from insource.workflows.services import Services, candidate_files, engine_settings, model_file


class Engines:
    """An async context: at its end the engine that runs is stopped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: Running | None = None
        self._engine: Engine | None = None
        self._failed: dict[str, Exception] = {}

    @property
    def settings(self) -> EngineSettings:
        return engine_settings(self._services)

    @property
    def file(self) -> ModelFile:
        """Of the configured model. Raises UnknownModel, also where it is behind a server."""
        return model_file(self._services, self._services.settings.model)

    def model(self, ref: str = "") -> Model:
        """Of this reference, "" for the configured one. Raises UnknownModel."""
        return self._services.find_model(ref or self._services.settings.model)

    async def running(self, ref: str = "") -> Running:
        """The model, ready; the one before it is stopped. Raises UnknownModel, EngineFailed; of a model that failed to
        start the same again, without another try."""
        if ref in self._failed:
            raise self._failed[ref]
        model = self.model(ref)
        running = self._running
        if running is not None and (running.model, running.adapter_sha256) == (model, None):
            return running
        try:
            engine = await self._started(self._services.make_engine(model, self.settings))
        except Exception as error:
            self._failed[ref] = error
            raise
        self._running = Running(engine=engine, model=model, settings=self.settings)
        return self._running

    async def adapted(self, adapter_sha256: str, *, file: ModelFile | None = None) -> Running:
        """With an adapter that is kept, over the model or another file of it. Raises StorageError, EngineFailed."""
        base, path = file or self.file, candidate_files(self._services).check(adapter_sha256)
        engine = self._services.make_adapted(base, self.settings, {adapter_sha256: path})
        await self._started(engine)
        adapted = AdaptedEngine(engine, adapter_sha256)
        self._running = Running(engine=adapted, model=base, settings=self.settings, adapter_sha256=adapter_sha256)
        return self._running

    async def _started(self, engine: Engine) -> Engine:
        await self.stop()
        self._engine = engine
        try:
            await engine.start()
        except Exception:
            await self.stop()
            raise
        return engine

    async def stop(self) -> None:
        engine, self._engine, self._running = self._engine, None, None
        if engine is not None:
            await engine.stop()

    async def __aenter__(self) -> Engines:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
