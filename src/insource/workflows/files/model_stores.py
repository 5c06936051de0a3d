"""`insource models list`: every model file on this machine, in our store and in those of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from insource.core.errors import EngineFailed, InsourceError
from insource.core.ports import ModelSource, ModelStore
from insource.core.stored_models import StoredModel
from insource.core.values import EngineSettings, ModelFile
from insource.engines.llamacpp import LlamaCppEngine
from insource.engines.models.cache import ModelCache
from insource.engines.models.stores.headers import Headers
from insource.engines.models.stores.trials import Trial, Trials
from insource.workflows.files.models import find
from insource.workflows.services import Progress, quiet

_TRIAL = EngineSettings(context_tokens=256, slots=1)
"""The least that loads a model: what is asked is whether llama.cpp knows its tensors, not whether it fits."""

Fits = Callable[[StoredModel], bool | None]
"""Whether a model fits this machine; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What the commands on model files work with; joined by `wiring`."""

    cache: ModelCache
    sources: Mapping[str, ModelSource]
    stores: tuple[ModelStore, ...]
    headers: Headers
    trials: Trials
    make_engine: Callable[[ModelFile, EngineSettings], LlamaCppEngine]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    model: StoredModel
    fits: bool | None
    trial: Trial | None
    """None: our engine has not tried it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    models: tuple[ListedModel, ...]
    skipped: tuple[str, ...]
    """Sentences about what is no entry."""


def list_models(models: Models, *, fits: Fits | None = None) -> ModelList:
    """Reads every store; what a header says is remembered, so that the next call opens nothing."""
    found: dict[str, StoredModel] = {}
    skipped: list[str] = []
    for store in models.stores:
        listing = store.read()
        skipped += listing.skipped
        for model in listing.models:
            found.setdefault(model.ref, model)
    return ModelList(
        models=tuple(
            ListedModel(model=model, fits=fits(model) if fits else None, trial=models.trials.of(model.sha256))
            for model in models.headers.describe(found.values())
        ),
        skipped=tuple(skipped),
    )


async def try_models(models: Models, *, progress: Progress = quiet) -> tuple[str, ...]:
    """Loads every model that our engine has not tried and that nothing speaks against. Returns a sentence for each that
    could not be decided."""
    waiting = [
        listed.model
        for listed in list_models(models).models
        if listed.trial is None and listed.model.problem is None and listed.model.kind == "model"
    ]
    undecided: list[str] = []
    for number, model in enumerate(waiting):
        progress("Trying models", number, len(waiting))
        try:
            await try_model(find(model.ref, cache=models.cache, sources=models.sources), models)
        except InsourceError as error:
            undecided.append(f"{model.ref}: {error.message}")
    progress("Trying models", len(waiting), len(waiting))
    return tuple(undecided)


async def try_model(file: ModelFile, models: Models) -> Trial:
    """Whether our engine loads the file, remembered by its hash. Raises EngineFailed when that says nothing about the
    file: not enough memory, or no answer in time."""
    known = models.trials.of(file.sha256)
    if known is not None:
        return known
    engine = models.make_engine(file, _TRIAL)
    try:
        await engine.start()
        trial = Trial(runs=True)
    except EngineFailed:
        refusal = engine.refusal
        if refusal is None:
            raise
        trial = Trial(runs=False, reason=refusal)
    finally:
        await engine.stop()
    models.trials.put(file.sha256, trial)
    return trial
