"""Settings -> Services: the only file that names concrete classes. Nothing is opened before it is used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from insource import plugins
from insource.config import Settings, secret, user_home
from insource.core.errors import EngineFailed
from insource.core.ports import Call, Engine, PrivacyDetector, Reply, Upstream
from insource.core.stores import EvidenceStore, ExchangeStore, Registry
from insource.core.values import EngineSettings, Exchange, Model, ModelFile, PrivacySpan, ServedModel, served_model
from insource.store.event_writer import EventWriter
from insource.store.writer import BatchingWriter, WriterHealth
from insource.workflows.services import FindLicence, Progress, Services, policy_in_force

# What takes long to load is imported where it is used: `insource moves` needs a database and nothing else.
if TYPE_CHECKING:
    from insource.engines.llamacpp import LlamaCppEngine
    from insource.engines.models.cache import ModelCache
    from insource.traffic.scan_client import ScanProcess
    from insource.workflows.files.model_stores import Models

_LOG = logging.getLogger(__name__)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def open_models(settings: Settings) -> Models:
    """Model files need no database: `insource models` works before anything else does."""
    from insource.engines.models.cache import ModelCache
    from insource.engines.models.local import FileSource
    from insource.engines.models.notes import Notes
    from insource.engines.models.stores.headers import Headers
    from insource.engines.models.stores.hub_cache import HubCacheStore
    from insource.engines.models.stores.llamacpp import LlamaCppStore
    from insource.engines.models.stores.lmstudio import LMStudioStore
    from insource.engines.models.stores.ollama import OllamaStore
    from insource.engines.models.stores.own_files import OwnFilesStore
    from insource.engines.models.stores.source import StoreSource
    from insource.engines.models.stores.trials import Trials
    from insource.engines.models.wheel import WheelSource
    from insource.workflows.files.model_stores import Models

    cache = ModelCache(settings.model_cache)
    notes = cache.folder / ".locks"
    ollama = [OllamaStore(folder) for folder in settings.ollama_folders]
    llamacpp = [LlamaCppStore(settings.llamacpp_folder)]
    lmstudio = [LMStudioStore(folder) for folder in lmstudio_folders(settings)]
    used = Notes(notes / "insource-used.json")
    sources = (
        _Hub(cache, settings.hub_url),
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


class _Hub:
    """The Hub as a source, loaded with the first download: what is on disk must not cost its client (10 MB)."""

    scheme = "hub"

    def __init__(self, cache: ModelCache, url: str) -> None:
        self._cache = cache
        self._url = url

    def fetch(self, ref: str, *, progress: Callable[[int, int | None], None]) -> ModelFile:
        from insource.engines.models.hub import HubSource

        return HubSource(self._cache, hub_url=self._url).fetch(ref, progress=progress)


def _trial_engine(model: ModelFile, wanted: EngineSettings) -> LlamaCppEngine:
    from insource.engines.llamacpp import LlamaCppEngine

    return LlamaCppEngine(model, wanted, restarts=0)


def lmstudio_folders(settings: Settings) -> tuple[Path, ...]:
    """LM Studio's model folders, the one that it uses first."""
    from insource.engines.models.stores.lmstudio import usual_folders

    return (Path(settings.lmstudio_models),) if settings.lmstudio_models else usual_folders(user_home())


def _teller(what: str) -> Callable[[Exception], None]:
    return lambda error: _LOG.error("%s could not be written yet. %s", what, error)


class _Writer:
    """The batching writer, whose thread starts with the first exchange: most commands record none."""

    def __init__(self, store: ExchangeStore, flush_seconds: float) -> None:
        self._store = store
        self._flush_seconds = flush_seconds
        self._writer: BatchingWriter | None = None

    def record(self, exchange: Exchange) -> None:
        if self._writer is None:
            self._writer = BatchingWriter(
                self._store, flush_seconds=self._flush_seconds, on_error=_teller("An exchange")
            )
        self._writer.record(exchange)

    def note_scan(self, exchange_id: str, kinds: tuple[str, ...]) -> None:
        if self._writer is not None:
            self._writer.note_scan(exchange_id, kinds)

    def health(self) -> WriterHealth:
        if self._writer is None:
            return WriterHealth(written=0, waiting=0, dropped=0, error=None)
        return self._writer.health()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Provider:
    """The hosted service, or the replay of what it said; made with the first call, which most commands never make."""

    def __init__(self, settings: Settings, exchanges: ExchangeStore) -> None:
        self._settings = settings
        self._exchanges = exchanges
        self._opening: asyncio.Task[Upstream] | None = None

    @property
    def name(self) -> str:
        return "provider:replay" if self._settings.provider_replay else "provider:openai"

    async def send(self, call: Call) -> Reply:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        opened = self._opening.result() if self._opening.done() else await asyncio.shield(self._opening)
        return await opened.send(call)

    async def _open(self) -> Upstream:
        settings = self._settings
        if settings.provider_replay:
            from insource.providers.replay import Replay

            return await asyncio.to_thread(lambda: Replay(self._exchanges.read(), latency=settings.replay_latency))
        from insource.providers.openai_compatible import OpenAICompatible
        from insource.wire.client import Timeouts

        timeouts = Timeouts(
            connect_seconds=settings.connect_seconds,
            first_byte_seconds=settings.first_byte_seconds,
            between_chunks_seconds=settings.between_chunks_seconds,
        )
        return OpenAICompatible(settings.provider_url, key=secret(settings.provider_key_env), timeouts=timeouts)

    async def close(self) -> None:
        if self._opening is not None:
            await (await self._opening).close()


