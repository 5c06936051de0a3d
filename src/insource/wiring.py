"""Settings -> Services: the only file that names concrete classes. Nothing is opened before it is used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from insource import plugins
from insource.config import Settings, secret, user_home
from insource.core.ports import Call, Catalogue, Engine, ExchangeStore, Registry, Reply, Upstream
from insource.core.values import EngineSettings, Exchange, ModelFile
from insource.engines.models.cache import ModelCache
from insource.engines.models.local import FileSource
from insource.engines.models.notes import Notes
from insource.engines.models.stores.headers import Headers
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.engines.models.stores.llamacpp import LlamaCppStore
from insource.engines.models.stores.lmstudio import LMStudioStore, usual_folders
from insource.engines.models.stores.ollama import OllamaStore
from insource.engines.models.stores.own_files import OwnFilesStore
from insource.engines.models.stores.source import StoreSource
from insource.engines.models.stores.trials import Trials
from insource.engines.models.wheel import WheelSource
from insource.hub.archive import Archive
from insource.hub.snapshot import SnapshotCatalogue
from insource.providers.replay import Replay
from insource.store.writer import BatchingWriter, WriterHealth
from insource.workflows.choose.machine import MachineFolders, find_machine
from insource.workflows.choose.scout import ScoutParts
from insource.workflows.files.models import find
from insource.workflows.services import Services

if TYPE_CHECKING:
    from insource.core.remote import RemoteModel
    from insource.engines.llamacpp import LlamaCppEngine
    from insource.workflows.choose.fit import FitParts
    from insource.workflows.files.model_stores import Fits, Models

_LOG = logging.getLogger(__name__)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def open_models(settings: Settings) -> Models:
    """Model files need no database: `insource models` works before anything else does."""
    # Late, with the clients of the Hub and of engines: a scout needs neither.
    from insource.engines.models.hub import HubSource
    from insource.workflows.files.model_stores import Models

    cache = ModelCache(settings.model_cache)
    notes = cache.folder / ".locks"
    ollama = [OllamaStore(folder) for folder in settings.ollama_folders]
    llamacpp = [LlamaCppStore(settings.llamacpp_folder)]
    lmstudio = [LMStudioStore(folder) for folder in lmstudio_folders(settings)]
    used = Notes(notes / "insource-used.json")
    sources = (
        HubSource(cache, hub_url=settings.hub_url),
        WheelSource(cache),
        FileSource(cache),
        StoreSource("ollama", ollama, notes=used),
        StoreSource("llamacpp", llamacpp, notes=used),
        StoreSource("lmstudio", lmstudio, notes=used),
    )
    return Models(
        cache=cache,
        sources={source.scheme: source for source in sources},
        stores=(HubCacheStore(cache), OwnFilesStore(cache), *llamacpp, *ollama, *lmstudio),
        headers=Headers(notes / "insource-headers.json"),
        trials=Trials(notes / "insource-trials.json"),
        make_engine=_trial_engine,
    )


def _trial_engine(model: ModelFile, wanted: EngineSettings) -> LlamaCppEngine:
    from insource.engines.llamacpp import LlamaCppEngine

    return LlamaCppEngine(model, wanted, restarts=0)


def lmstudio_folders(settings: Settings) -> tuple[Path, ...]:
    """LM Studio's model folders, the one that it uses first."""
    return (Path(settings.lmstudio_models),) if settings.lmstudio_models else usual_folders(user_home())


def _tell(error: Exception) -> None:
    _LOG.error("An exchange could not be written yet. %s", error)


class _Writer:
    """The batching writer, whose thread starts with the first exchange: most commands record none."""

    def __init__(self, store: ExchangeStore, flush_seconds: float) -> None:
        self._store = store
        self._flush_seconds = flush_seconds
        self._writer: BatchingWriter | None = None

    def record(self, exchange: Exchange) -> None:
        if self._writer is None:
            self._writer = BatchingWriter(self._store, flush_seconds=self._flush_seconds, on_error=_tell)
        self._writer.record(exchange)

    def health(self) -> WriterHealth:
        if self._writer is None:
            return WriterHealth(written=0, waiting=0, dropped=0, error=None)
        return self._writer.health()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _DeferredReplay:
    """A replay reads the whole log, so it waits for the first call; most commands make none."""

    name = "provider:replay"

    def __init__(self, exchanges: ExchangeStore, *, latency: bool) -> None:
        self._exchanges = exchanges
        self._latency = latency
        self._opening: asyncio.Task[Replay] | None = None

    async def send(self, call: Call) -> Reply:
        if self._opening is None:
            self._opening = asyncio.create_task(asyncio.to_thread(self._open))
        return await (await asyncio.shield(self._opening)).send(call)

    def _open(self) -> Replay:
        return Replay(self._exchanges.read(), latency=self._latency)

    async def close(self) -> None:
        if self._opening is not None:
            await (await self._opening).close()


def _provider(settings: Settings, exchanges: ExchangeStore) -> Upstream:
    if settings.provider_replay:
        return _DeferredReplay(exchanges, latency=settings.replay_latency)
    from insource.providers.openai_compatible import OpenAICompatible

    return OpenAICompatible(settings.provider_url, key=secret(settings.provider_key_env))


