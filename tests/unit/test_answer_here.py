"""Requests that a move or the client itself brings to this machine: who answers, and what the log says of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from insource.core.errors import EngineFailed, PinnedUnavailable, UnknownModel, UsageError
from insource.core.fakes import FakeEngine, FakeUpstream, json_reply
from insource.core.ports import Call, Demand, Reply
from insource.core.values import CHAT_ENDPOINT, JsonObject, LocalAnswer, Marks, Stage
from insource.wire.wholeness import judge
from insource.workflows.asking import Local
from tests.fakes.serving import (
    Bench,
    FixedRecipe,
    candidate,
    completion,
    fails,
    moved,
    ready_engine,
    request,
    route_of,
    says,
)

DEAD = EngineFailed("The worker died.", next_step="It is restarted.")
TOOLS: JsonObject = {"tools": [{"type": "function", "function": {"name": "pay"}}]}
PICTURE: JsonObject = {
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}]
}


async def test_a_move_answers_locally_and_says_so() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())}, forward_key=True)
    answer, data = await bench.read(request(), (("authorization", "Bearer sk-1"),))
    body = msgspec.json.decode(data)
    assert body["choices"][0]["message"]["content"] == "local"
    assert body["model"] == "small"
    assert body["choices"][0]["logprobs"] is None
    assert bench.provider.calls == []
    assert "sk-1" not in repr(engine.calls[0].headers)
    assert msgspec.json.decode(engine.calls[0].body)["model"] == "small"
    route = route_of(bench)
    assert (route.upstream, route.model, route.certificate_id, route.confidence) == (
        "engine:fake",
        "small",
        "cert-1",
        0.9,
    )
    assert (answer.route, answer.authored) == (route, True)
    assert (bench.log.exchanges[0].cost_usd, bench.log.exchanges[0].cost_source) == (0.0, "recorded")


async def test_a_recipe_without_a_model_answers_as_a_stream_when_asked() -> None:
    local = Local(model="head-1", engine=None, fitted=FixedRecipe(needs_model=False), recipe="head")
    bench = Bench(table=moved(), locals={"cand": local})
    _, data = await bench.read(request(stream=True, stream_options={"include_usage": True}))
    judged = judge(CHAT_ENDPOINT, 200, data)
    assert judged.flaw is None
    assert judged.response is not None
    assert judged.response["choices"][0]["message"]["content"] == "by the recipe"
    assert route_of(bench).upstream == "engine:head"


@pytest.mark.parametrize("confidence", [0.4, 0.0])
async def test_below_the_gate_the_original_bytes_escalate(confidence: float) -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(gate=0.95), locals={"cand": candidate(engine, FixedRecipe(confidence=confidence))})
    original = b'{"messages":  [{"role":"user","content":"x"}], "model":"gpt-4o"}'
    _, data = await bench.read(original)
    assert msgspec.json.decode(data)["choices"][0]["message"]["content"] == "hosted"
    assert bench.provider.calls[0].body == original
    (exchange,) = bench.log.exchanges
    assert exchange.marks == Marks(escalated=True)
    assert exchange.metadata == {}
    assert (route_of(bench).upstream, route_of(bench).certificate_id) == ("provider:fake", None)
    assert f"confidence {confidence:g} is below the gate 0.95" in route_of(bench).reason
    assert route_of(bench).confidence == confidence, "how unsure it was stays in the log"


async def test_a_shadow_answers_after_the_client_and_is_logged_by_itself() -> None:
    engine = await ready_engine(says("shadow"))
    bench = Bench(table=moved(Stage.SHADOW), locals={"cand": candidate(engine, FixedRecipe())})
    _, data = await bench.read(request())
    assert b"hosted" in data
    assert engine.calls == []  # not before the client had its answer
    await bench.settle()
    hosted, shadow = bench.log.exchanges
    assert (hosted.marks, shadow.marks) == (Marks(), Marks(shadow_of=hosted.id, covered=True))
    assert shadow.id != hosted.id
    assert shadow.route is not None
    assert (shadow.route.upstream, shadow.route.confidence) == ("engine:fake", 0.9)


async def test_a_broken_answer_gets_no_shadow() -> None:
    engine = await ready_engine(says("shadow"))
    provider = FakeUpstream(lambda call: json_reply({"choices": []}))
    bench = Bench(table=moved(Stage.SHADOW), locals={"cand": candidate(engine, FixedRecipe())}, provider=provider)
    await bench.read(request())
    await bench.settle()
    assert engine.calls == []


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


@pytest.mark.parametrize(
    "more", [{"n": 2}, {"logprobs": True}, {"modalities": ["text", "audio"]}, TOOLS, PICTURE, {"functions": [{}]}]
)
async def test_demands_that_a_candidate_cannot_meet_go_to_the_provider(more: JsonObject) -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())})
    await bench.read({**request(), **more})
    assert len(bench.provider.calls) == 1
    assert engine.calls == []
    assert route_of(bench).reason.startswith("asks for ")


async def test_demands_that_a_candidate_can_meet_are_answered_here() -> None:
    engine = await ready_engine(says("local"))
    honours: frozenset[Demand] = frozenset({"tools"})
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe(), honours=honours)})
    assert b"local" in (await bench.read({**request(), **TOOLS}))[1]
    assert b"hosted" in (await bench.read({**request(), **TOOLS, "n": 2}))[1]


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
        def read(self, completion: JsonObject) -> LocalAnswer:
            return replace(FixedRecipe.read(self, completion), text="Yes")

    bench = Bench(table=moved(), locals={"cand": candidate(engine, Reader())})
    _, data = await bench.read(request())
    body = msgspec.json.decode(data)
    assert (body["choices"][0]["message"]["content"], body["extra"]) == ("Yes", 1)


# ------------------------------------------------------------------------------------------------------- local/NAME


def by_name(engine: FakeEngine, *, honours: frozenset[Demand] = frozenset()) -> Bench:
    return Bench(locals={"local/small": Local(model="small", engine=engine, streams=True, honours=honours)})


async def test_a_local_model_can_be_asked_for_by_name() -> None:
    engine = await ready_engine(says("local"))
    bench = by_name(engine)
    for stream in (False, True):
        _, data = await bench.read({**request(stream=stream), "model": "local/small"})
        assert b"local" in data
    sent = [msgspec.json.decode(call.body)["model"] for call in engine.calls]
    assert sent == ["small", "small"]
    await bench.read({**request(), "model": "small"})
    assert len(bench.provider.calls) == 1, "a name without `local/` is the provider's"


async def test_a_model_asked_for_by_name_is_started_when_it_sleeps() -> None:
    engine = FakeEngine(says("local"))
    bench = by_name(engine)
    assert b"local" in (await bench.read({**request(), "model": "local/small"}))[1]


async def test_a_model_asked_for_by_name_that_cannot_start_is_not_replaced_by_the_provider() -> None:
    bench = by_name(FakeEngine(says("local"), fail_start=True))
    answer = await bench.ask({**request(), "model": "local/small"})
    assert isinstance(answer.reply, EngineFailed)
    assert not isinstance(answer.reply, PinnedUnavailable)
    assert bench.provider.calls == []


async def test_a_local_name_that_is_not_here_names_those_that_are() -> None:
    bench = by_name(FakeEngine(says("local")))
    answer = await bench.ask({**request(), "model": "local/other"})
    assert isinstance(answer.reply, UnknownModel)
    assert "local/small" in answer.reply.message
    assert (bench.provider.calls, bench.log.exchanges[0].status) == ([], 404)


@pytest.mark.parametrize("more", [TOOLS, PICTURE, {"n": 2}, {"logprobs": True}])
async def test_a_local_model_refuses_what_it_cannot_give(more: JsonObject) -> None:
    engine = await ready_engine(says("local"))
    bench = by_name(engine)
    answer = await bench.ask({**request(), **more, "model": "local/small"})
    assert isinstance(answer.reply, UsageError)
    assert "can't give" in answer.reply.message
    assert (bench.provider.calls, engine.calls, bench.log.exchanges[0].status) == ([], [], 400)


async def test_a_local_model_gets_the_tools_that_it_honours_whole() -> None:
    engine = await ready_engine(says("local"))
    bench = by_name(engine, honours=frozenset({"tools"}))
    await bench.read({**request(), **TOOLS, "model": "local/small"})
    assert msgspec.json.decode(engine.calls[0].body)["tools"] == TOOLS["tools"]
