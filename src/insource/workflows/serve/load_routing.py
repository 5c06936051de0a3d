"""What the registry holds, made ready to answer: moves and pins as a table, tasks as a matcher, candidates with their
recipe and engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from insource.core.errors import InsourceError
from insource.core.evidence import Candidate
from insource.core.ports import Engine
from insource.core.values import ModelFile, Move, Stage
from insource.engines.adapters import AdaptedEngine
from insource.evals.certainty import load_certainty
from insource.routing.decide import LOCAL_PREFIX, RoutingTable
from insource.traffic.matcher import compile_matchers
from insource.workflows.asking import Local
from insource.workflows.serve.admission import load_admission
from insource.workflows.serve.engine_pool import EnginePool
from insource.workflows.serve.live_routing import LiveRouting, RoutingState
from insource.workflows.services import Services, candidate_files, engine_settings

_LOG = logging.getLogger(__name__)


def live_routing(services: Services) -> LiveRouting:
    pool = EnginePool(make=services.make_engine, make_adapted=services.make_adapted, clock=services.clock)
    return LiveRouting(
        lambda: load_routing(services, pool),
        revision=services.registry.revision,
        pool=pool,
        idle_seconds=services.settings.engine_idle_seconds,
    )


def load_routing(services: Services, pool: EnginePool) -> RoutingState:
    """A candidate that can't be loaded is left out and said in the log: its requests go to the provider, and the other
    tasks are served as before. Raises StorageError."""
    registry = services.registry
    revision = registry.revision()  # read first: a change made while the rest is read is seen the next time
    moves: dict[str, Move] = {move.task_id: move for move in registry.moves()}
    candidates = {candidate.id: candidate for candidate in registry.candidates()}
    moved = [
        (candidates[move.candidate_id], move)
        for move in moves.values()
        if move.stage is not Stage.ROLLED_BACK and move.candidate_id in candidates
    ]
    locals_: dict[str, Local] = {}
    for candidate, move in moved:
        try:
            locals_[candidate.id] = _load(services, pool, candidate, move=move, moved=[each for each, _ in moved])
        except InsourceError as error:
            _LOG.error("The candidate %s of %s can't be loaded. %s", candidate.id, move.task_id, error)
    warm = {key for key, local in locals_.items() if local.engine is not None}
    private_model = services.settings.private_model
    models = _models(services, pool, private_model)
    if private_model and private_model in models:
        warm.add(LOCAL_PREFIX + private_model)
    everybody = (*locals_.items(), *models.items())
    return RoutingState(
        revision=revision,
        table=RoutingTable(
            moves=moves,
            pinned_tasks=frozenset(pin.task_id for pin in registry.pins()),
            private_model=private_model if private_model in models else None,
            local_models=frozenset(models),
            honours={key: local.honours for key, local in everybody},
            elsewhere=frozenset(
                key for key, local in everybody if local.engine is not None and not local.engine.is_here
            ),
        ),
        match=compile_matchers(registry.tasks()),
        locals={**locals_, **{LOCAL_PREFIX + name: local for name, local in models.items()}},
        warm=frozenset(warm),
    )


def _load(
    services: Services, pool: EnginePool, candidate: Candidate, *, move: Move, moved: Sequence[Candidate]
) -> Local:
    if candidate.made_elsewhere:
        return _stand_in(services, pool, candidate, move=move)
    recipe = services.recipes.get(candidate.recipe)
    if recipe is None:
        raise InsourceError(
            f"The recipe {candidate.recipe!r} is not installed.", next_step="Install the package that provides it."
        )
    fitted = recipe.load(services.registry.artifact(candidate.artifact_sha256))
    admission = load_admission(services.registry, candidate, move)
    certainty = _certainty(services, candidate)
    if candidate.model_ref is None:
        return Local(
            model=candidate.id,
            engine=None,
            fitted=fitted,
            recipe=candidate.recipe,
            honours=recipe.meets,
            not_admitted=admission,
            certainty=certainty,
        )
    file = services.find_model(candidate.model_ref)
    if candidate.model_sha256 not in (None, file.sha256):
        raise InsourceError(
            f"The model file {candidate.model_ref!r} is not the one that was evaluated ({file.sha256[:12]}).",
            next_step="Evaluate the task again with the file that is on disk.",
        )
    settings = candidate.settings or engine_settings(services)
    engine: Engine = pool.get(file, settings)
    if candidate.adapter_sha256 is not None and isinstance(file, ModelFile):
        adapters = _adapters(services, candidate, moved)
        engine = AdaptedEngine(pool.adapted(file, settings, adapters), candidate.adapter_sha256)
    return Local(
        model=file.ref,
        engine=engine,
        fitted=fitted,
        recipe=candidate.recipe,
        streams=recipe.streams,
        honours=recipe.meets | (recipe.honours & engine.honours),
        not_admitted=admission,
        certainty=certainty,
    )


def _stand_in(services: Services, pool: EnginePool, candidate: Candidate, *, move: Move) -> Local:
    """The engine that was found to answer as the file of answers does."""
    if move.engine is None:
        raise InsourceError(
            f"The answers of {candidate.id} were made elsewhere, and nothing here gives such answers.",
            next_step="Move it again and name what runs the model: `--engine server:URL#NAME`.",
        )
    model = services.find_model(move.engine)
    engine = pool.get(model, engine_settings(services))
    return Local(
        model=model.ref,
        engine=engine,
        recipe=candidate.recipe,
        streams=True,
        honours=engine.honours,
        not_admitted=load_admission(services.registry, candidate, move),
    )


def _adapters(services: Services, candidate: Candidate, moved: Sequence[Candidate]) -> dict[str, Path]:
    """Its own and those of the other moves over the same model, by hash. Raises StorageError where its own is missing;
    another that is missing is its own candidate's trouble."""
    files, found = candidate_files(services), dict[str, Path]()
    for each in moved:
        same = (each.model_sha256, each.settings) == (candidate.model_sha256, candidate.settings)
        if each.adapter_sha256 is not None and same:
            try:
                found[each.adapter_sha256] = files.check(each.adapter_sha256)
            except InsourceError:
                if each.adapter_sha256 == candidate.adapter_sha256:
                    raise
    return found


def _certainty(services: Services, candidate: Candidate) -> Callable[[str, float], float] | None:
    sha256 = candidate.terms.certainty_sha256
    return None if sha256 is None else load_certainty(services.registry.artifact(sha256)).sure


def _models(services: Services, pool: EnginePool, private_model: str) -> dict[str, Local]:
    """The models that `local/NAME` may ask for, by name: the default one also as `default`, and the one for private
    requests. One that is not on disk is absent: serving never downloads."""
    found: dict[str, Local] = {}
    for name in dict.fromkeys(("", private_model)):
        try:
            file = services.find_model(name or services.settings.model)
        except InsourceError as error:
            if name:
                _LOG.error("The model for private requests is not there: they are refused. %s", error)
            continue
        engine = pool.get(file, engine_settings(services))
        local = Local(model=file.ref, engine=engine, streams=True, honours=engine.honours)
        short = file.path.stem if isinstance(file, ModelFile) else file.name or "default"
        found |= dict.fromkeys({name or "default", file.ref, short}, local)
    return found
