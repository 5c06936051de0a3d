"""Promises 1 and 2, attacked: where a policy asks for it, a private request sends zero bytes to a provider, whatever
fails and whatever the table says; and nobody answers it who is neither certified for it nor named.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from insource.core.errors import EngineFailed, PinnedUnavailable, UpstreamError
from insource.core.fakes import FakeDetector, FakeEngine, json_reply
from insource.core.headers import Headers
from insource.core.ports import Ask, Demand, Reply
from insource.core.scanning import Examined, ScanJob
from insource.core.values import JsonObject, Marks, Stage
from insource.routing.decide import RoutingTable
from insource.traffic.request_scan import examine
from insource.traffic.scan_client import ScanProcess
from insource.wire import json_text
from insource.workflows.asking import Local
from insource.workflows.serve.scans import Scans
from tests.fakes.plugins import install_moody_detector
from tests.fakes.serving import (
    Answerer,
    Bench,
    FixedRecipe,
    candidate,
    cut_stream,
    fails,
    finds,
    moved,
    ready_engine,
    request,
    says,
    stream_reply,
)

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
TOOLS: JsonObject = {"tools": [{"type": "function", "function": {"name": "pay"}}]}


async def bench_with(
    answer: Answerer | None,
    table: RoutingTable | None = None,
    *,
    confidence: float = 0.0,
    private_model: str | None = "small",
    honours: frozenset[Demand] = frozenset(),
    **more: Any,
) -> Bench:
    """One that enforces, with a candidate for the task and a model that was named for private requests, on one
    engine."""
    locals_: dict[str, Local] = {}
    if answer is not None:
        engine = await ready_engine(answer)
        locals_["cand"] = candidate(engine, FixedRecipe(confidence=confidence), streams=True, honours=honours)
        locals_["local/small"] = Local(model="small", engine=engine, streams=True, honours=honours)
    given: dict[str, Any] = {
        "table": moved(gate=0.99) if table is None else table,
        "locals": locals_,
        "private_model": private_model if answer is not None else None,
        "scan": finds("secret"),
        **more,
    }
    return Bench(**given)


async def send(bench: Bench, body: JsonObject | bytes, headers: Headers = (), **more: str) -> None:
    """Reads whatever comes, as a client would, then waits for everything that runs behind it."""
    answer = await bench.ask(body, headers, **more)
    if isinstance(answer.reply, Reply):
        with suppress(UpstreamError):
            await answer.reply.read()
    await bench.settle()
    assert answer.route.pinned
    assert bench.log.exchanges, "it is recorded all the same"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_stage_and_no_failure_lets_a_private_request_out(engine: str, stage: Stage, stream: bool) -> None:
    for private_model in (None, "small"):
        for gate in (0.0, 0.99):
            bench = await bench_with(ENGINES[engine], moved(stage, gate=gate), private_model=private_model)
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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("PUT", "/anything/else"),
        ("POST", "/v1/chat/completions/"),
    ],
)
async def test_whatever_its_endpoint(method: str, path: str) -> None:
    bench = await bench_with(says("local"))
    await send(bench, {"input": "my secret"}, method=method, path=path)
    assert bench.provider.calls == []


@pytest.mark.parametrize(
    "upload",
    [b"--x\r\nmy secret\r\n--x--", b"\x00\xff" * 100, b"{", b'"secret"'],
    ids=["multipart", "binary", "cut JSON", "a text"],
)
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
async def test_a_body_that_can_not_be_scanned_stays(upload: bytes, chunked: bool) -> None:
    bench = await bench_with(says("local"))
    headers: Headers = (("transfer-encoding", "chunked"),) if chunked else ()
    await send(bench, upload, headers, path="/v1/files")
    assert bench.provider.calls == []
    assert set(bench.log.exchanges[0].private_kinds or ()) & {"unreadable", "word"}


# ------------------------------------------------------------------------------------------------------ the scanner


async def test_a_scan_that_raises_keeps_the_request_here() -> None:
    def broken(job: ScanJob) -> Examined:
        raise ValueError("detector bug")

    bench = await bench_with(says("local"), scan=broken)
    await send(bench, request("harmless"))
    assert bench.provider.calls == []
    assert bench.log.exchanges[0].private_kinds == ("unscanned",)


async def test_a_detector_that_hangs_loops_or_dies_keeps_the_request_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install_moody_detector(tmp_path)))
    scans = Scans(lambda: ScanProcess("moody", cpu_seconds=0.3, hung_seconds=2.0), processes=1)
    bench = await bench_with(says("local"), scan=None, scans=scans)
    for mood in ("sleep", "loop", "die", "raise"):
        answer, _ = await bench.read(request(mood))
        assert answer.route.pinned
        assert answer.route.reason.startswith("private: unscanned")
        assert bench.provider.calls == []
    await bench.read(request("harmless"))
    assert len(bench.provider.calls) == 1, "the next request is scanned as ever"
    await bench.handler.close()


class SlowScan:
    """A RequestScan that takes its time: a queue forms before it."""

    def kinds(self, body: bytes) -> tuple[str, ...]:
        return self.examine(ScanJob(body=body)).names

    def kinds_of(self, bodies: Sequence[bytes]) -> list[tuple[str, ...]]:
        return [self.kinds(body) for body in bodies]

    def examine(self, job: ScanJob) -> Examined:
        time.sleep(0.01)
        return examine(job, FakeDetector("secret"))

    def close(self) -> None:
        return None


async def test_a_queue_of_scans_changes_no_decision() -> None:
    bench = await bench_with(says("local"), scan=None, scans=Scans(SlowScan, processes=1))
    texts = ["my secret" if number % 3 == 0 else f"harmless {number}" for number in range(60)]
    answers = await asyncio.gather(*(bench.ask(request(text)) for text in texts))
    for text, answer in zip(texts, answers, strict=True):
        assert isinstance(answer.reply, Reply), answer.reply
        assert answer.route.pinned is ("secret" in text)
        await answer.reply.read()
    assert len(bench.provider.calls) == 40
    assert all(b"secret" not in call.body for call in bench.provider.calls)
    await bench.handler.close()


# ----------------------------------------------------------------------------------------------------------- pins


@pytest.mark.parametrize("pins", [True, False])
async def test_a_matcher_that_raises_keeps_requests_here_where_tasks_are_pinned(pins: bool) -> None:
    def broken(request: JsonObject, declared: str | None) -> str | None:
        raise KeyError("matcher bug")

    table = RoutingTable(pinned_tasks=frozenset({"task-b"}) if pins else frozenset())
    bench = await bench_with(says("local"), table, match=broken)
    answer = await bench.ask(request("harmless"))
    assert isinstance(answer.reply, Reply)
    await answer.reply.read()
    assert bool(bench.provider.calls) is not pins


@pytest.mark.parametrize("scan", [finds("secret"), None], ids=["enforced", "observed"])
@pytest.mark.parametrize("stage", list(Stage))
async def test_a_pinned_task_stays_even_without_private_data_and_without_a_policy(
    stage: Stage, scan: Callable[[ScanJob], Examined] | None
) -> None:
    bench = await bench_with(fails(DEAD), moved(stage, pinned=True), scan=scan)
    await send(bench, request("harmless"))
    assert bench.provider.calls == []


# ------------------------------------------------------------------------------------------- who answers it, if any


async def test_with_nothing_local_it_is_refused_with_the_reason_and_the_next_step() -> None:
    bench = Bench(scan=finds("secret"))
    answer = await bench.ask(request("my secret"))
    assert isinstance(answer.reply, PinnedUnavailable)
    assert "word" in answer.reply.message
    assert "INSOURCE_PRIVATE_MODEL" in answer.reply.next_step
    assert bench.provider.calls == []
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.private_kinds) == (503, ("word",))


async def test_what_can_not_be_scanned_is_refused_in_plain_words() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    bench = Bench(scan=finds("secret"))
    answer = await bench.ask({"model": "gpt-4o", "messages": [{"role": "user", "content": [picture]}]})
    assert isinstance(answer.reply, PinnedUnavailable)
    assert "private: unreadable (part of it can't be read for private data, as an image" in answer.reply.message
    assert "insource privacy show" in answer.reply.next_step
    assert bench.provider.calls == []


async def test_a_certified_candidate_answers_at_or_above_its_gate() -> None:
    bench = await bench_with(says("local"), confidence=0.99, private_model=None)
    answer, data = await bench.read(request("my secret"))
    assert b"local" in data
    assert (answer.route.candidate_id, answer.route.certificate_id) == ("cand", "cert-1")
    assert answer.route.confidence == 0.99


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_below_its_gate_a_candidate_does_not_answer(stream: bool) -> None:
    """The opposite was so once: a pinned answer was kept, however unsure."""
    refusing = await bench_with(says("local"), confidence=0.98, private_model=None)
    refused = await refusing.ask(request("my secret", stream=stream))
    assert isinstance(refused.reply, PinnedUnavailable)
    assert "private: word; confidence 0.98 is below the gate 0.99" in refused.reply.message
    (exchange,) = refusing.log.exchanges
    assert (exchange.marks, exchange.route and exchange.route.confidence) == (Marks(escalated=True), 0.98)
    falling = await bench_with(says("local"), confidence=0.98, private_model="small")
    answer, data = await falling.read(request("my secret", stream=stream))
    assert b"local" in data
    assert (answer.route.candidate_id, answer.route.certificate_id) == (None, None)
    assert refusing.provider.calls == falling.provider.calls == []


@pytest.mark.parametrize("stage", [Stage.OBSERVE, Stage.SHADOW, Stage.CANARY])
async def test_a_candidate_without_a_certificate_does_not_answer(stage: Stage) -> None:
    bench = await bench_with(
        says("local"), moved(stage, gate=0.0, certificate=None), confidence=1.0, private_model=None
    )
    answer = await bench.ask(request("my secret"))
    assert isinstance(answer.reply, PinnedUnavailable)
    assert "no certified candidate" in answer.reply.message


@pytest.mark.parametrize("more", [TOOLS, {"n": 2}, {"logprobs": True}, {"audio": {"voice": "x"}}])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_what_cannot_be_honoured_is_refused_not_trimmed(more: JsonObject, stream: bool) -> None:
    bench = await bench_with(says("local"), moved(gate=0.0), confidence=1.0)
    answer = await bench.ask({**request("my secret", stream=stream), **more})
    assert isinstance(answer.reply, PinnedUnavailable)
    assert "can't give" in answer.reply.message
    engine = bench.locals["cand"].engine
    assert isinstance(engine, FakeEngine)
    assert engine.calls == bench.provider.calls == []


ASKS_FOR_TOOLS: dict[str, tuple[Demand, JsonObject]] = {
    "tools": ("tools", TOOLS),
    "functions": ("functions", {"functions": [{"name": "pay", "parameters": {}}]}),
    "web search": ("web search", {"web_search_options": {}}),
    "calls in its history": (
        "tools",
        {
            "messages": [
                {"role": "user", "content": "my secret"},
                {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "pay"}}]},
            ]
        },
    ),
    "a result in its history": (
        "tools",
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "my secret"}]},
    ),
    "a function's call in its history": (
        "functions",
        {"messages": [{"role": "assistant", "function_call": {"name": "secret", "arguments": "{}"}}]},
    ),
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("model", ["gpt-4o", "local/small"])
@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("asked", ASKS_FOR_TOOLS)
async def test_no_model_answers_200_that_was_not_asked_about_the_tools(
    asked: str, stage: Stage, model: str, stream: bool
) -> None:
    """Whoever honours what: the candidate, the named model, both or none; whoever the client asked for."""
    demand, fields = ASKS_FOR_TOOLS[asked]
    body = {**request("my secret", stream=stream), "model": model, **fields}
    honouring: list[frozenset[Demand]] = [frozenset(), frozenset({demand})]
    for candidates, models in itertools.product(honouring, honouring):
        for private_model, gate in (("small", 0.0), ("small", 0.99), (None, 0.0)):
            fitted, named = await ready_engine(says("local")), await ready_engine(says("local"))
            locals_ = {
                "cand": candidate(fitted, HandsOn(confidence=0.5), streams=True, honours=candidates),
                "local/small": Local(model="small", engine=named, streams=True, honours=models),
            }
            bench = Bench(
                table=moved(stage, gate=gate), locals=locals_, private_model=private_model, scan=finds("secret")
            )
            answer = await bench.ask(body)
            assert bench.provider.calls == []
            for engine, honours in ((fitted, candidates), (named, models)):
                assert not engine.calls or demand in honours
                assert all(fields.items() <= json_text.decode(call.body).items() for call in engine.calls)
            if isinstance(answer.reply, Reply):
                assert fitted.calls + named.calls, "a 200 by nobody who was asked"
                await answer.reply.read()
            elif model == "local/small":
                assert demand not in models
            else:
                assert private_model is None or demand not in models


class HandsOn(FixedRecipe):
    """A recipe that hands every field on to the engine."""

    def prepare(self, request: JsonObject) -> Ask:
        return Ask(body=request)


async def test_tools_reach_a_named_model_that_honours_them() -> None:
    bench = await bench_with(says("local"), RoutingTable(), honours=frozenset({"tools"}))
    await bench.read({**request("my secret"), **TOOLS})
    engine = bench.locals["local/small"].engine
    assert isinstance(engine, FakeEngine)
    assert json_text.decode(engine.calls[0].body)["tools"] == TOOLS["tools"]


async def test_the_same_bench_does_reach_the_provider_without_the_secret() -> None:
    """What keeps the other tests honest."""
    bench = await bench_with(fails(DEAD))
    await bench.read(request("harmless"))
    assert len(bench.provider.calls) == 1
    observing = await bench_with(fails(DEAD), scan=None)
    await observing.read(request("my secret"))
    assert len(observing.provider.calls) == 1
