"""One request through the handler to the provider and back: what is sent, what the client gets, what the log says."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from insource.core.errors import UpstreamError
from insource.core.fakes import FakeUpstream, json_reply
from insource.core.headers import Headers, header
from insource.core.ports import Call, Reply
from insource.core.scanning import Examined
from insource.core.values import JsonObject
from insource.wire.sse import completion_to_sse
from insource.workflows.serve.record_exchange import CLIENT_LEFT
from tests.fakes.serving import (
    Bench,
    FixedRecipe,
    candidate,
    completion,
    cut_stream,
    fails,
    finds,
    moved,
    ready_engine,
    request,
    route_of,
    says,
    stream_reply,
)

JSON_TYPE: Headers = (("content-type", "application/json"),)


def answers(body: bytes, headers: Headers = JSON_TYPE, *, status: int = 200) -> FakeUpstream:
    return FakeUpstream(lambda call: Reply(status=status, headers=headers, chunks=stream_reply(body).chunks))


async def test_without_a_move_the_bytes_pass_through_both_ways() -> None:
    odd = b'{ "model":"gpt-4o" , "novel": {"z": 1.50, "a": null}, "messages":[{"role":"user","content":"h\\u00e9"}] }'
    said = b'{"choices": [ {"index":0,"message":{"content":"x"}} ],  "unheard_of": 1e3}'
    bench = Bench(provider=answers(said, (*JSON_TYPE, ("x-request-id", "r"))))
    given, data = await bench.read(odd)
    assert bench.provider.calls[0].body == odd
    assert data == said
    assert isinstance(given.reply, Reply)
    assert header(given.reply.headers, "x-request-id") == "r"
    assert not given.authored
    (exchange,) = bench.log.exchanges
    assert exchange.request["novel"] == {"z": 1.5, "a": None}
    assert exchange.response is not None
    assert exchange.response["unheard_of"] == 1000
    assert route_of(bench).upstream == "provider:fake"


async def test_the_record_has_latency_cost_and_the_declared_task() -> None:
    bench = Bench()
    answer = await bench.ask(request(), (("x-insource-task", "triage"),))
    assert isinstance(answer.reply, Reply)
    bench.clock.advance(1.25)
    await answer.reply.read()
    (exchange,) = bench.log.exchanges
    assert (exchange.latency_seconds, exchange.status) == (1.25, 200)
    assert (exchange.cost_usd, exchange.cost_source) == (pytest.approx(0.007), "list price")
    assert exchange.metadata == {"task": "triage"}
    assert exchange.is_whole


async def test_an_answer_without_usage_is_priced_by_an_estimate_that_says_so() -> None:
    whole = {key: value for key, value in completion("hosted").items() if key != "usage"}
    bench = Bench(provider=FakeUpstream(lambda call: json_reply(whole)))
    await bench.read(request())
    (exchange,) = bench.log.exchanges
    assert exchange.cost_usd is not None
    assert exchange.cost_usd > 0
    assert exchange.cost_source == "estimate"


async def test_without_bodies_only_figures_are_kept() -> None:
    bench = Bench(bodies=False)
    await bench.read(request("my words"))
    (exchange,) = bench.log.exchanges
    assert "my words" not in repr(exchange)
    assert exchange.response is not None
    assert exchange.response["usage"]["total_tokens"] == 7


# ----------------------------------------------------------------------------- nothing is refused, nothing changed


async def test_without_a_policy_private_requests_go_to_the_provider_unchanged() -> None:
    private = b'{"model": "gpt-4o", "messages": [{"role":"user","content":"mail a@b.com, card 4111 1111 1111 1111"}]}'
    bench = Bench()
    answer, data = await bench.read(private)
    assert [call.body for call in bench.provider.calls] == [private]
    assert b"hosted" in data
    assert isinstance(answer.reply, Reply)
    assert answer.reply.status == 200
    (exchange,) = bench.log.exchanges
    assert exchange.private_kinds is None, "what is private in it is found out later, off the way"
    assert not route_of(bench).pinned


@pytest.mark.parametrize("private", [True, False], ids=["enforced", "observed"])
@pytest.mark.parametrize("body", [b"{", b"[]", b"nope", b"[" * 100_000, b'"text"', b"\xff\xfe", b'{"a":1}{'])
async def test_a_body_that_is_not_a_json_object_is_the_providers_to_judge(body: bytes, private: bool) -> None:
    """Under a policy what is not JSON can't be scanned, and that is a kind of its own."""
    refused = {"error": {"message": "We could not parse the JSON body of your request."}}
    bench = Bench(
        provider=FakeUpstream(lambda call: json_reply(refused, status=400)), scan=finds("secret") if private else None
    )
    answer = await bench.ask(body, (("content-type", "text/odd"),))
    if private and body not in (b"[]", b'"text"'):
        assert not isinstance(answer.reply, Reply)
        assert bench.provider.calls == []
        assert bench.log.exchanges[0].private_kinds == ("unreadable",)
    else:
        assert isinstance(answer.reply, Reply)
        assert (answer.reply.status, msgspec.json.decode(await answer.reply.read())) == (400, refused)
        assert [call.body for call in bench.provider.calls] == [body]
    (exchange,) = bench.log.exchanges
    assert exchange.request == {"content_type": "text/odd", "bytes": len(body)}


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/v1/models", ""),
        ("GET", "/v1/files", "purpose=batch&limit=2"),
        ("DELETE", "/v1/files/file-1", ""),
        ("POST", "/v1/chat/completions/chatcmpl-1/cancel", ""),
        ("GET", "/v1/chat/completions", ""),
        ("PATCH", "/v2/nobody%2Fknows", "a=%20b"),
    ],
)
async def test_every_method_path_and_query_goes_to_the_provider(method: str, path: str, query: str) -> None:
    engine = await ready_engine(says("local"))
    bench = Bench(table=moved(), locals={"cand": candidate(engine, FixedRecipe())}, provider=answers(b"{}"))
    _, data = await bench.read(b"", method=method, path=path, query=query)
    assert data == b"{}"
    (call,) = bench.provider.calls
    assert (call.method, call.path, call.body) == (method, f"{path}?{query}" if query else path, b"")
    (exchange,) = bench.log.exchanges
    assert (exchange.endpoint, exchange.request, exchange.private_kinds) == (path, {}, ())
    assert engine.calls == []