class _Detector:
    """The configured detector, loaded with the first scan."""

    def __init__(self, name: str) -> None:
        self._load = cache(lambda: plugins.load("detectors", name))

    @property
    def linear_time(self) -> bool:
        detector: PrivacyDetector = self._load()
        return detector.linear_time

    @property
    def kinds(self) -> frozenset[str] | None:
        """All that it may find; None: it does not say."""
        return getattr(self._load(), "kinds", None)

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        return self._load().scan(text)


def _engine(settings: Settings, model: Model, wanted: EngineSettings) -> Engine:
    from insource.engines.external import ExternalEngine
    from insource.engines.llamacpp import LlamaCppEngine

    if isinstance(model, ServedModel):
        return ExternalEngine(model.url, model=model.name or None, trusted=settings.trusted_engines)
    return LlamaCppEngine(model, wanted, restarts=settings.engine_restarts, start_seconds=settings.engine_start_seconds)


def _adapted(
    settings: Settings, model: ModelFile, wanted: EngineSettings, *, adapters: Mapping[str, Path]
) -> LlamaCppEngine:
    from insource.engines.llamacpp import LlamaCppEngine

    if settings.engine_url:
        raise EngineFailed(
            f"The engine at {settings.engine_url} can't load adapters of ours.",
            next_step="Unset `engine_url`, or serve the exported, merged model there.",
        )
    restarts, start_seconds = settings.engine_restarts, settings.engine_start_seconds
    return LlamaCppEngine(model, wanted, adapters=adapters, restarts=restarts, start_seconds=start_seconds)


@contextmanager
def open_store(settings: Settings) -> Generator[tuple[ExchangeStore, Registry, EvidenceStore]]:
    """Late, with SQLAlchemy: not every command has a store."""
    from insource.store.database import open_database
    from insource.store.evidence import SqlEvidence
    from insource.store.exchanges import SqlExchangeStore
    from insource.store.registry import SqlRegistry

    database = open_database(settings.store_url)
    try:
        yield SqlExchangeStore(database), SqlRegistry(database), SqlEvidence(database)
    finally:
        database.close()


def _scan_process(settings: Settings, registry: Registry) -> ScanProcess:
    from insource.traffic.scan_client import ScanProcess

    return ScanProcess(
        settings.privacy_detector,
        cpu_seconds=settings.scan_cpu_seconds,
        policy=cache(lambda: policy_in_force(settings, registry).policy),
    )


@contextmanager
def open_services(settings: Settings) -> Generator[Services]:
    """Everything a command needs; at the end what was recorded is written and the store is closed."""
    models = cache(lambda: open_models(settings))

    def find_model(ref: str) -> Model:
        from insource.workflows.files.models import find

        if settings.engine_url and ref == settings.model:
            return ServedModel(url=settings.engine_url.rstrip("/").removesuffix("/v1"), name=ref)
        served = served_model(ref)
        if served is not None:
            return served
        return find(ref, cache=models().cache, sources=models().sources)

    @contextmanager
    def open_licences() -> Generator[FindLicence]:
        from insource.wiring_choose import open_ecosystem
        from insource.workflows.choose.licence import licence_in_force

        with ExitStack() as opened:
            ecosystem = cache(lambda: opened.enter_context(open_ecosystem(settings)))
            yield cache(lambda ref: licence_in_force(ref, find_model=find_model, ecosystem=ecosystem()))

    def pull_default_model(progress: Progress) -> ModelFile:
        from insource.workflows.files.models import pull_default

        return pull_default(models().sources, cache=models().cache, progress=progress)

    with (
        open_store(settings) as (exchanges, registry, evidence),
        closing(EventWriter(registry.put_events, on_error=_teller("An event"))) as events,
        closing(_Writer(exchanges, settings.flush_seconds)) as writer,
    ):
        yield Services(
            settings=settings,
            clock=SystemClock(),
            exchanges=exchanges,
            registry=registry,
            evidence=evidence,
            detector=_Detector(settings.privacy_detector),
            make_scan=lambda: _scan_process(settings, registry),
            provider=_Provider(settings, exchanges),
            recipes=plugins.Group("recipes"),
            scorers=plugins.Group("scorers"),
            find_model=find_model,
            pull_default_model=pull_default_model,
            open_licences=open_licences,
            make_engine=lambda model, wanted: _engine(settings, model, wanted),
            make_adapted=lambda model, wanted, adapters: _adapted(settings, model, wanted, adapters=adapters),
            record=writer.record,
            note=events.note,
            note_scan=writer.note_scan,
            writer_health=writer.health,
        )
