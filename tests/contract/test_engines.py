"""What every engine keeps to: the same tests on our llama.cpp engine, on the external engine in front of the
responder, and on the external engine in front of a llama.cpp worker. `Case.make` gives a stopped engine; `ready` is
shared by the tests of a case."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from insource.core.errors import ContextOverflow, EngineFailed, UpstreamError
from insource.core.headers import Headers, header
from insource.core.ports import Call, Engine, Reply
from insource.core.values import EngineSettings, EngineState, ModelFile
from insource.engines.external import ExternalEngine
from insource.engines.llamacpp import LlamaCppEngine
from insource.engines.process import Command, WorkerLimits, WorkerProcess
from insource.engines.worker import WorkerParameters
from insource.wire.client import Client
from insource.workflows.serve.answer_locally import Local, answer_locally
from tests.fakes.responder import running_responder

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SETTINGS = EngineSettings(context_tokens=512, slots=2, threads=1)
_SLOT_TOKENS = 256
_DEADLINE_SECONDS = 30.0
_KEY = "a key of the tests"


@dataclass(frozen=True, slots=True)
class Case:
    make: Callable[[], Engine]
    ready: Engine


def model_file(path: Path, ref: str = "test/model") -> ModelFile:
    return ModelFile(ref=ref, path=path, sha256="0" * 64, size_bytes=path.stat().st_size, source="file")


def chat(content: str = "Say hi.", **fields: Any) -> Call:
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 4, **fields}
    return Call(path="/v1/chat/completions", body=json.dumps(body).encode())


async def answer(engine: Engine, call: Call) -> tuple[int, bytes]:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        reply = await engine.send(call)
        return reply.status, await reply.read()


async def first_chunk(reply: Reply) -> bytes:
    return await asyncio.wait_for(anext(reply.chunks), _DEADLINE_SECONDS)


@contextlib.asynccontextmanager
async def external_to_responder() -> AsyncGenerator[Callable[[], Engine]]:
    with running_responder("--context", str(_SLOT_TOKENS), "--chunk-delay", "0.01", "--key", _KEY) as responder:
        yield lambda: ExternalEngine(responder.url + "/v1", key=_KEY)


@contextlib.asynccontextmanager
async def llamacpp_worker(model: Path) -> AsyncGenerator[str]:
    """Its URL."""
    parameters = WorkerParameters(
        model_path=str(model), alias="test/model", context_tokens=512, slots=2, threads=1, seed=0, key=_KEY
    )
    argv = (sys.executable, "-m", "insource.engines.worker")
    worker = WorkerProcess(Command(argv=argv, parameters=parameters.line()), limits=WorkerLimits())
    try:
        await worker.start()
        assert worker.url is not None
        yield worker.url
    finally:
        await worker.stop()


@contextlib.asynccontextmanager
async def external_to_llamacpp(model: Path) -> AsyncGenerator[Callable[[], Engine]]:
    async with llamacpp_worker(model) as url:
        yield lambda: ExternalEngine(url, model="test/model", key=_KEY)


@contextlib.asynccontextmanager
async def our_llamacpp(model: Path) -> AsyncGenerator[Callable[[], Engine]]:
    yield lambda: LlamaCppEngine(model_file(model), _SETTINGS)


@pytest_asyncio.fixture(
    loop_scope="module",
    scope="module",
    params=[
        "external-responder",
        pytest.param("llamacpp", marks=pytest.mark.engine),
        pytest.param("external-llamacpp", marks=pytest.mark.engine),
    ],
)
async def case(request: pytest.FixtureRequest) -> AsyncGenerator[Case]:
    if request.param == "external-responder":
        opened = external_to_responder()
    else:
        model: Path = request.getfixturevalue("default_model_path")
        opened = our_llamacpp(model) if request.param == "llamacpp" else external_to_llamacpp(model)
    async with opened as make:
        ready = make()
        await ready.start()
        yield Case(make, ready)
        await ready.stop()


# ---------------------------------------------------------------------------------------------- every engine


async def test_its_life(case: Case) -> None:
    engine = case.make()
    assert engine.state is EngineState.STOPPED
    assert engine.name.startswith("engine:")
    with pytest.raises(EngineFailed, match="stopped, not ready"):
        await engine.send(chat())
    await engine.stop()
    await asyncio.gather(engine.start(), engine.start())
    await engine.start()
    assert engine.state is EngineState.READY
    assert engine.model
    status, _ = await answer(engine, Call(path="/health", body=b"", method="GET"))
    assert status == 200
    await asyncio.gather(engine.stop(), engine.stop())
    await engine.close()
    assert engine.state is EngineState.STOPPED
    with pytest.raises(EngineFailed, match="stopped, not ready"):
        await engine.send(chat())


async def test_an_answer_says_its_model(case: Case) -> None:
    status, body = await answer(case.ready, chat())
    completion = json.loads(body)
    assert status == 200
    assert completion["choices"][0]["message"]["content"]
    assert completion["model"] == case.ready.model
    assert completion["usage"]["completion_tokens"] > 0


async def test_a_hosted_models_name_and_unknown_fields_do_no_harm(case: Case) -> None:
    status, body = await answer(case.ready, chat(model="gpt-4o", user="u1", zork={"deep": [1.0]}))
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"]


async def test_a_stream_ends_with_done(case: Case) -> None:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        reply = await case.ready.send(chat(stream=True, stream_options={"include_usage": True}))
        assert reply.status == 200
        assert (header(reply.headers, "content-type") or "").startswith("text/event-stream")
        body = (await reply.read()).decode()
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["usage"]["completion_tokens"] > 0
    text = "".join(c["delta"].get("content") or "" for e in events[:-1] for c in json.loads(e)["choices"])
    assert text


async def test_a_request_right_after_a_stream_is_answered(case: Case) -> None:
    for _ in range(5):
        status, body = await answer(case.ready, chat(stream=True, max_tokens=1))
        assert status == 200
        assert body.rstrip().endswith(b"data: [DONE]")


async def test_a_client_that_leaves_mid_stream_does_not_break_the_next_request(case: Case) -> None:
    for _ in range(3):  # more than there are slots
        reply = await case.ready.send(chat("Count to one hundred.", stream=True, max_tokens=200))
        assert await first_chunk(reply)
        await reply.close()
    status, _ = await answer(case.ready, chat())
    assert status == 200


async def test_more_requests_than_slots_are_all_answered(case: Case) -> None:
    answers = await asyncio.gather(*(answer(case.ready, chat(max_tokens=1)) for _ in range(8)))
    assert [status for status, _ in answers] == [200] * 8


async def test_an_overflow_is_an_error_and_says_both_numbers(case: Case) -> None:
    asked = json.loads(chat("word " * 300).body)
    with pytest.raises(ContextOverflow, match=rf"\b{_SLOT_TOKENS}\b") as overflow:
        await answer_locally(Local(model="m", engine=case.ready), asked)
    assert re.search(r"\b3\d\d\b", overflow.value.message), "the prompt's own length"
    assert "INSOURCE_CONTEXT_TOKENS" in overflow.value.next_step


async def test_a_body_that_is_not_json_is_refused_by_the_server(case: Case) -> None:
    status, _ = await answer(case.ready, Call(path="/v1/chat/completions", body=b"{not json"))
    assert 400 <= status <= 500


# --------------------------------------------------------------------------------------------- llama.cpp only


@pytest.mark.engine
async def test_killed_mid_stream_the_answer_is_an_error_and_the_engine_comes_back(default_model_path: Path) -> None:
    engine = LlamaCppEngine(model_file(default_model_path), _SETTINGS)
    await engine.start()
    pid = engine.pid
    assert pid is not None
    if sys.platform == "linux":
        adjustment = await asyncio.to_thread(Path(f"/proc/{pid}/oom_score_adj").read_text)
        assert int(adjustment) == 1000, "out of memory ends the worker first"
    reply = await engine.send(chat("Write a long story.", stream=True, max_tokens=200))
    assert await first_chunk(reply)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UpstreamError, match="was cut"):
        await asyncio.wait_for(reply.read(), _DEADLINE_SECONDS)
    with pytest.raises(UpstreamError):
        await answer(engine, chat())
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while engine.state is not EngineState.READY or engine.pid == pid:  # noqa: ASYNC110 - another process's state has no event
            await asyncio.sleep(0.05)
    status, _ = await answer(engine, chat())
    assert status == 200
    await engine.stop()


@pytest.mark.engine
async def test_generation_stops_at_the_context_and_says_so(default_model_path: Path) -> None:
    engine = LlamaCppEngine(model_file(default_model_path), EngineSettings(context_tokens=256, slots=1, threads=1))
    await engine.start()
    call = chat("word " * 200, max_tokens=500, ignore_eos=True)
    status, body = await answer(engine, call)
    completion = json.loads(body)
    assert status == 200
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["usage"]["total_tokens"] <= 256
    await engine.stop()


@pytest.mark.engine
async def test_the_worker_refuses_strangers_and_shows_nothing(default_model_path: Path) -> None:
    async with llamacpp_worker(default_model_path) as url:
        client = Client(url)
        ours: Headers = (("authorization", f"Bearer {_KEY}"),)
        for headers, path, refusal in [
            ((), "/v1/models", 401),
            ((), "/props", 401),
            ((), "/v1/chat/completions", 401),
            ((), "/", 404),
            (ours, "/slots", 501),
            (ours, "/tools", 403),
        ]:
            call = replace(chat(), path=path, headers=headers)
            method = "POST" if path == "/v1/chat/completions" else "GET"
            reply = await client.send(replace(call, method=method, body=call.body if method == "POST" else b""))
            await reply.read()
            assert reply.status == refusal, path
        await client.close()
        with pytest.raises(EngineFailed, match="refused the key"):
            await ExternalEngine(url, model="test/model").start()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("keep_bytes", "reason"),
    [(0, ""), (1000, ""), (50_000_000, "not within the file bounds"), (-1, "invalid magic characters: 'hell'")],
    ids=["empty", "cut in the header", "cut in the data", "not a GGUF"],
)
async def test_a_damaged_model_file_is_said(
    default_model_path: Path, tmp_path: Path, keep_bytes: int, reason: str
) -> None:
    damaged = tmp_path / "damaged.gguf"
    with default_model_path.open("rb") as whole:
        damaged.write_bytes(whole.read(keep_bytes) if keep_bytes >= 0 else b"hello, world")
    engine = LlamaCppEngine(model_file(damaged), _SETTINGS)
    with pytest.raises(EngineFailed) as caught:
        await engine.start()
    assert engine.state is EngineState.FAILED
    assert f"llama.cpp can't load 'test/model' from {str(damaged)!r}: " in caught.value.message
    assert reason in caught.value.message
    assert "insource models pull test/model" in caught.value.next_step
    with pytest.raises(EngineFailed, match="failed, not ready"):
        await engine.send(chat())
    await engine.stop()


# ---------------------------------------------------------------------------------------------- external only


@pytest.mark.parametrize(
    ("options", "arguments", "reason"),
    [
        (("--key", "right"), {"key": "wrong"}, "refused the key"),
        (("--model", "a"), {"model": "b"}, r"no model 'b' \(it has: a\)"),
    ],
)
async def test_an_external_server_that_will_not_do(
    options: tuple[str, ...], arguments: dict[str, str], reason: str
) -> None:
    with running_responder(*options) as responder:
        engine = ExternalEngine(responder.url, **arguments)
        with pytest.raises(EngineFailed, match=reason):
            await engine.start()
        assert engine.state is EngineState.FAILED
        with pytest.raises(EngineFailed, match="failed, not ready"):
            await engine.send(chat())
        await engine.stop()


async def test_an_external_server_that_is_not_there_and_then_is() -> None:
    with running_responder() as responder:
        engine = ExternalEngine(responder.url)
        await engine.start()
        responder.kill()
        with pytest.raises(UpstreamError):
            await answer(engine, chat())
        await engine.stop()
        with pytest.raises(EngineFailed, match="does not answer"):
            await engine.start()
        assert engine.state is EngineState.FAILED


async def test_bytes_go_out_untouched_where_the_model_is_right() -> None:
    with running_responder() as responder:
        engine = ExternalEngine(responder.url, key="k")
        await engine.start()
        body = '{ "model":"responder", "messages" : [], "zork": 1.0e0 }'
        headers: Headers = (("Authorization", "Bearer app"), ("x-a", "b"))
        call = Call(path="/v1/chat/completions", body=body.encode(), headers=headers)
        assert (await answer(engine, call))[0] == 200
        assert responder.requests() == [body]
        heard = responder.headers()[0]
        assert (heard["authorization"], heard["x-a"]) == ("Bearer k", "b")
        await engine.stop()