async def test_other_endpoints_are_recorded_as_far_as_they_can_be_read() -> None:
    asked: JsonObject = {"model": "text-embedding-3-small", "input": "hello"}
    said: JsonObject = {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    bench = Bench(provider=FakeUpstream(lambda call: json_reply(said)))
    await bench.read(asked, path="/v1/embeddings")
    (exchange,) = bench.log.exchanges
    assert (exchange.endpoint, exchange.request, exchange.response) == ("/v1/embeddings", asked, said)
    assert (exchange.cost_usd, exchange.cost_source) == (pytest.approx(0.004), "list price")


LARGE: Headers = (("content-type", "multipart/form-data; boundary=x"), ("content-length", str(5 << 20)))


@pytest.mark.parametrize("headers", [LARGE, (("transfer-encoding", "chunked"),)], ids=["large", "chunked"])
async def test_a_long_upload_goes_on_as_it_comes(headers: Headers) -> None:
    bench = Bench(provider=answers(b'{"id": "file-1"}'))
    data = b"--x\r\nbinary \x00\xff\r\n--x--"
    answer = await bench.ask(data, headers, path="/v1/files")
    assert isinstance(answer.reply, Reply)
    (call,) = bench.provider.calls
    assert call.body == b""
    assert call.stream is not None
    assert b"".join([chunk async for chunk in call.stream]) == data
    assert header(call.headers, "content-length") == header(headers, "content-length"), (
        "as it was stated, or not at all"
    )
    await answer.reply.read()
    (exchange,) = bench.log.exchanges
    assert exchange.request == {
        "content_type": header(headers, "content-type") or "",
        "bytes": 5 << 20 if headers is LARGE else 0,
    }


async def test_a_policy_reads_an_upload_to_its_end_before_it_decides() -> None:
    bench = Bench(scan=lambda job: Examined(), provider=answers(b"{}"))
    await bench.read(b"x" * 100, LARGE, path="/v1/files")
    assert [(call.body, call.stream) for call in bench.provider.calls] == [(b"x" * 100, None)]


# ---------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("forward_key", [True, False])
async def test_the_clients_key_goes_to_the_provider_only_when_none_is_configured(forward_key: bool) -> None:
    bench = Bench(forward_key=forward_key)
    keys: Headers = (("authorization", "Bearer sk-1"), ("x-api-key", "sk-1"), ("api-key", "sk-1"))
    await bench.read(request(), (*keys, ("openai-organization", "o")))
    sent = bench.provider.calls[0].headers
    assert [header(sent, name) is not None for name, _ in keys] == [forward_key] * 3
    assert header(sent, "openai-organization") == "o"
    assert "sk-1" not in repr(bench.log.exchanges)


async def test_only_headers_of_the_message_travel() -> None:
    back: Headers = (("set-cookie", "s=1"), ("x-insource-route", "forged"), ("x-ratelimit", "9"), ("x-ratelimit", "8"))
    bench = Bench(provider=answers(b"{}", back))
    ours: Headers = (("cookie", "c"), ("host", "h"), ("connection", "close, x-hop"), ("x-hop", "1"))
    own: Headers = (("x-insource-task", "t"), ("accept-encoding", "br"), ("x-twice", "1"), ("x-twice", "2"))
    answer, _ = await bench.read(request(), (*ours, *own))
    assert bench.provider.calls[0].headers == (("accept-encoding", "br"), ("x-twice", "1"), ("x-twice", "2"))
    assert isinstance(answer.reply, Reply)
    assert answer.reply.headers == (("x-ratelimit", "9"), ("x-ratelimit", "8"))


async def test_a_redirect_under_the_providers_address_leads_back_to_the_gateway() -> None:
    location: Headers = (("location", "https://provider.example/v1/elsewhere"),)
    bench = Bench(provider=answers(b"", location, status=307))
    answer, _ = await bench.read(request(), (("host", "127.0.0.1:8787"),))
    assert isinstance(answer.reply, Reply)
    assert answer.reply.status == 307
    assert header(answer.reply.headers, "location") == "http://127.0.0.1:8787/v1/elsewhere"


# ---------------------------------------------------------------------------------------------- answers that go wrong


async def test_a_cut_provider_stream_is_passed_on_as_it_came_and_recorded_as_cut() -> None:
    bench = Bench(provider=FakeUpstream(lambda call: cut_stream()))
    answer = await bench.ask(request(stream=True))
    assert isinstance(answer.reply, Reply)
    got: list[bytes] = []
    with pytest.raises(UpstreamError):  # noqa: PT012 - what came before the error is looked at
        async for chunk in answer.reply.chunks:
            got.append(chunk)
    await answer.reply.close()
    first, second, *_ = completion_to_sse(completion("half an answer"), include_usage=False)
    assert got == [first, second[:20]], "the half event too; and no event was added"
    assert not answer.authored
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.incomplete) == (200, "it was cut by the upstream")
    assert not exchange.is_whole
    assert exchange.response is not None
    assert exchange.response["choices"][0]["message"]["content"] == "half an answer"
    assert exchange.cost_source == "estimate"


