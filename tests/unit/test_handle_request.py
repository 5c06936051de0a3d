"""One request through the handler: what goes where, what the client gets, and what the log says of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from insource.core.errors import BadInput, ContextOverflow, EngineFailed, PinnedUnavailable, UpstreamError
from insource.core.fakes import FakeEngine, FakeUpstream, json_reply
from insource.core.ports import Call, Reply
from insource.core.values import JsonObject, Move, Route, Stage
from insource.routing.decide import RoutingTable
from insource.wire.sse import read_chat_stream
from insource.workflows.serve.answer_locally import Local
from insource.workflows.serve.record_exchange import CLIENT_LEFT
from tests.fakes.serving import (
    Bench,
    FixedRecipe,
    completion,
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


async def test_without_a_move_the_bytes_pass_through_both_ways() -> None:
    odd = b'{ "model":"gpt-4o" , "novel": {"z": 1.50, "a": null}, "messages":[{"role":"user","content":"h\\u00e9"}] }'
    said = b'{"choices": [ {"index":0,"message":{"content":"x"}} ],  "unheard_of": 1e3}'
    answer = lambda call: Reply(  # noqa: E731 - a one-line upstream
        status=200, headers={"content-type": "application/json", "x-request-id": "r"}, chunks=stream_reply(said).chunks
    )
    bench = Bench(provider=FakeUpstream(answer))
    given, data = await bench.read(odd)
    assert bench.provider.calls[0].body == odd
    assert data == said
    assert isinstance(given.reply, Reply)
    assert given.reply.headers["x-request-id"] == "r"
    (exchange,) = bench.log.exchanges
    assert exchange.request["novel"] == {"z": 1.5, "a": None}
    assert exchange.response is not None
    assert exchange.response["unheard_of"] == 1000
    assert route_of(bench).upstream == "provider:fake"


async def test_the_record_has_latency_cost_tokens_and_route() -> None:
    bench = Bench()
    answer = await bench.ask(request(), {"x-insource-task": "triage"})
    assert isinstance(answer.reply, Reply)
    bench.clock.advance(1.25)
    await answer.reply.read()
    (exchange,) = bench.log.exchanges
    assert (exchange.latency_seconds, exchange.cost_usd, exchange.status) == (1.25, pytest.approx(0.007), 200)
    assert exchange.metadata == {"task": "triage"}
    assert exchange.private_kinds == ()


async def test_without_bodies_only_figures_are_kept() -> None:
    bench = Bench(bodies=False)
    await bench.read(request("my words"))
    (exchange,) = bench.log.exchanges
    assert "my words" not in repr(exchange)
    assert exchange.response is not None
    assert exchange.response["usage"]["total_tokens"] == 7


@pytest.mark.parametrize("forward_key", [True, False])
async def test_the_clients_key_goes_to_the_provider_only_when_told(forward_key: bool) -> None:
    bench = Bench(forward_key=forward_key)
    await bench.read(
        request(), {"authorization": "Bearer sk-1", "openai-organization": "o", "cookie": "c", "host": "h"}
    )
    sent = bench.provider.calls[0].headers
    assert ("authorization" in sent) is forward_key
    assert sent.keys() - {"authorization"} == {"openai-organization"}
    assert "sk-1" not in repr(bench.log.exchanges)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nope", b"[" * 100_000, b'"text"'])
async def test_a_body_that_is_no_json_object_is_bad_input(body: bytes) -> None:
    bench = Bench()
    answer = await bench.ask(body)
    assert isinstance(answer.reply, BadInput)
    assert bench.provider.calls == []


async def test_a_move_answers_locally_and_says_so() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    answer, data = await bench.read(request(), {"authorization": "Bearer sk-1"})
    body = msgspec.json.decode(data)
    assert body["choices"][0]["message"]["content"] == "local"
    assert body["model"] == "small"
    assert body["choices"][0]["logprobs"] is None
    assert bench.provider.calls == []
    assert "authorization" not in engine.calls[0].headers
    assert msgspec.json.decode(engine.calls[0].body)["model"] == "small"
    route = route_of(bench)
    assert (route.upstream, route.model, route.certificate_id, route.confidence) == (
        "engine:fake",
        "small",
        "cert-1",
        0.9,
    )
    assert answer.route == route
    assert bench.log.exchanges[0].cost_usd == 0.0


async def test_a_recipe_without_a_model_answers_as_a_stream_when_asked() -> None:
    local = Local(model="head-1", engine=None, fitted=FixedRecipe(needs_model=False), recipe="head")
    bench = Bench(table=moved(), locals={"cand": local})
    _, data = await bench.read(request(stream=True, stream_options={"include_usage": True}))
    stream = read_chat_stream(data)
    assert stream.complete
    assert stream.completion is not None
    assert stream.completion["choices"][0]["message"]["content"] == "by the recipe"
    assert route_of(bench).upstream == "engine:head"


async def test_below_the_gate_the_original_bytes_escalate() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(gate=0.95), locals={"cand": candidate(engine, FixedRecipe(confidence=0.4))})
    original = b'{"messages":  [{"role":"user","content":"x"}], "model":"gpt-4o"}'
    _, data = await bench.read(original)
    assert msgspec.json.decode(data)["choices"][0]["message"]["content"] == "hosted"
    assert bench.provider.calls[0].body == original
    (exchange,) = bench.log.exchanges
    assert exchange.metadata["escalated"] is True
    assert (route_of(bench).upstream, route_of(bench).confidence) == ("provider:fake", 0.4)
    assert "0.4" in route_of(bench).reason


LONG = {"error": {"type": "exceed_context_size_error", "message": "n_prompt_tokens 9000 > n_ctx 2048"}}


async def test_a_cut_provider_stream_is_recorded_with_its_part_and_never_ends_well() -> None:
    bench = Bench(provider=FakeUpstream(lambda call: cut_stream()))
    answer = await bench.ask(request(stream=True))
    assert isinstance(answer.reply, Reply)
    got = b""
    with pytest.raises(UpstreamError):  # noqa: PT012 - what came before the error is looked at
        async for chunk in answer.reply.chunks:
            got += chunk
    await answer.reply.close()
    assert got.endswith(b"\n\n")  # the half event was held back
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.metadata["incomplete"]) == (502, "the upstream was cut")
    assert exchange.response is not None
    assert exchange.response["choices"][0]["message"]["content"] == "half an answer"


async def test_a_stream_that_just_ends_is_a_cut_one() -> None:
    bench = Bench(provider=FakeUpstream(lambda call: stream_reply(b'data: {"choices":[{"index":0,"delta":{}}]}\n\n')))
    with pytest.raises(UpstreamError, match="before its answer was complete"):
        await bench.read(request(stream=True))
    assert bench.log.exchanges[0].status == 502


async def test_a_client_that_leaves_closes_the_upstream_and_is_recorded() -> None:
    closed: list[bool] = []

    def answer(call: object) -> Reply:
        reply = says("hosted")(call)  # pyright: ignore[reportArgumentType] - a Call

        async def close() -> None:
            closed.append(True)

        return Reply(status=200, headers=reply.headers, chunks=reply.chunks, close=close)

    bench = Bench(provider=FakeUpstream(answer))
    given = await bench.ask(request(stream=True))
    assert isinstance(given.reply, Reply)
    await anext(given.reply.chunks)
    await given.reply.close()
    assert closed == [True]
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.metadata["incomplete"]) == (CLIENT_LEFT, "the client left")


async def test_a_client_that_leaves_before_the_answer_is_recorded() -> None:
    waiting = asyncio.Event()

    class Slow(FakeUpstream):
        async def send(self, call: object) -> Reply:
            waiting.set()
            await asyncio.Event().wait()
            raise AssertionError

    bench = Bench(provider=Slow(says("never")))
    task = asyncio.create_task(bench.ask(request()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.log.exchanges[0].status == CLIENT_LEFT


async def test_a_providers_error_is_passed_on_and_is_no_answer() -> None:
    refused = {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}
    bench = Bench(provider=FakeUpstream(lambda call: json_reply(refused, status=401)))
    answer, data = await bench.read(request())
    assert isinstance(answer.reply, Reply)
    assert (answer.reply.status, msgspec.json.decode(data)) == (401, refused)
    assert (bench.log.exchanges[0].status, bench.log.exchanges[0].response) == (401, None)


async def test_an_unreachable_provider_is_an_upstream_error_with_its_record() -> None:
    bench = Bench(provider=FakeUpstream(fails(UpstreamError("No answer.", next_step="Check it."))))
    answer = await bench.ask(request())
    assert isinstance(answer.reply, UpstreamError)
    assert bench.log.exchanges[0].status == 502


async def test_a_shadow_answers_after_the_client_and_is_logged_by_itself() -> None:
    engine = await ready_engine(says("shadow"))
    bench = Bench(table=moved(Stage.SHADOW), locals={"cand": candidate(engine, FixedRecipe())})
    _, data = await bench.read(request())
    assert b"hosted" in data
    assert engine.calls == []  # not before the client had its answer
    await bench.settle()
    hosted, shadow = bench.log.exchanges
    assert shadow.metadata == {"shadow_of": hosted.id}
    assert shadow.id != hosted.id
    assert shadow.route is not None
    assert (shadow.route.upstream, shadow.route.confidence) == ("engine:fake", 0.9)


async def test_shadows_are_bounded_and_their_failures_are_nobodys_business() -> None:
    go = asyncio.Event()

    class Slow(FakeEngine):
        async def send(self, call: Call) -> Reply:
            await go.wait()
            return await super().send(call)

    engine = Slow(fails(DEAD))
    await engine.start()
    bench = Bench(table=moved(Stage.SHADOW), locals={"cand": candidate(engine, FixedRecipe())})
    for _ in range(3):
        await bench.read(request())
    go.set()
    await bench.settle()
    statuses = sorted(e.status for e in bench.log.exchanges)
    assert statuses == [200, 200, 200, 503]  # one at once; two were skipped


async def test_a_context_overflow_reroutes_or_is_a_clear_error_when_it_must_stay() -> None:
    engine = await ready_engine(lambda call: json_reply(LONG, status=400))
    bench = Bench(table=moved(default="small"), locals={"cand": candidate(engine, FixedRecipe())})
    _, data = await bench.read(request())
    assert b"hosted" in data
    pinned = Bench(table=bench.table, locals=bench.locals, scan=lambda request: ("email",))
    answer = await pinned.ask(request())
    assert isinstance(answer.reply, ContextOverflow)
    assert "9000" in answer.reply.message
    assert pinned.provider.calls == []


async def test_the_local_model_can_be_asked_for_by_name() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(
        table=RoutingTable(local_default="small"), locals={None: Local(model="small", engine=engine, streams=True)}
    )
    _, data = await bench.read(request(model="small") | {"model": "small"})
    assert b"local" in data
    await engine.stop()
    answer = await bench.ask({**request(), "model": "small"})
    assert isinstance(answer.reply, EngineFailed)
    assert not isinstance(answer.reply, PinnedUnavailable)
    assert bench.provider.calls == []


async def test_demands_that_a_recipe_cannot_meet_go_to_the_provider() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    demanding: list[JsonObject] = [{"n": 2}, {"logprobs": True}, {"modalities": ["text", "audio"]}]
    for more in demanding:
        await bench.read({**request(), **more})
    assert len(bench.provider.calls) == 3


async def test_a_changed_registry_is_taken_up() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(locals={"cand": candidate(engine, FixedRecipe())})
    assert b"hosted" in (await bench.read(request()))[1]
    assert await bench.routing.refresh() is False
    bench.table, bench.revision = moved(), 2
    assert await bench.routing.refresh() is True
    assert b"local" in (await bench.read(request()))[1]


async def test_the_completion_says_what_was_read() -> None:
    engine = await ready_engine(lambda call: json_reply({**completion("I think: YES"), "extra": 1}))

    class Reader(FixedRecipe):
        def read(self, completion: dict[str, object]):
            from dataclasses import replace

            return replace(FixedRecipe.read(self, completion), text="Yes")

    bench = Bench(table=moved(), locals={"cand": candidate(engine, Reader())})
    _, data = await bench.read(request())
    body = msgspec.json.decode(data)
    assert (body["choices"][0]["message"]["content"], body["extra"]) == ("Yes", 1)
