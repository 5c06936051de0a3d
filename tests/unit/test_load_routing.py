"""From a real registry to a routing state: what is loaded, what is left out, and which engines are shared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from insource.config import Settings
from insource.core.errors import EngineFailed, UnknownModel
from insource.core.evidence import Candidate
from insource.core.fakes import FakeClock, FakeEngine
from insource.core.ports import Call, Demand, Engine, Reply
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
from insource.evals.terms import whole_terms
from insource.store.database import open_database
from insource.store.files import CandidateFiles
from insource.store.registry import SqlRegistry
from insource.workflows.serve.engine_pool import EnginePool
from insource.workflows.serve.live_routing import LiveRouting
from insource.workflows.serve.load_routing import live_routing, load_routing
from insource.workflows.services import Services
from tests.fakes.evidence import LABELS, event
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
    meets: frozenset[Demand] = frozenset()

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
        make_adapted=None,
    )
    yield cast("Services", fake)
    database.close()


def with_settings(services: Services, **settings: Any) -> Services:
    changed = SimpleNamespace(**{**vars(services), "settings": Settings(**settings)})
    return cast("Services", changed)


def pool_of(services: Services) -> EnginePool:
    return EnginePool(make=services.make_engine, clock=services.clock)


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
        "criterion": LABELS,
        "terms": whole_terms(),
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
        ),
        event(),
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
    state = load_routing(services, pool_of(services))
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
    state = load_routing(services, pool_of(services))
    assert state.table.honours[candidate.id] == {"tools"}
    assert state.table.honours["default"] == {"tools", "log probabilities"}, "without a recipe: what the engine can"


def test_only_engines_of_moves_and_of_the_private_model_run_all_the_time(services: Services) -> None:
    put(services, "task-a", model_ref="other", model_sha256="sha-other")
    state = load_routing(services, pool_of(services))
    assert state.warm == {"cand-task-a"}, "`local/NAME` starts when it is asked for"
    named = with_settings(services, private_model="other")
    state = load_routing(named, pool_of(services))
    assert state.table.private_model == "other"
    assert state.warm == {"cand-task-a", "local/other"}
    assert state.locals["local/other"].engine is state.locals["local/other:Q4"].engine
    assert {"other", "other:Q4", "default"} <= state.table.local_models


def test_a_private_model_that_is_not_on_disk_is_no_private_model(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    state = load_routing(with_settings(services, private_model="gone"), pool_of(services))
    assert (state.table.private_model, state.warm) == (None, frozenset())
    assert "they are refused" in caplog.text


def test_without_any_model_on_disk_there_is_no_local_name(services: Services) -> None:
    without = with_settings(services, model="not on disk")
    state = load_routing(without, pool_of(services))
    assert (state.locals, state.table.local_models) == ({}, frozenset())


def test_what_cannot_be_loaded_is_left_out_and_the_rest_serves(services: Services) -> None:
    put(services, "task-a", recipe="from a plugin that is gone")
    put(services, "task-b", model_ref="not on disk")
    put(services, "task-c", model_sha256="sha-of-another-file")
    put(services, "task-d", stage=Stage.ROLLED_BACK)
    put(services, "task-e", model_ref="other", model_sha256="sha-other")
    put(services, "task-f", model_ref=None, model_sha256=None, settings=None)
    state = load_routing(services, pool_of(services))
    candidates = {key for key in state.locals if not key.startswith("local/")}
    assert candidates == {"cand-task-e", "cand-task-f"}
    assert state.locals["cand-task-e"].engine is not state.locals["local/default"].engine
    assert state.locals["cand-task-f"].upstream == "engine:prompt"
    assert len(state.table.moves) == 6


def roll_back(services: Services, task_id: str) -> None:
    put(services, task_id, stage=Stage.ROLLED_BACK)


def clock_of(services: Services) -> FakeClock:
    assert isinstance(services.clock, FakeClock)
    return services.clock


async def rested(routing: LiveRouting) -> None:
    routing.rest_engines()
    while len(tasks := asyncio.all_tasks() - {asyncio.current_task()}):
        await asyncio.wait(tasks)


async def ask(engine: Engine) -> Reply:
    return await engine.send(Call(path="/v1/chat/completions", body=b'{"messages":[]}'))


async def test_an_engine_that_was_started_for_a_request_rests_after_a_while(services: Services) -> None:
    services = with_settings(services, engine_idle_seconds=60)
    routing = live_routing(services)
    (engine,) = routing.engines()
    await routing.ensure(engine)
    clock_of(services).advance(59)
    await rested(routing)
    assert engine.state is EngineState.READY
    reply = await ask(engine)
    clock_of(services).advance(3600)
    await rested(routing)
    assert engine.state is EngineState.READY, "it is answering"
    await reply.read()
    await reply.close()
    await rested(routing)
    assert engine.state is EngineState.READY, "its rest begins with the end of its last answer"
    clock_of(services).advance(60)
    await rested(routing)
    assert engine.state is EngineState.STOPPED
    await routing.ensure(engine)
    assert engine.state is EngineState.READY, "the next request starts it, however soon it comes"
    await routing.close()


async def test_an_engine_that_a_move_needs_never_rests_until_the_move_is_rolled_back(services: Services) -> None:
    services = with_settings(services, engine_idle_seconds=60)
    put(services, "task-a")
    routing = live_routing(services)
    (engine,) = routing.engines()
    routing.start_engines()
    await rested(routing)
    clock_of(services).advance(3600)
    await rested(routing)
    assert engine.state is EngineState.READY
    roll_back(services, "task-a")
    assert await routing.refresh()
    assert engine in routing.engines(), "it is the default model's too"
    await rested(routing)
    assert engine.state is EngineState.STOPPED
    await routing.close()


async def test_an_engine_rests_never_where_it_is_told_so_and_not_while_a_request_just_came(services: Services) -> None:
    never = live_routing(with_settings(services, engine_idle_seconds=0))
    soon = live_routing(with_settings(services, engine_idle_seconds=60))
    for routing in (never, soon):
        (engine,) = routing.engines()
        await routing.ensure(engine)
    clock_of(services).advance(1e6)
    await rested(never)
    assert never.engines()[0].state is EngineState.READY
    soon.rest_engines()
    reply = await ask(soon.engines()[0])
    await rested(soon)
    assert soon.engines()[0].state is EngineState.READY
    await reply.read()
    await never.close()
    await soon.close()


async def test_an_engine_whose_call_failed_is_not_in_use(services: Services) -> None:
    pool = EnginePool(make=lambda file, settings: FakeEngine(says("x")), clock=services.clock)
    engine = pool.get(FILES[""], EngineSettings())
    with pytest.raises(EngineFailed):
        await ask(engine)
    clock_of(services).advance(5)
    assert engine.idle_seconds == 5


async def test_a_new_move_starts_its_engine_and_closing_stops_all(services: Services) -> None:
    routing = live_routing(services)
    routing.start_engines()
    put(services, "task-e", model_ref="other", model_sha256="sha-other")
    assert await routing.refresh()
    engines = routing.engines()
    for engine in engines:
        await engine.start()  # idempotent; the background start may not have run yet
    roll_back(services, "task-e")
    assert await routing.refresh()
    assert len(routing.engines()) == len(engines) - 1
    await routing.close()
    assert {engine.state for engine in engines} == {EngineState.STOPPED}


class WithAdapters(FakeEngine):
    def __init__(self, adapters: Mapping[str, Path]) -> None:
        super().__init__(says("adapted"))
        self.adapters = list(adapters)
        self.scaled: list[dict[int, float]] = []

    async def send_scaled(self, call: Call, scales: Mapping[int, float]) -> Reply:
        self.scaled.append(dict(scales))
        return await self.send(call)


async def test_adapters_over_one_model_share_an_engine_and_a_damaged_one_spoils_no_other(
    services: Services, tmp_path: Path
) -> None:
    made: list[WithAdapters] = []

    def make_adapted(file: ModelFile, settings: EngineSettings, adapters: Mapping[str, Path]) -> WithAdapters:
        made.append(WithAdapters(adapters))
        return made[-1]

    fields: dict[str, Any] = {**NO_SETTINGS, "home": tmp_path}
    changed = SimpleNamespace(**{**vars(services), "make_adapted": make_adapted, "settings": Settings(**fields)})
    adapted = cast("Services", changed)
    hashes: list[str] = []
    for name in ("one", "two", "broken"):
        path = tmp_path / name
        path.write_bytes(name.encode())
        hashes.append(CandidateFiles(tmp_path).keep(path, log={}))
        put(adapted, f"task-{name}", adapter_sha256=hashes[-1])
    CandidateFiles(tmp_path).find(hashes[2]).write_bytes(b"other bytes")
    routing = live_routing(adapted)
    state = routing.current
    assert set(state.locals) >= {"cand-task-one", "cand-task-two"}
    assert "cand-task-broken" not in state.locals
    (engine,) = made
    assert engine.adapters == hashes[:2]
    for at, name in enumerate(("one", "two")):
        local = state.locals[f"cand-task-{name}"]
        assert local.engine is not None
        await routing.ensure(local.engine)
        await local.engine.send(Call(path="/v1/chat/completions", body=b"{}"))
        assert engine.scaled[-1] == {at: 1.0}
    assert [e for e in routing.engines() if e.state is EngineState.READY], "one process, started once"
    await routing.close()
    assert engine.state is EngineState.STOPPED
