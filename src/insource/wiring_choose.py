"""What choosing a model reads: the machine, the catalogue, the store if there is one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from insource.config import Settings
from insource.core.ports import Catalogue
from insource.wiring import SystemClock, open_models, open_store

# What takes long to load is imported where it is used.
if TYPE_CHECKING:
    from insource.core.ecosystem import Ecosystem
    from insource.core.ecosystem_store import EcosystemStore
    from insource.core.hardware import Machine
    from insource.core.remote import RemoteModel
    from insource.workflows.choose.fit import FitParts
    from insource.workflows.choose.machine import MachineFolders
    from insource.workflows.choose.scout import ScoutParts
    from insource.workflows.choose.understand_model import ModelFinder
    from insource.workflows.files.model_stores import Fits


def _machine_folders(settings: Settings) -> MachineFolders:
    from insource.workflows.choose.machine import MachineFolders

    return MachineFolders(home=settings.home, models=settings.model_cache)


@contextmanager
def open_scout(settings: Settings) -> Generator[ScoutParts]:
    """What a scout reads. Where no store was made yet none is made: then nothing was recorded or measured here."""
    from insource.workflows.choose.machine import find_machine
    from insource.workflows.choose.scout import ScoutParts

    folders = _machine_folders(settings)
    with open_catalogue(settings) as catalogue:
        parts = ScoutParts(
            settings=settings,
            catalogue=catalogue,
            # Once for all the tasks of a plan, because a brief measurement comes out a little different each time.
            find_machine=cache(lambda text: find_machine(text, folders, clock=SystemClock(), brief=True)),
            registry=None,
            exchanges=None,
            evidence=None,
        )
        if not settings.has_store:
            yield parts
            return
        with open_store(settings) as (exchanges, registry, evidence):
            yield replace(parts, exchanges=exchanges, registry=registry, evidence=evidence)


@contextmanager
def open_catalogue(settings: Settings) -> Generator[Catalogue]:
    """The one that is named; else what `insource hub sync` fetched; else the shipped one."""
    from insource.hub.archive import Archive
    from insource.hub.snapshot import SnapshotCatalogue

    shipped = SnapshotCatalogue(Path(settings.catalogue) if settings.catalogue else None)
    archive = Archive(settings.home / "hub")
    if settings.catalogue or not archive.snapshots():
        yield shipped
        return
    from insource.hub.archive_catalogue import open_archive_catalogue  # late, with its database

    with open_archive_catalogue(archive, shipped=shipped) as catalogue:
        yield catalogue


@contextmanager
def open_ecosystem(settings: Settings, path: Path | None = None, *, files: bool = False) -> Generator[Ecosystem]:
    """Of a file of models; else of the newest snapshots; else the shipped one. With `files`, files tell parents too."""
    from insource.hub.archive import Archive
    from insource.hub.shipped import ShippedEcosystem
    from insource.hub.snapshot import SnapshotCatalogue

    archive = Archive(settings.home / "hub")
    if path is None and not archive.snapshots():
        yield ShippedEcosystem(SnapshotCatalogue(), archive)
        return
    from insource.hub.ecosystem import open_archive, open_file  # late, with its database

    opened = open_archive(archive, files=files) if path is None else open_file(path, root=archive.root, files=files)
    with opened as ecosystem:
        yield ecosystem


def ecosystem_store(settings: Settings) -> EcosystemStore:
    from insource.hub.store import HubStore
    from insource.hub.sync import HubPlace

    return HubStore(HubPlace(home=settings.home, hub_url=settings.hub_url, today=SystemClock().now().date()))


def model_finder(settings: Settings) -> ModelFinder:
    from insource.engines.allocation import measure_allocation
    from insource.hub.snapshot import SnapshotCatalogue
    from insource.workflows.choose.stored_header import stored_header
    from insource.workflows.choose.understand_model import ModelFinder
    from insource.workflows.files.stored import find_stored

    models = open_models(settings)

    def read_remote(ref: str) -> RemoteModel:
        from insource.engines.models.remote import read_remote  # late, with the Hub's client

        return read_remote(ref, hub_url=settings.hub_url)

    return ModelFinder(
        find_stored=lambda ref: find_stored(ref, models),
        read_header=stored_header,
        read_remote=read_remote,
        catalogue=SnapshotCatalogue(Path(settings.catalogue) if settings.catalogue else None),
        measure=measure_allocation,
    )


@contextmanager
def open_fit(settings: Settings) -> Generator[FitParts]:
    """What a fit reads. No store is made where there is none."""
    from insource.fit.values import RunSettings
    from insource.workflows.choose.fit import FitParts
    from insource.workflows.choose.machine import find_machine

    folders = _machine_folders(settings)
    parts = FitParts(
        finder=model_finder(settings),
        find_machine=lambda text: find_machine(text, folders, clock=SystemClock(), brief=True),
        exchanges=None,
        registry=None,
        engine_run=RunSettings(context_tokens=settings.context_tokens, slots=settings.slots),
    )
    if not settings.has_store:
        yield parts
        return
    with open_store(settings) as (exchanges, registry, _):
        yield replace(parts, exchanges=exchanges, registry=registry)


def named_machine(settings: Settings, text: str) -> Machine:
    """Raises UsageError, BadInput."""
    from insource.workflows.choose.machine import find_machine

    return find_machine(text, _machine_folders(settings), clock=SystemClock())


def open_fits(settings: Settings) -> Fits:
    """Whether a model on disk fits this machine as the settings would run it."""
    from insource.fit.values import RunSettings
    from insource.workflows.choose.fit import fits_of

    run = RunSettings(context_tokens=settings.context_tokens, slots=settings.slots)
    return fits_of(named_machine(settings, "here"), run)
