"""From a real registry to a routing state: what is loaded, what is left out, and which engines are shared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from insource.config import Settings
from insource.core.errors import UnknownModel
from insource.core.evidence import Candidate
from insource.core.fakes import FakeClock, FakeEngine
from insource.core.ports import Demand
from insource.core.values import (
    EngineSettings,
    EngineState,
    Matcher,
    ModelFile,
    Move,
    OutputKind,
    OutputProfile,
    Pin,
    Stage,
    Task,
)
from insource.store.database import open_database
from insource.store.registry import SqlRegistry
from insource.workflows.serve.load_routing import EnginePool, live_routing, load_routing
from insource.workflows.services import Services
from tests.fakes.serving import FixedRecipe, request, says

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NO_SETTINGS: dict[str, Any] = {}
FILES = {
    name: ModelFile(
        ref=f"{name or 'default'}:Q4",
        path=Path(f"{name or 'x'}.gguf"),
        sha256=f"sha-{name}",
        size_bytes=1,
        source="test",
    )
    for name in ("", "other")
}


class FixedRecipes:
    streams = True
    honours: frozenset[Demand] = frozenset({"tools", "images"})

    def load(self, artifact: bytes) -> FixedRecipe:
        return FixedRecipe()


def engine_of(file: ModelFile, settings: EngineSettings) -> FakeEngine:
    engine = FakeEngine(says(file.ref))
    engine.honours = frozenset({"tools", "log probabilities"})
    return engine


def find_model(ref: str) -> ModelFile:
    if ref not in FILES:
        raise UnknownModel(f"There is no {ref!r}.", next_step="Pull it.")
    return FILES[ref]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    fake = SimpleNamespace(
        settings=Settings(**NO_SETTINGS),
        clock=FakeClock(),
        registry=SqlRegistry(database),
        recipes={"prompt": FixedRecipes()},
        find_model=find_model,
        make_engine=engine_of,
    )
    yield cast("Services", fake)
    database.close()


def with_settings(services: Services, **settings: Any) -> Services:
    changed = SimpleNamespace(**{**vars(services), "settings": Settings(**settings)})
    return cast("Services", changed)


def put(services: Services, task_id: str, *, stage: Stage = Stage.LIVE, **changes: Any) -> Candidate:
    sha = services.registry.put_artifact(b"{}")
    values: dict[str, Any] = {
        "id": f"cand-{task_id}",
        "task_id": task_id,
        "recipe": "prompt",
        "artifact_sha256": sha,
        "model_ref": "",
        "model_sha256": "sha-",
        "settings": EngineSettings(),
        **changes,
    }
    candidate = Candidate(**values)
    services.registry.put_candidate(candidate)
    services.registry.put_move(
        Move(
            task_id=task_id,
            candidate_id=candidate.id,
            stage=stage,
            gate=0.5,
            certificate_id=None,
            canary_share=0.1,
            changed=WHEN,
            reason="test",
        )
    )
    return candidate


def test_moves_pins_tasks_and_candidates_are_loaded(services: Services) -> None:
    task = Task(
        id="task-a",
        name="a",
        matchers=(Matcher(kind="declared", value="triage"),),
        output=OutputProfile(kind=OutputKind.LABEL),
    )
    services.registry.put_tasks([task])
    candidate = put(services, "task-a")
    services.registry.put_pin(Pin(task_id="task-b", changed=WHEN, reason="test"))
    state = load_routing(services, EnginePool(make=services.make_engine))
    assert state.table.moves["task-a"].candidate_id == candidate.id
    assert state.table.pinned_tasks == {"task-b"}
    assert (state.table.private_model, state.table.local_models) == (None, {"default", "default:Q4", "x"})
    assert state.match(request(), "triage") == "task-a"
    assert state.match(request(), None) is None
    local = state.locals[candidate.id]
    assert (local.model, local.streams) == ("default:Q4", True)
    assert local.engine is state.locals["local/default"].engine  # equal file and settings: one process


def test_what_can_be_honoured_is_what_recipe_and_engine_both_hand_on(services: Services) -> None:
    candidate = put(services, "task-a")
    state = load_routing(services, EnginePool(make=services.make_engine))
    assert state.table.honours[candidate.id] == {"tools"}
    assert state.table.honours["default"] == {"tools", "log probabilities"}, "without a recipe: what the engine can"


def test_only_engines_of_moves_and_of_the_private_model_run_all_the_time(services: Services) -> None:
    put(services, "task-a", model_ref="other", model_sha256="sha-other")
    state = load_routing(services, EnginePool(make=services.make_engine))
    assert state.warm == {"cand-task-a"}, "`local/NAME` starts when it is asked for"
    named = with_settings(services, private_model="other")
    state = load_routing(named, EnginePool(make=services.make_engine))
    assert state.table.private_model == "other"
    assert state.warm == {"cand-task-a", "local/other"}
    assert state.locals["local/other"].engine is state.locals["local/other:Q4"].engine
    assert {"other", "other:Q4", "default"} <= state.table.local_models


def test_a_private_model_that_is_not_on_disk_is_no_private_model(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    state = load_routing(with_settings(services, private_model="gone"), EnginePool(make=services.make_engine))
    assert (state.table.private_model, state.warm) == (None, frozenset())
    assert "they are refused" in caplog.text


def test_without_any_model_on_disk_there_is_no_local_name(services: Services) -> None:
    without = with_settings(services, model="not on disk")
    state = load_routing(without, EnginePool(make=services.make_engine))
    assert (state.locals, state.table.local_models) == ({}, frozenset())


def test_what_cannot_be_loaded_is_left_out_and_the_rest_serves(services: Services) -> None:
    put(services, "task-a", recipe="from a plugin that is gone")
    put(services, "task-b", model_ref="not on disk")
    put(services, "task-c", model_sha256="sha-of-another-file")
    put(services, "task-d", stage=Stage.ROLLED_BACK)
    put(services, "task-e", model_ref="other", model_sha256="sha-other")
    put(services, "task-f", model_ref=None, model_sha256=None, settings=None)
    state = load_routing(services, EnginePool(make=services.make_engine))
    candidates = {key for key in state.locals if not key.startswith("local/")}
    assert candidates == {"cand-task-e", "cand-task-f"}
    assert state.locals["cand-task-e"].engine is not state.locals["local/default"].engine
    assert state.locals["cand-task-f"].upstream == "engine:prompt"
    assert len(state.table.moves) == 6


async def test_a_new_move_starts_its_engine_and_closing_stops_all(services: Services) -> None:
    routing = live_routing(services)
    routing.start_engines()
    put(services, "task-e", model_ref="other", model_sha256="sha-other")
    assert await routing.refresh()
    engines = routing.engines()
    for engine in engines:
        await engine.start()  # idempotent; the background start may not have run yet
    services.registry.put_move(
        Move(
            task_id="task-e",
            candidate_id="cand-task-e",
            stage=Stage.ROLLED_BACK,
            gate=0.5,
            certificate_id=None,
            canary_share=0.1,
            changed=WHEN,
            reason="test",
        )
    )
    assert await routing.refresh()
    assert len(routing.engines()) == len(engines) - 1
    await routing.close()
    assert {engine.state for engine in engines} == {EngineState.STOPPED}
