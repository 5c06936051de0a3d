"""Evaluations on a real store, with a scripted engine in the place of a model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from insource.config import Settings
from insource.core.fakes import FakeEngine
from insource.core.hashing import file_sha256
from insource.core.ports import Call, Reply
from insource.core.values import Exchange, ModelFile, Task
from insource.wiring import open_services
from insource.workflows.prove.evaluate import TaskEvaluation, evaluate_task
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.services import Services
from tests.fakes.traffic import engine_that, label_of

KNOWING = engine_that(label_of)
"""An engine that is always right."""


@contextmanager
def evaluating(
    home: Path,
    answer: Callable[[Call], Reply] = KNOWING,
    *,
    recipes: Sequence[str] = ("prompt",),
    **settings: Any,
) -> Generator[tuple[Services, FakeEngine]]:
    """The services of a home folder, and the engine that they ask: what it was asked is in its `calls`."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "model.gguf"
    path.write_bytes(b"GGUF and more")
    file = ModelFile(ref="fake", path=path, sha256=file_sha256(path), size_bytes=13, source="file")
    engine = FakeEngine(answer)
    with open_services(Settings(home=home, **settings)) as opened:
        kept = {name: opened.recipes[name] for name in recipes}
        yield (
            replace(opened, recipes=kept, find_model=lambda ref: file, make_engine=lambda model, settings: engine),
            engine,
        )


def only_task(services: Services) -> Task:
    (task,) = services.registry.tasks()
    return task


async def evaluate(services: Services, exchanges: Iterable[Exchange] = (), **more: Any) -> TaskEvaluation:
    """Of the one task of the log, after these exchanges were added to it."""
    added = services.exchanges.append(exchanges)
    if added or not services.registry.tasks():
        find_tasks(services)
    return await evaluate_task(services, only_task(services), **more)