def _engine(settings: Settings, model: ModelFile, wanted: EngineSettings) -> Engine:
    from insource.engines.external import ExternalEngine
    from insource.engines.llamacpp import LlamaCppEngine

    if settings.engine_url:
        return ExternalEngine(settings.engine_url, model=settings.model or None, key=None)
    return LlamaCppEngine(model, wanted, restarts=settings.engine_restarts, start_seconds=settings.engine_start_seconds)


@contextmanager
def _store(settings: Settings) -> Generator[tuple[ExchangeStore, Registry]]:
    """Late, with SQLAlchemy: not every command has a store."""
    from insource.store.database import open_database
    from insource.store.exchanges import SqlExchangeStore
    from insource.store.registry import SqlRegistry

    database = open_database(settings.store_url)
    try:
        yield SqlExchangeStore(database), SqlRegistry(database)
    finally:
        database.close()


@contextmanager
def open_scout(settings: Settings) -> Generator[ScoutParts]:
    """What a scout reads. Where no store was made yet none is made: then nothing was recorded or measured here."""
    folders = MachineFolders(home=settings.home, models=settings.model_cache)
    with open_catalogue(settings) as catalogue:
        parts = ScoutParts(
            settings=settings,
            catalogue=catalogue,
            find_machine=lambda text: find_machine(text, folders, clock=SystemClock()),
            registry=None,
            exchanges=None,
        )
        if not settings.has_store:
            yield parts
            return
        with _store(settings) as (exchanges, registry):
            yield replace(parts, exchanges=exchanges, registry=registry)


@contextmanager
def open_catalogue(settings: Settings) -> Generator[Catalogue]:
    """The one that is named; else what `insource hub sync` fetched whole; else the shipped one."""
    shipped = SnapshotCatalogue(Path(settings.catalogue) if settings.catalogue else None)
    archive = Archive(settings.home / "hub")
    if settings.catalogue or not any(one.whole for one in archive.snapshots()):
        yield shipped
        return
    from insource.hub.archive_catalogue import ArchiveCatalogue  # late, with DuckDB
    from insource.hub.prepared import open_prepared

    connection, as_of = open_prepared(archive, files=True)
    with connection:
        yield ArchiveCatalogue(connection, as_of=as_of, shipped=shipped)


@contextmanager
def open_fit(settings: Settings) -> Generator[FitParts]:
    """What a fit reads. No store is made where there is none."""
    from insource.fit.values import RunSettings
    from insource.workflows.choose.fit import FitParts
    from insource.workflows.choose.stored_header import stored_header
    from insource.workflows.choose.understand_model import ModelFinder
    from insource.workflows.files.stored import find_stored

    models = open_models(settings)
    folders = MachineFolders(home=settings.home, models=settings.model_cache)

    def read_remote(ref: str) -> RemoteModel:
        from insource.engines.models.remote import read_remote  # late, with the Hub's client

        return read_remote(ref, hub_url=settings.hub_url)

    parts = FitParts(
        finder=ModelFinder(
            find_stored=lambda ref: find_stored(ref, models),
            read_header=stored_header,
            read_remote=read_remote,
            catalogue=SnapshotCatalogue(Path(settings.catalogue) if settings.catalogue else None),
        ),
        find_machine=lambda text: find_machine(text, folders, clock=SystemClock(), brief=True),
        exchanges=None,
        registry=None,
        engine_run=RunSettings(context_tokens=settings.context_tokens, slots=settings.slots),
    )
    if not settings.has_store:
        yield parts
        return
    with _store(settings) as (exchanges, registry):
        yield replace(parts, exchanges=exchanges, registry=registry)


def open_fits(settings: Settings) -> Fits:
    """Whether a model on disk fits this machine as the settings would run it."""
    from insource.fit.values import RunSettings
    from insource.workflows.choose.fit import fits_of

    folders = MachineFolders(home=settings.home, models=settings.model_cache)
    run = RunSettings(context_tokens=settings.context_tokens, slots=settings.slots)
    return fits_of(find_machine("here", folders, clock=SystemClock()), run)


@contextmanager
def open_services(settings: Settings) -> Generator[Services]:
    """Everything a command needs; at the end what was recorded is written and the store is closed."""
    with _store(settings) as (exchanges, registry), closing(_Writer(exchanges, settings.flush_seconds)) as writer:
        models = open_models(settings)
        yield Services(
            settings=settings,
            clock=SystemClock(),
            exchanges=exchanges,
            registry=registry,
            detector=plugins.load("detectors", settings.privacy_detector),
            provider=_provider(settings, exchanges),
            recipes={name: plugins.load("recipes", name) for name in plugins.names("recipes")},
            scorers={name: plugins.load("scorers", name) for name in plugins.names("scorers")},
            sources=models.sources,
            model_cache=models.cache,
            find_model=lambda ref: find(ref, cache=models.cache, sources=models.sources),
            make_engine=lambda model, wanted: _engine(settings, model, wanted),
            record=writer.record,
            writer_health=writer.health,
        )
