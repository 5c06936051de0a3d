"""One contract for every provider: the hosted one (against a loopback server) and the replay of a recording."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from insource.core.errors import UpstreamError
from insource.core.headers import Headers, header
from insource.core.ports import Call, Reply, Upstream
from insource.core.values import CHAT_ENDPOINT, Exchange, JsonObject
from insource.providers.openai_compatible import OpenAICompatible
from insource.providers.replay import Replay, replay_key
from insource.wire.sse import completion_to_sse
from insource.wire.wholeness import judge
from tests.fakes.servers import FakeProvider, ServerThread
from tests.fakes.serving import completion, request

KNOWN = request("Is 17077 prime?", temperature=0.1)
ANSWER: JsonObject = {**completion("[Yes]"), "system_fingerprint": "fp_1", "novel": [1]}


def exchange(**changes: object) -> Exchange:
    values = {"id": "e1", "created": datetime(2026, 1, 1, tzinfo=UTC), "request": KNOWN, "response": ANSWER, **changes}
    return Exchange(**values)  # pyright: ignore[reportArgumentType] - fields by name


def hosted_answer(path: str, body: bytes) -> tuple[int, dict[str, str], list[bytes | None]]:
    json_type = {"content-type": "application/json"}
    if path == "/v1/models":
        listed = {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}
        return 200, json_type, [msgspec.json.encode(listed)]
    try:
        asked = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return 400, json_type, [b'{"error": {"message": "not JSON"}}']
    if asked.get("messages") != KNOWN["messages"]:
        return 404, json_type, [b'{"error": {"message": "no such model", "code": "x", "type": "t", "param": null}}']
    if asked.get("stream"):
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        return 200, {"content-type": "text/event-stream"}, list(completion_to_sse(ANSWER, include_usage=usage))
    return 200, json_type, [msgspec.json.encode(ANSWER)]


@pytest.fixture(params=["hosted", "hosted with /v1", "replay"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    if request.param == "replay":
        yield Replay([exchange()])
        return
    with ServerThread(FakeProvider(answer=hosted_answer)) as server:
        made = OpenAICompatible(server.url + ("/v1/" if "/v1" in request.param else ""), key="sk-test")
        yield made
        await made.close()


def call(body: JsonObject) -> Call:
    return Call(path="/v1/chat/completions", body=msgspec.json.encode(body))


async def test_it_answers(provider: Upstream) -> None:
    reply = await provider.send(call(KNOWN))
    assert reply.status == 200
    assert header(reply.headers, "content-type") == "application/json"
    assert msgspec.json.decode(await reply.read()) == ANSWER


@pytest.mark.parametrize("usage", [True, False])
async def test_it_streams(provider: Upstream, usage: bool) -> None:
    reply = await provider.send(call({**KNOWN, "stream": True, "stream_options": {"include_usage": usage}}))
    assert header(reply.headers, "content-type") == "text/event-stream"
    stream = judge(CHAT_ENDPOINT, 200, await reply.read())
    assert stream.flaw is None
    assert stream.response == {k: v for k, v in ANSWER.items() if usage or k != "usage"}


async def test_an_error_is_a_reply_in_openais_shape(provider: Upstream) -> None:
    reply = await provider.send(call(request("never asked before")))
    assert reply.status == 404
    assert set(msgspec.json.decode(await reply.read())["error"]) >= {"message", "type", "code", "param"}


async def test_a_body_that_is_not_json_is_refused(provider: Upstream) -> None:
    reply = await provider.send(Call(path="/v1/chat/completions", body=b"nope"))
    assert reply.status == 400
    await reply.read()


async def test_it_lists_models(provider: Upstream) -> None:
    reply = await provider.send(Call(method="GET", path="/v1/models", body=b""))
    assert [row["id"] for row in msgspec.json.decode(await reply.read())["data"]] == ["gpt-4o"]


async def test_it_has_a_name_and_closes_twice(provider: Upstream) -> None:
    assert provider.name.startswith("provider:")
    await provider.close()
    await provider.close()


# ---------------------------------------------------------------------------------------- only the hosted one


@pytest.mark.parametrize(
    ("given", "key", "sent"),
    [
        ((("Authorization", "Bearer sk-client"),), "sk-ours", {"authorization": "Bearer sk-ours"}),
        ((("Authorization", "Bearer sk-client"),), None, {"authorization": "Bearer sk-client"}),
        ((("x-api-key", "sk-client"), ("X-API-Key", "again")), "sk-ours", {"x-api-key": "sk-ours"}),
        ((("api-key", "sk-client"),), "sk-ours", {"api-key": "sk-ours"}),
        ((), "sk-ours", {"authorization": "Bearer sk-ours"}),
        ((), None, {}),
    ],
)
async def test_the_key_is_sent_instead_of_the_clients_and_never_shown(
    given: Headers, key: str | None, sent: dict[str, str]
) -> None:
    server_side = FakeProvider(answer=hosted_answer)
    with ServerThread(server_side) as server:
        made = OpenAICompatible(server.url, key=key)
        await (await made.send(Call(path="/v1/x", body=b"{}", headers=(*given, ("x-a", "1"))))).read()
        await made.close()
    heard = server_side.calls[0].pairs
    assert {name: value for name, value in heard if name in ("authorization", "x-api-key", "api-key")} == sent
    assert len(heard) == len(sent) + 3, "host, the body's length and x-a; nothing is added"
    assert header(heard, "x-a") == "1"
    assert "sk-ours" not in repr(made)


async def test_bytes_arrive_as_they_were_sent() -> None:
    server_side = FakeProvider(answer=hosted_answer)
    odd = b'{ "model" :"m",\n"messages":[], "x": 1.0e0}'
    with ServerThread(server_side) as server:
        made = OpenAICompatible(server.url)
        await (await made.send(Call(path="/v1/chat/completions", body=odd))).read()
        await made.close()
    assert server_side.calls[0].body == odd


async def test_every_method_target_header_and_stream_arrives_as_it_was_sent() -> None:
    server_side = FakeProvider(answer=lambda path, body: (307, {"location": "/elsewhere"}, [b"moved"]))
    repeated: Headers = (("x-twice", "1"), ("x-twice", "2"), ("content-type", "multipart/form-data; boundary=x"))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    with ServerThread(server_side) as server:
        made = OpenAICompatible(server.url)
        sent = Call(method="PUT", path="/v1/a%2Fb?x=%20y&x=2", stream=pieces(), headers=repeated)
        reply = await made.send(sent)
        assert (reply.status, await reply.read()) == (307, b"moved"), "a redirect is not followed"
        assert header(reply.headers, "location") == "/elsewhere"
        await made.close()
    (heard,) = server_side.calls
    assert (heard.method, heard.target, heard.body) == ("PUT", "/v1/a%2Fb?x=%20y&x=2", b"one two")
    assert tuple(pair for pair in heard.pairs if pair[0] in ("x-twice", "content-type")) == repeated


async def test_a_cut_answer_raises_and_an_absent_server_says_so() -> None:
    with ServerThread(FakeProvider(answer=lambda path, body: (200, {}, [b"half", None]))) as server:
        made = OpenAICompatible(server.url)
        with pytest.raises(UpstreamError, match="was cut"):
            await (await made.send(call(KNOWN))).read()
    with pytest.raises(UpstreamError, match="No answer from"):
        await made.send(call(KNOWN))
    await made.close()


# ------------------------------------------------------------------------------------------- only the replay


async def read(reply: Reply) -> JsonObject:
    return msgspec.json.decode(await reply.read())


async def test_how_an_answer_is_delivered_does_not_make_another_request() -> None:
    assert replay_key(KNOWN) == replay_key({**KNOWN, "stream": True, "user": "u", "stream_options": {}})
    assert replay_key(KNOWN) != replay_key({**KNOWN, "temperature": 0.2})
    assert replay_key({"a": 1, "b": 2}) == replay_key({"b": 2, "a": 1})


async def test_the_first_answered_exchange_is_served() -> None:
    replay = Replay(
        [
            exchange(response=None, reference="label"),
            exchange(response=completion("broken"), status=502),
            exchange(),
            exchange(response=completion("later")),
        ]
    )
    assert await read(await replay.send(call(KNOWN))) == ANSWER


async def test_the_recorded_latency_is_kept_when_asked() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await Replay([exchange(latency_seconds=1.5)], latency=True, sleep=sleep).send(call(KNOWN))
    await Replay([exchange(latency_seconds=1.5)], sleep=sleep).send(call(KNOWN))
    assert slept == [1.5]


async def test_an_unknown_request_says_what_to_do() -> None:
    said = (await read(await Replay([]).send(call(KNOWN))))["error"]["message"]
    assert "Import" in said
    assert "provider_replay" in said
