"""What a workflow may use: the ports, joined by `wiring`. Passed in whole; never a module global."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from insource.config import Settings
from insource.core.ecosystem import EffectiveLicence
from insource.core.errors import EngineFailed, UnknownModel
from insource.core.evidence import Event
from insource.core.policy import KEEP_HERE, WATCH, Policy
from insource.core.ports import (
    Clock,
    Engine,
    PrivacyDetector,
    Recipe,
    RequestScan,
    Scorer,
    Upstream,
)
from insource.core.stores import EvidenceStore, ExchangeStore, Registry
from insource.core.values import EngineSettings, Exchange, Model, ModelFile
from insource.engines.adapters import HasAdapters
from insource.routing.policy_file import FILE_NAME, read_policy
from insource.store.files import CandidateFiles
from insource.store.writer import WriterHealth

Progress = Callable[[str, int, "int | None"], None]
"""(what, done, total or None): called often; whoever shows it throttles."""

FindLicence = Callable[[str], "EffectiveLicence | None"]
"""The licence of the model of a reference, over its chain where that is known; None: nobody states one."""


def quiet(what: str, done: int, total: int | None) -> None:
    """The progress that nobody watches."""


def _no_adapters(model: ModelFile, settings: EngineSettings, adapters: Mapping[str, Path]) -> HasAdapters:
    raise EngineFailed(
        "The engine here can't load adapters.", next_step="Unset `engine_url`: our own engine loads them."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    clock: Clock
    exchanges: ExchangeStore
    registry: Registry
    evidence: EvidenceStore
    detector: PrivacyDetector
    make_scan: Callable[[], RequestScan]
    """A scan of whole requests by that detector, for one thread at a time; whoever makes it closes it."""
    provider: Upstream
    recipes: Mapping[str, Recipe]
    scorers: Mapping[str, Scorer]
    find_model: Callable[[str], Model]
    """The model for a reference ("" is the default one): a file on disk, or one behind a server (`server:URL#NAME`).
    Raises UnknownModel with the pull command."""
    pull_default_model: Callable[[Progress], ModelFile]
    """The default model's file, downloaded unless it is there; raises DownloadFailed."""
    open_licences: Callable[[], AbstractContextManager[FindLicence]]
    """Until its end it finds licences. What is known of models is opened for the first reference, once for all."""
    make_engine: Callable[[Model, EngineSettings], Engine]
    """A stopped engine for a model."""
    make_adapted: Callable[[ModelFile, EngineSettings, Mapping[str, Path]], HasAdapters] = _no_adapters
    """A stopped engine for a model file with adapters (name -> GGUF) over it; an external one can't."""
    record: Callable[[Exchange], None]
    """Hands an exchange to the batching writer; returns at once, never raises."""
    note: Callable[[Event], None]
    """Hands an event to its writer; returns at once, never raises."""
    note_scan: Callable[[str, tuple[str, ...]], None]
    """(exchange id, kinds of private data) that a scan found after it was recorded; returns at once, never raises."""
    writer_health: Callable[[], WriterHealth]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    policy: Policy
    source: Literal["file", "setting", "store", "default"]
    """Where it comes from: the policy's file, the setting `privacy`, or how an older insource began the store."""


def policy_file(settings: Settings) -> Path:
    return settings.home / FILE_NAME


def policy_in_force(settings: Settings, registry: Registry) -> PolicyInForce:
    """The policy's file; without one the setting; else as the store was begun (an older insource kept private requests
    here); else nothing but watching. Raises BadInput."""
    written = read_policy(policy_file(settings))
    if written is not None:
        return PolicyInForce(policy=written, source="file")
    if settings.privacy:
        return PolicyInForce(policy=KEEP_HERE if settings.privacy == "enforce" else WATCH, source="setting")
    if registry.fact("privacy") == "enforce":
        return PolicyInForce(policy=KEEP_HERE, source="store")
    return PolicyInForce(policy=WATCH, source="default")


def candidate_files(services: Services) -> CandidateFiles:
    return CandidateFiles(services.settings.home)


def engine_settings(services: Services) -> EngineSettings:
    settings = services.settings
    return EngineSettings(
        context_tokens=settings.context_tokens, slots=settings.slots, threads=settings.threads or None
    )


def model_file(services: Services, ref: str) -> ModelFile:
    """The model of a reference where it is a file on this machine. Raises UnknownModel."""
    model = services.find_model(ref)
    if isinstance(model, ModelFile):
        return model
    raise UnknownModel(
        f"{model.ref} is behind a server: there is no file of it here.",
        next_step="Set INSOURCE_MODEL to a model file on this machine.",
    )
