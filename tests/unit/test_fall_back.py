"""When the local side fails: fall back before the first byte, never after it, and start the engine again."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from insource.core.errors import EngineFailed, UpstreamError
from insource.core.fakes import FakeEngine, json_reply
from insource.core.values import EngineState, Move, Route, Stage
from insource.routing.decide import RoutingTable
from insource.wire.sse import DONE
from insource.workflows.serve.answer_locally import Local
from tests.fakes.serving import (
    Bench,
    FixedRecipe,
    cut_stream,
    fails,
    ready_engine,
    request,
    says,
    stream_reply,
)

DEAD = EngineFailed("The worker died.", next_step="It is restarted.")


def moved(stage: Stage = Stage.LIVE, *, gate: float = 0.5, default: str | None = None) -> RoutingTable:
    move = Move(
        task_id="task-a",
        candidate_id="cand",
        stage=stage,
        gate=gate,
        certificate_id="cert-1",
        canary_share=0.5,
        changed=datetime(2026, 1, 1, tzinfo=UTC),
        reason="test",
    )
    return RoutingTable(moves={"task-a": move}, local_default=default)


def candidate(engine: FakeEngine | None, recipe: FixedRecipe, *, streams: bool = False) -> Local:
    return Local(model="small", engine=engine, fitted=recipe, recipe="prompt", streams=streams)


def route_of(bench: Bench) -> Route:
    (exchange,) = bench.log.exchanges
    assert exchange.route is not None
    return exchange.route


LONG = {"error": {"type": "exceed_context_size_error", "message": "n_prompt_tokens 9000 > n_ctx 2048"}}


@pytest.mark.parametrize(
    "broken",
    [
        fails(DEAD),
        lambda call: json_reply({"error": {"message": "oops"}}, status=500),
        lambda call: json_reply(LONG, status=400),
        lambda call: stream_reply(b'{"choices"', UpstreamError("cut", next_step="again")),
        lambda call: stream_reply(b"not json"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failing_engine_falls_back_to_the_provider(broken: object, stream: bool) -> None:
    engine = await ready_engine(broken)  # pyright: ignore[reportArgumentType] - the five upstreams above
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    _, data = await bench.read(request(stream=stream))
    assert b"hosted" in data
    assert "fallback" in bench.log.exchanges[0].metadata
    assert route_of(bench).upstream == "provider:fake"


@pytest.mark.parametrize("error", [KeyError("a bug"), DEAD])
async def test_a_failing_recipe_falls_back_too(error: Exception) -> None:
    bench = Bench(table=moved(), locals={"cand": candidate(None, FixedRecipe(error=error))})
    _, data = await bench.read(request())
    assert b"hosted" in data


async def test_a_candidate_that_could_not_be_loaded_falls_back() -> None:
    bench = Bench(table=moved())
    _, data = await bench.read(request())
    assert b"hosted" in data
    assert "could not be loaded" in route_of(bench).reason


async def test_a_stopped_engine_is_started_again_in_the_background() -> None:
    engine = FakeEngine(says("local"))
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    await bench.read(request())
    await bench.settle()
    assert engine.state is EngineState.READY
    _, data = await bench.read(request())
    assert b"local" in data


async def test_an_engine_that_cannot_start_is_not_tried_at_every_request() -> None:
    engine = FakeEngine(says("local"), fail_start=True)
    starts = 0
    real_start = engine.start

    async def counted() -> None:
        nonlocal starts
        starts += 1
        await real_start()

    engine.start = counted  # pyright: ignore[reportAttributeAccessIssue] - a spy
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    for _ in range(5):
        await bench.read(request())
        await bench.settle()
    assert starts == 1
    bench.clock.advance(6)
    await bench.read(request())
    await bench.settle()
    assert starts == 2


async def test_an_ungated_prompt_recipe_streams_the_engines_bytes() -> None:
    engine = await ready_engine(says("local", model="small"))
    bench = Bench(table=moved(gate=0.0), locals={"cand": candidate(engine, FixedRecipe(), streams=True)})
    _, data = await bench.read(request(stream=True))
    assert data.endswith(DONE)
    sent = msgspec.json.decode(engine.calls[0].body)
    assert sent["stream"] is True
    assert "logprobs" not in sent
    (exchange,) = bench.log.exchanges
    assert exchange.response is not None
    assert exchange.response["choices"][0]["message"]["content"] == "local"


async def test_after_the_first_byte_a_cut_engine_is_an_error_and_no_fallback() -> None:
    engine = await ready_engine(lambda call: cut_stream())
    bench = Bench(table=moved(gate=0.0), locals={"cand": candidate(engine, FixedRecipe(), streams=True)})
    with pytest.raises(UpstreamError):
        await bench.read(request(stream=True))
    assert bench.provider.calls == []
    assert bench.log.exchanges[0].status == 502


@pytest.mark.parametrize("first", [fails(DEAD), lambda call: stream_reply(DEAD), lambda call: stream_reply()])
async def test_before_the_first_byte_a_streaming_engine_may_fall_back(first: object) -> None:
    engine = await ready_engine(first)  # pyright: ignore[reportArgumentType] - the three upstreams above
    bench = Bench(table=moved(gate=0.0), locals={"cand": candidate(engine, FixedRecipe(), streams=True)})
    _, data = await bench.read(request(stream=True))
    assert b"hosted" in data
