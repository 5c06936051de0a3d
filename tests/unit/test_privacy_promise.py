"""Promise 1, attacked: a pinned request sends zero bytes to a provider, whatever fails and whatever the table says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from insource.core.errors import EngineFailed, PinnedUnavailable, UpstreamError
from insource.core.fakes import FakeClock, FakeDetector, FakeEngine, json_reply
from insource.core.ports import Reply
from insource.core.values import JsonObject, Move, Stage
from insource.routing.decide import RoutingTable
from insource.traffic.request_scan import live_scan
from insource.workflows.serve.answer_locally import Local
from tests.fakes.serving import Answerer, Bench, FixedRecipe, cut_stream, fails, request, says, stream_reply

DEAD = EngineFailed("The worker died.", next_step="It is restarted.")
ENGINES: dict[str, Answerer | None] = {
    "answers": says("local"),
    "is missing": None,
    "dies": fails(DEAD),
    "answers 500": lambda call: json_reply({"error": {"message": "oops"}}, status=500),
    "answers 400": lambda call: json_reply({"error": {"message": "bad"}}, status=400),
    "is cut": lambda call: cut_stream(),
    "is silent": lambda call: stream_reply(),
    "is cut at once": lambda call: stream_reply(UpstreamError("cut", next_step="again")),
    "talks nonsense": lambda call: stream_reply(b"<html>"),
}


def found(request: JsonObject) -> tuple[str, ...]:
    return live_scan(FakeDetector("secret"), seconds=1.0, clock=FakeClock())(request)


def moved(stage: Stage, *, share: float = 1.0, gate: float = 0.99) -> RoutingTable:
    move = Move(
        task_id="task-a",
        candidate_id="cand",
        stage=stage,
        gate=gate,
        certificate_id=None,
        canary_share=share,
        changed=datetime(2026, 1, 1, tzinfo=UTC),
        reason="test",
    )
    return RoutingTable(moves={"task-a": move}, local_default="small")


async def bench_with(answer: Answerer | None, stage: Stage = Stage.LIVE, **more: Any) -> Bench:
    locals_: dict[str | None, Local] = {}
    if answer is not None:
        engine = FakeEngine(answer)
        await engine.start()
        recipe = FixedRecipe(confidence=0.0)
        locals_["cand"] = Local(model="small", engine=engine, fitted=recipe, recipe="prompt", streams=True)
        locals_[None] = Local(model="small", engine=engine, streams=True)
    given: dict[str, Any] = {"table": moved(stage), "locals": locals_, "scan": found, **more}
    return Bench(**given)


async def send(bench: Bench, body: JsonObject) -> None:
    """Reads whatever comes, as a client would, then waits for everything that runs behind it."""
    answer = await bench.ask(body)
    if isinstance(answer.reply, Reply):
        with suppress(UpstreamError):
            await answer.reply.read()
    await bench.settle()
    assert answer.route is None or answer.route.pinned
    assert bench.log.exchanges, "it is recorded all the same"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_stage_and_no_failure_lets_a_private_request_out(engine: str, stage: Stage, stream: bool) -> None:
    bench = await bench_with(ENGINES[engine], stage)
    await send(bench, request("my secret", stream=stream))
    assert bench.provider.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "the secret"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "the secret"}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": '{"a":"secret"}'}}]}]},
        {"messages": [{"role": "user", "content": "x", "name": "secret"}]},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{"function": {"description": "secret"}}]},
        {"messages": [{"role": "user", "content": "x"}], "metadata": {"secret": "1"}},
        {"messages": [{"role": "user", "content": "x"}], "prediction": {"content": "secret"}},
        {"messages": "secret"},
        {"input": "secret"},
        {"novel": {"deep": [[["secret"]]]}},
    ],
)
async def test_wherever_in_the_body_it_stands(body: JsonObject) -> None:
    bench = await bench_with(says("local"))
    await send(bench, {"model": "gpt-4o", **body})
    assert bench.provider.calls == []


async def test_a_detector_that_raises_pins() -> None:
    def broken(request: JsonObject) -> tuple[str, ...]:
        raise ValueError("detector bug")

    bench = await bench_with(says("local"), scan=broken)
    await send(bench, request("harmless"))
    assert bench.provider.calls == []
    assert bench.log.exchanges[0].private_kinds == ("unscanned",)


@pytest.fixture
def never() -> Iterator[Callable[[JsonObject], tuple[str, ...]]]:
    """A scan that hangs until the test is over."""
    release = threading.Event()

    def scan(request: JsonObject) -> tuple[str, ...]:
        release.wait()
        return ()

    yield scan
    release.set()


async def test_a_detector_that_hangs_pins(never: Callable[[JsonObject], tuple[str, ...]]) -> None:
    bench = await bench_with(says("local"), scan=never, scan_seconds=0.01)
    for _ in range(6):  # more than there are scanning threads
        await send(bench, request("harmless"))
    assert bench.provider.calls == []


@pytest.mark.parametrize("private", [True, False])
async def test_a_matcher_that_raises_pins_where_tasks_are_pinned(private: bool) -> None:
    def broken(request: JsonObject, declared: str | None) -> str | None:
        raise KeyError("matcher bug")

    table = RoutingTable(pinned_tasks=frozenset({"task-b"}) if private else frozenset(), local_default="small")
    bench = await bench_with(says("local"), match=broken, table=table)
    answer = await bench.ask(request("harmless"))
    assert isinstance(answer.reply, Reply)
    await answer.reply.read()
    assert bool(bench.provider.calls) is not private


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_pinned_task_stays_even_without_private_data(stage: Stage) -> None:
    table = RoutingTable(moves=moved(stage).moves, pinned_tasks=frozenset({"task-a"}), local_default="small")
    bench = await bench_with(fails(DEAD), table=table)
    await send(bench, request("harmless"))
    assert bench.provider.calls == []


async def test_with_nothing_local_it_is_refused_with_the_reason_and_the_next_step() -> None:
    bench = Bench(scan=found)
    answer = await bench.ask(request("my secret"))
    assert isinstance(answer.reply, PinnedUnavailable)
    assert "word" in answer.reply.message
    assert answer.reply.next_step
    assert bench.provider.calls == []
    assert bench.log.exchanges[0].status == 503


async def test_a_pinned_answer_below_the_gate_is_kept() -> None:
    bench = await bench_with(says("local"))
    answer = await bench.ask(request("my secret"))
    assert isinstance(answer.reply, Reply)
    assert b"local" in await answer.reply.read()
    assert bench.provider.calls == []


async def test_the_same_bench_does_reach_the_provider_without_the_secret() -> None:
    """What keeps the other tests honest."""
    bench = await bench_with(fails(DEAD))
    answer = await bench.ask(request("harmless"))
    assert isinstance(answer.reply, Reply)
    await answer.reply.read()
    assert len(bench.provider.calls) == 1
