"""One recorded request asked of a candidate again, to look at. Nothing is recorded and nothing counts as evidence."""

from __future__ import annotations

from insource.core.errors import UsageError
from insource.core.evidence import Candidate
from insource.core.ports import Ask, LocalAnswer
from insource.core.values import Exchange, ModelFile
from insource.workflows.asking import Local, ask_engine, prepare
from insource.workflows.prove.engines import Engines
from insource.workflows.services import Services


async def replay(services: Services, exchange: Exchange, candidate: Candidate) -> LocalAnswer:
    """Raises UsageError for what can't be asked here, EngineFailed."""
    recipe = services.recipes.get(candidate.recipe)
    if recipe is None:
        raise UsageError(
            f"The recipe {candidate.recipe!r} is not installed.", next_step="Install the package that provides it."
        )
    fitted = recipe.load(services.registry.artifact(candidate.artifact_sha256))
    if candidate.model_ref is None:
        answer = prepare(Local(model=candidate.id, engine=None, fitted=fitted, recipe=recipe.name), exchange.request)
        if isinstance(answer, LocalAnswer):
            return answer
        raise UsageError(f"{candidate.id} names no model to ask.", next_step="Evaluate its task again.")
    async with Engines(services) as engines:
        if candidate.adapter_sha256 is None:
            running = await engines.running(candidate.model_ref)
        else:
            file = engines.model(candidate.model_ref)
            running = await engines.adapted(
                candidate.adapter_sha256, file=file if isinstance(file, ModelFile) else None
            )
        if exchange.private_kinds != () and not running.engine.is_here:
            raise UsageError(
                "This request may hold private data, and the engine is on another machine.",
                next_step="Name its host in `trusted_engines` if it may see such requests.",
            )
        local = Local(model=running.model.ref, engine=running.engine, fitted=fitted, recipe=recipe.name)
        asked = prepare(local, exchange.request)
        return await ask_engine(local, asked) if isinstance(asked, Ask) else asked
