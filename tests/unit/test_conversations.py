"""A conversation stays with the upstream that began it."""

from __future__ import annotations

import pytest

from insource.core.ports import Reply
from insource.core.values import JsonObject, Stage
from insource.wire import json_text
from insource.wire.chat import completion
from insource.workflows.serve.conversations import Conversations
from tests.fakes.serving import Bench, FixedRecipe, candidate, moved, ready_engine, request, says


def turns(*said: str) -> JsonObject:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return {
        "model": "gpt-4o",
        "messages": [{"role": roles[at % 2], "content": text} for at, text in enumerate(said)],
    }


async def talk(bench: Bench, name: str, length: int = 10) -> list[str]:
    """Who answered each turn."""
    said: list[str] = []
    for turn in range(length):
        said.append(f"{name} says {turn}")
        answer = await bench.ask(turns(*said), exchange_id=f"{name}-{turn}")
        assert isinstance(answer.reply, Reply)
        body = json_text.decode(await answer.reply.read())
        said.append(body["choices"][0]["message"]["content"] + "  ")
    await bench.settle()
    here = [e.route.upstream.startswith("engine:") for e in bench.log.exchanges if e.route and not e.marks.is_extra]
    return ["here" if each else "provider" for each in here[-length:]]


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.LIVE])
async def test_ten_turns_never_change_their_upstream(stage: Stage) -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(stage), locals={"cand": candidate(engine, FixedRecipe())})
    sides = [await talk(bench, f"talk {n}") for n in range(12)]
    assert all(len(set(each)) == 1 for each in sides)
    assert {each[0] for each in sides} == ({"here", "provider"} if stage is Stage.CANARY else {"here"})


async def test_where_the_user_allows_it_a_conversation_changes() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(Stage.CANARY), locals={"cand": candidate(engine, FixedRecipe())}, may_switch=True)
    assert any([len(set(await talk(bench, f"talk {n}"))) == 2 for n in range(3)])


async def test_a_conversation_that_began_before_the_move_ends_where_it_began() -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(locals={"cand": candidate(engine, FixedRecipe())})
    await bench.read(turns("hi"))
    bench.table, bench.revision = moved(), 2
    await bench.routing.refresh()
    await bench.read(turns("hi", "hosted", "and now?"), exchange_id="ex-2")
    assert bench.log.exchanges[-1].route is not None
    assert bench.log.exchanges[-1].route.upstream == "provider:fake"
    assert bench.log.exchanges[-1].marks.selected, "it is no sample of the task"
    await bench.read(turns("new"), exchange_id="ex-3")
    assert bench.log.exchanges[-1].route.upstream == "engine:fake"


async def test_below_the_gate_the_provider_takes_over_and_keeps_it() -> None:
    """Nothing uncertified answers, so the gate outranks the conversation; there is no way back."""
    recipe = FixedRecipe()
    bench = Bench(table=moved(), locals={"cand": candidate(await ready_engine(says("local")), recipe)})
    await bench.read(turns("a"))
    recipe.confidence = 0.1
    await bench.read(turns("a", "local", "b"), exchange_id="ex-2")
    recipe.confidence = 0.9
    await bench.read(turns("a", "local", "b", "hosted", "c"), exchange_id="ex-3")
    assert [e.route.upstream for e in bench.log.exchanges if e.route] == [
        "engine:fake",
        "provider:fake",
        "provider:fake",
    ]


def test_examples_of_the_application_are_no_conversation() -> None:
    assert Conversations().began(turns("good", "positive", "bad")) is None
    assert Conversations().began(request()) is None


def test_the_oldest_is_forgotten_first() -> None:
    known = Conversations(most=2)
    for name in ("a", "b", "c"):
        known.note(turns(name), completion(id="x", created=1, model="m", text="yes"), "here")
    assert [known.began(turns(name, "yes", "?")) for name in ("a", "b", "c")] == [None, "here", "here"]


async def test_the_log_is_remembered_after_a_start() -> None:
    bench = Bench(table=moved(), locals={"cand": candidate(await ready_engine(says("local")), FixedRecipe())})
    await talk(bench, "first", 2)
    known = Conversations()
    known.recall(bench.log.exchanges)
    assert known.began(turns("first says 0", "local", "x")) == "here"


def test_an_agents_calls_are_recognised_though_clients_write_them_anew() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1, "b": 2}'}}
    again = {**call, "function": {"name": "find", "arguments": '{"b":2,"a":1}'}}
    known = Conversations()
    answer = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}
    known.note(turns("find it"), answer, "provider")
    later = [*turns("find it")["messages"], {"role": "assistant", "content": "", "tool_calls": [again]}]
    assert known.began({"messages": [*later, {"role": "tool", "tool_call_id": "c1", "content": "42"}]}) == "provider"
