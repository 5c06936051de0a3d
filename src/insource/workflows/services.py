"""What a workflow may use: the ports, joined by `wiring.py`. Passed in whole; never a module global."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from insource.config import Settings
from insource.core.ports import (
    Clock,
    Engine,
    ExchangeStore,
    ModelSource,
    PrivacyDetector,
    Recipe,
    Registry,
    Scorer,
    Upstream,
)
from insource.core.values import EngineSettings, Exchange, ModelFile
from insource.engines.models.cache import ModelCache
from insource.store.writer import WriterHealth

Progress = Callable[[str, int, "int | None"], None]
"""(what, done, total or None): called often; whoever shows it throttles."""


def quiet(what: str, done: int, total: int | None) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    clock: Clock
    exchanges: ExchangeStore
    registry: Registry
    detector: PrivacyDetector
    provider: Upstream
    recipes: Mapping[str, Recipe]
    scorers: Mapping[str, Scorer]
    sources: Mapping[str, ModelSource]
    model_cache: ModelCache
    find_model: Callable[[str], ModelFile]
    """The model file on disk for a reference ("" is the default model); raises UnknownModel with the pull command."""
    make_engine: Callable[[ModelFile, EngineSettings], Engine]
    """A stopped engine for a model file (or the external one when `engine_url` is set)."""
    record: Callable[[Exchange], None]
    """Hands an exchange to the batching writer; returns at once, never raises."""
    writer_health: Callable[[], WriterHealth]


def engine_settings(services: Services) -> EngineSettings:
    settings = services.settings
    return EngineSettings(
        context_tokens=settings.context_tokens, slots=settings.slots, threads=settings.threads or None
    )