async def test_a_stream_that_just_ends_passes_and_is_not_whole() -> None:
    ends = b'data: {"choices":[{"index":0,"delta":{"content":"ha"}}]}\n\n'
    bench = Bench(provider=FakeUpstream(lambda call: stream_reply(ends)))
    _, data = await bench.read(request(stream=True))
    assert data == ends
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.incomplete) == (200, "its stream has no finish reason")


async def test_a_broken_200_reaches_the_client_and_is_not_whole() -> None:
    bench = Bench(provider=answers(b"<html>log in</html>"))
    _, data = await bench.read(request())
    assert data == b"<html>log in</html>"
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.response, exchange.incomplete) == (200, None, "its body is not JSON")
    assert (exchange.cost_usd, exchange.cost_source) == (None, None)


async def test_a_client_that_leaves_closes_the_upstream_and_is_recorded() -> None:
    closed: list[bool] = []

    def answer(call: Call) -> Reply:
        reply = says("hosted")(call)

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
    assert (exchange.status, exchange.incomplete) == (CLIENT_LEFT, "the client left")


async def test_a_client_that_leaves_before_the_answer_is_recorded() -> None:
    waiting = asyncio.Event()

    class Slow(FakeUpstream):
        async def send(self, call: Call) -> Reply:
            waiting.set()
            await asyncio.Event().wait()
            raise AssertionError

    bench = Bench(provider=Slow(says("never")))
    task = asyncio.create_task(bench.ask(request()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.incomplete) == (CLIENT_LEFT, "the client left before the answer")


async def test_a_providers_error_is_passed_on_and_is_no_answer() -> None:
    refused = {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}
    bench = Bench(provider=FakeUpstream(lambda call: json_reply(refused, status=401)))
    answer, data = await bench.read(request())
    assert isinstance(answer.reply, Reply)
    assert (answer.reply.status, msgspec.json.decode(data)) == (401, refused)
    (exchange,) = bench.log.exchanges
    assert (exchange.status, exchange.response, exchange.incomplete) == (401, None, None)


async def test_an_unreachable_provider_is_an_upstream_error_with_its_record() -> None:
    bench = Bench(provider=FakeUpstream(fails(UpstreamError("No answer.", next_step="Check it."))))
    answer = await bench.ask(request())
    assert isinstance(answer.reply, UpstreamError)
    assert answer.authored
    assert bench.log.exchanges[0].status == 502
