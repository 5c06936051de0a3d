"""A candidate of a recipe that trains: trained in a folder that outlives a kill, compared with what was trained, kept.

The training runs in a thread that watches a process of its own; an interrupt ends it, and the next call goes on from
its last checkpoint.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

from insource.adapt.quantize.convert import widen
from insource.core.cores import usable_cores
from insource.core.errors import BadInput, InsourceError, TrainingFailed
from insource.core.hashing import content_address, file_sha256
from insource.core.ports import Learnt, Recipe, Trained, Workspace
from insource.core.values import ModelFile
from insource.evals.comparison import Trial
from insource.workflows.prove.attempts import Attempt, Contest, new_attempt, taught
from insource.workflows.prove.evaluate import Engines, attempt_of
from insource.workflows.services import Progress, candidate_files

_TRAINING_SHARE = 0.6
"""Of the time that is left; the rest is for its answers."""


async def trained_attempt(
    contest: Contest, recipe: Recipe, engines: Engines, *, most_examples: int | None
) -> Attempt | Trial:
    """The standing candidate, or a new one. Raises UsageError where the extra is missing."""
    standing = await attempt_of(contest, recipe, engines)
    if standing is not None:
        return standing
    files, name = candidate_files(contest.services), _name(contest, recipe, engines.file)
    folder = files.workspace(name)
    workspace = Workspace(
        folder=folder / "training",
        base=engines.file,
        threads=usable_cores(),
        budget_seconds=_seconds(contest),
        most_examples=most_examples,
        progress=contest.progress,
    )
    try:
        learnt = await _trained(contest, recipe, workspace)
    except BadInput as error:
        files.finished(name)
        return Trial(recipe=recipe.name, end="refused", reason=error.message)
    except TrainingFailed as error:
        reason = f"{error.message.rstrip('.')}. {error.next_step}"
        return Trial(recipe=recipe.name, model=engines.file.ref, end="unfinished", reason=reason)
    assert learnt.trained is not None, f"the recipe {recipe.name} trains"
    adapter_sha256 = files.keep(learnt.trained.adapter, log=learnt.trained.log)
    refusal = await _refusal(contest, learnt.trained, engines, adapter_sha256=adapter_sha256, folder=folder)
    if refusal is not None:
        return Trial(recipe=recipe.name, model=engines.file.ref, end="refused", reason=refusal)
    made = await new_attempt(contest, recipe, learnt, running=await engines.adapted(adapter_sha256))
    files.finished(name)
    return made


def _name(contest: Contest, recipe: Recipe, base: ModelFile) -> str:
    """Of its folder: the same after a kill. What depends on more starts the training anew by itself."""
    digest = content_address([contest.log.task.id, recipe.name, base.sha256])
    return f"{recipe.name}-{digest.removeprefix('sha256:')[:12]}"


def _seconds(contest: Contest) -> float | None:
    budget = contest.budget
    return None if budget.until is None else max(1.0, _TRAINING_SHARE * (budget.until - budget.now()))


async def _trained(contest: Contest, recipe: Recipe, workspace: Workspace) -> Learnt:
    stop = threading.Event()
    watched = replace(workspace, progress=_stopping(workspace.progress, stop))
    output, examples, seed = contest.log.task.output, taught(contest), contest.services.settings.seed
    work = asyncio.create_task(asyncio.to_thread(lambda: recipe.fit(output, examples, seed=seed, workspace=watched)))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        work.exception()
        raise


class _Stopped(Exception):
    pass


def _stopping(progress: Progress, stop: threading.Event) -> Progress:
    def told(what: str, done: int, total: int | None) -> None:
        if stop.is_set():
            raise _Stopped
        progress(what, done, total)

    return told


async def _refusal(
    contest: Contest, trained: Trained, engines: Engines, *, adapter_sha256: str, folder: Path
) -> str | None:
    """Why the adapter, served over the model in 16 bit, is not what was trained."""
    contest.progress(f"Comparing the served with the trained model: {contest.log.task.name}", 0, None)
    wide = widen(engines.file.path, folder / "f16.gguf")
    file = ModelFile(
        ref=f"{engines.file.ref} in 16 bit",
        path=wide.path,
        sha256=file_sha256(wide.path),
        size_bytes=wide.size_bytes,
        source="file",
    )
    try:
        async with Engines(contest.services) as own:
            running = await own.adapted(adapter_sha256, file=file)
            return await trained.differs(running.engine)
    except InsourceError as error:
        return f"What is served could not be compared with what was trained: {error.message}"
