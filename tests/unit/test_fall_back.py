"""When the local side fails: fall back before the first byte, never after it, and start the engine again."""

from __future__ import annotations

import msgspec
import pytest

from insource.core.errors import EngineFailed, PinnedUnavailable, UpstreamError
from insource.core.fakes import FakeEngine, FakeUpstream, json_reply
from insource.core.ports import Reply
from insource.core.scanning import Examined
from insource.core.values import EngineState, Marks
from insource.wire.sse import DONE, completion_to_sse, format_event
from insource.workflows.asking import Local
from tests.fakes.serving import (
    Answerer,
    Bench,
    FixedRecipe,
    candidate,
    completion,
    cut_stream,
    fails,
    moved,
    ready_engine,
    request,
    route_of,
    says,
    stream_reply,
)

DEAD = EngineFailed("The worker died.", next_step="It is restarted.")


LONG = {"error": {"type": "exceed_context_size_error", "message": "n_prompt_tokens 9000 > n_ctx 2048"}}


BROKEN: dict[str, tuple[Answerer, str]] = {
    "dies": (fails(DEAD), "EngineFailed"),
    "answers 500": (lambda call: json_reply({"error": {"message": "oops"}}, status=500), "EngineFailed"),
    "overflows": (lambda call: json_reply(LONG, status=400), "ContextOverflow"),
    "refuses": (lambda call: json_reply({"error": {"message": "bad"}}, status=400), "BadInput"),
    "is cut": (lambda call: stream_reply(b'{"choices"', UpstreamError("cut", next_step="again")), "UpstreamError"),
    "talks nonsense": (lambda call: stream_reply(b"not json"), "EngineFailed"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_failing_engine_falls_back_to_the_provider(how: str, stream: bool) -> None:
    answer, error = BROKEN[how]
    engine = await ready_engine(answer)
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    _, data = await bench.read(request(stream=stream))
    assert b"hosted" in data
    (exchange,) = bench.log.exchanges
    assert (exchange.marks, exchange.metadata) == (Marks(fallback=error), {})
    assert exchange.is_whole
    assert (route_of(bench).upstream, route_of(bench).certificate_id) == ("provider:fake", None)


async def test_a_failing_provider_after_a_failing_engine_keeps_both_in_the_log() -> None:
    provider = FakeUpstream(fails(UpstreamError("No answer.", next_step="Check it.")))
    local = candidate(await ready_engine(fails(DEAD)), FixedRecipe())
    bench = Bench(table=moved(), locals={"cand": local}, provider=provider)
    answer = await bench.ask(request())
    assert isinstance(answer.reply, UpstreamError)
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.marks) == (502, Marks(fallback="EngineFailed"))


async def test_an_overflow_of_a_request_that_must_stay_is_told_with_its_figures() -> None:
    engine = await ready_engine(lambda call: json_reply(LONG, status=400))
    local = candidate(engine, FixedRecipe())
    for private_model in (None, "small"):
        bench = Bench(
            table=moved(),
            locals={"cand": local, "local/small": Local(model="small", engine=engine, streams=True)},
            private_model=private_model,
            scan=lambda job: Examined(kinds={"email": 1}),
        )
        answer = await bench.ask(request())
        assert isinstance(answer.reply, PinnedUnavailable)
        assert "9000" in answer.reply.message
        assert "email" in answer.reply.message
        assert bench.provider.calls == []
        assert bench.log.exchanges[0].status == 503


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
    answer = await bench.ask(request(stream=True))
    assert isinstance(answer.reply, Reply)
    assert answer.authored, "so the error is told in the stream"
    got = b""
    with pytest.raises(UpstreamError):  # noqa: PT012 - what came before the error is looked at
        async for chunk in answer.reply.chunks:
            got += chunk
    await answer.reply.close()
    assert got.endswith(b"\n\n"), "the half event was held back: an error event after it stands alone"
    assert bench.provider.calls == []
    (exchange,) = bench.log.exchanges
    assert exchange.incomplete is not None
    assert not exchange.is_whole


EVENTS = list(completion_to_sse(completion("hosted"), include_usage=False))
UNWHOLE: dict[str, list[bytes]] = {
    "it ends after the text": EVENTS[:1],
    "it ends inside an event": [EVENTS[0], EVENTS[1][:20]],
    "it says done without a finish reason": [EVENTS[0], DONE],
    "it tells an error": [EVENTS[0], format_event({"error": {"message": "out of memory"}}), DONE],
}


@pytest.mark.parametrize("how", UNWHOLE)
async def test_an_engines_stream_that_is_not_whole_never_ends_well(how: str) -> None:
    engine = await ready_engine(lambda call: stream_reply(*UNWHOLE[how]))
    bench = Bench(table=moved(gate=0.0), locals={"cand": candidate(engine, FixedRecipe(), streams=True)})
    with pytest.raises(UpstreamError, match="is not whole"):
        await bench.read(request(stream=True))
    assert not bench.log.exchanges[0].is_whole


@pytest.mark.parametrize("first", [fails(DEAD), lambda call: stream_reply(DEAD), lambda call: stream_reply()])
async def test_before_the_first_byte_a_streaming_engine_may_fall_back(first: Answerer) -> None:
    engine = await ready_engine(first)
    bench = Bench(table=moved(gate=0.0), locals={"cand": candidate(engine, FixedRecipe(), streams=True)})
    _, data = await bench.read(request(stream=True))
    assert b"hosted" in data
    assert bench.log.exchanges[0].marks.fallback == "EngineFailed"
