"""The gateway over real HTTP with the official SDK in front and a loopback provider behind: what becomes of answers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from insource.core.errors import UsageError
from insource.core.fakes import FakeEngine
from insource.core.scanning import Examined
from insource.gateway.server import bind
from insource.providers.openai_compatible import OpenAICompatible
from insource.workflows.asking import Local
from insource.workflows.serve.record_exchange import CLIENT_LEFT
from tests.fakes.loopback import HALF, JSON, MESSAGES, Setup, count, gateway, new_exchange, wait_for_health
from tests.fakes.serving import FixedRecipe, candidate, completion, cut_stream, moved, says


@pytest.fixture(scope="module")
def plain() -> Iterator[Setup]:
    with gateway(locals={"local/small": Local(model="small", engine=FakeEngine(says("local")))}) as setup:
        yield setup


def test_whole_and_streamed_answers_come_through(plain: Setup) -> None:
    before = count(plain)
    raw = plain.sdk.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert raw.parse().choices[0].message.content == "hosted"
    route = json.loads(raw.headers["x-insource-route"])
    assert route["upstream"] == "provider:openai"
    assert raw.headers["x-request-id"] == "req-1"
    recorded = new_exchange(plain, before)
    assert recorded.id == raw.headers["x-insource-exchange"]
    stream = plain.ask(stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "hosted"
    streamed = new_exchange(plain, before + 1)
    assert streamed.is_whole
    assert streamed.response is not None
    assert streamed.response["choices"][0]["message"]["content"] == "hosted"
    assert streamed.response["usage"]["total_tokens"] == 7
    assert plain.provider.calls[-1].headers["authorization"] == "Bearer sk-client"
    assert "stream_options" not in json.loads(plain.provider.calls[-1].body), "nothing is asked for that was not"


def test_unknown_fields_survive_byte_for_byte(plain: Setup) -> None:
    odd = b'{"model": "gpt-4o" ,"messages":[{"role":"user","content":"\\u00e9","novel":1.0}],  "z": {"b":2,"a":[ ]}}'
    answer = httpx.post(f"{plain.url}/v1/chat/completions", content=odd, headers=JSON)
    assert plain.provider.calls[-1].body == odd
    assert answer.content == json.dumps({**completion("hosted"), "novel": [1]}).encode()


def test_private_requests_go_to_the_provider_where_nobody_asked_for_privacy(plain: Setup) -> None:
    before = count(plain)
    private: Any = [{"role": "user", "content": "mail a@b.com, my card is 4111 1111 1111 1111"}]
    assert plain.ask(messages=private).choices[0].message.content == "hosted"
    assert b"4111 1111 1111 1111" in plain.provider.calls[-1].body
    assert new_exchange(plain, before).status == 200


def test_a_move_is_taken_up_while_serving() -> None:
    engine = FakeEngine(says("local"))
    with gateway(locals={"cand": candidate(engine, FixedRecipe())}) as setup:
        assert setup.ask().choices[0].message.content == "hosted"
        setup.bench.table, setup.bench.revision = moved(), 2
        answer = setup.ask()
        for _ in range(200):  # the gateway looks every 10 ms here
            answer = setup.ask()
            if answer.model == "small":
                break
        assert answer.choices[0].message.content == "local"
        stream = setup.ask(stream=True, stream_options={"include_usage": True})
        chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "local"
        assert chunks[-1].usage is not None
        last = setup.bench.log.wait(count(setup))[-1]
        assert last.route is not None
        assert (last.route.upstream, last.route.certificate_id) == ("engine:fake", "cert-1")
    assert str(engine.state) == "stopped"


def test_a_providers_error_is_the_sdks_exception(plain: Setup) -> None:
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        plain.ask(model="wrong-key")


@pytest.mark.parametrize("body", [b"nope", b"\xff\xfe", b'{"model": "gpt-4o"', b"[" * 50_000])
def test_a_body_that_is_not_json_is_the_providers_to_refuse(plain: Setup, body: bytes) -> None:
    before = count(plain)
    answer = httpx.post(f"{plain.url}/v1/chat/completions", content=body, headers=JSON)
    assert plain.provider.calls[-1].body == body
    assert answer.status_code == 400
    assert answer.content == b'{"error":  {"message": "We could not parse the JSON body of your request."}}'
    recorded = new_exchange(plain, before)
    assert recorded.id == answer.headers["x-insource-exchange"]
    assert recorded.request == {"content_type": "application/json", "bytes": len(body)}


def test_a_private_request_that_nobody_here_may_answer_is_a_503_with_the_next_step() -> None:
    with gateway(scan=lambda job: Examined(kinds={"email": 1})) as setup:
        with pytest.raises(
            openai.InternalServerError, match=r"may not leave this machine.*INSOURCE_PRIVATE_MODEL"
        ) as caught:
            setup.ask()
        assert caught.value.status_code == 503
        reason = json.loads(caught.value.response.headers["x-insource-route"])["reason"]
        assert reason.startswith("private: email; no certified candidate answers it")
        refused = httpx.post(f"{setup.url}/v1/messages", json={"messages": MESSAGES})
        assert (refused.status_code, refused.json()["type"]) == (503, "error"), "in the caller's dialect"
        assert setup.provider.calls == []


def test_a_provider_that_is_gone_is_a_502() -> None:
    with bind("127.0.0.1", 0) as unused:
        port = unused.getsockname()[1]
    with gateway(provider=OpenAICompatible(f"http://127.0.0.1:{port}")) as setup:
        with pytest.raises(openai.InternalServerError, match="No answer from") as caught:
            setup.ask()
        assert caught.value.status_code == 502


@pytest.mark.parametrize(
    ("model", "why"), [("cut", "it was cut by the upstream"), ("error-event", "an event is an error")]
)
def test_a_stream_that_goes_wrong_is_an_error_for_the_sdk_and_no_answer_in_the_log(
    plain: Setup, model: str, why: str
) -> None:
    before = count(plain)
    stream = plain.ask(model=model, stream=True)
    with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
        list(stream)
    recorded = new_exchange(plain, before)
    assert (recorded.status, recorded.incomplete, recorded.is_whole) == (200, why, False)


def read_until_cut(setup: Setup, model: str) -> bytes:
    asked = {"model": model, "messages": MESSAGES, "stream": True}
    got = b""
    with (  # noqa: PT012 - what came before the cut is looked at
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", f"{setup.url}/v1/chat/completions", json=asked) as answer,
    ):
        for chunk in answer.iter_bytes():
            got += chunk
    return got


def test_a_cut_stream_of_the_provider_reaches_the_client_as_it_came(plain: Setup) -> None:
    assert read_until_cut(plain, "cut") == b"".join(HALF), "nothing held back, no event added, no clean end"


def test_a_cut_stream_of_a_local_engine_ends_with_an_error_event_and_never_cleanly() -> None:
    engine = FakeEngine(lambda call: cut_stream())
    local = candidate(engine, FixedRecipe(), streams=True)
    with gateway(locals={"cand": local}, table=moved(gate=0.0)) as setup:
        wait_for_health(setup, "ready")
        got = read_until_cut(setup, "gpt-4o")
        assert b"[DONE]" not in got
        assert json.loads(got.split(b"data: ")[-1])["error"]["type"] == "upstream_error"
        assert setup.provider.calls == []


def test_a_client_that_hangs_up_closes_the_upstream_and_is_recorded(plain: Setup) -> None:
    before = count(plain)
    stream = plain.ask(model="endless", stream=True)
    assert next(iter(stream)).choices[0].delta.content == "half"
    stream.close()
    assert plain.provider.client_left.wait(10)
    recorded = new_exchange(plain, before)
    assert (recorded.status, recorded.incomplete) == (CLIENT_LEFT, "the client left")
    assert recorded.response is not None
    assert recorded.response["choices"][0]["message"]["content"] == "half"


def test_a_client_that_leaves_while_it_sends_is_nobodys_bug(plain: Setup, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(plain.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as sending:
        sending.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{")
        time.sleep(0.1)
    plain.ask()
    time.sleep(0.1)
    assert "fault of the gateway" not in caplog.text


def test_a_port_in_use_says_so() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(UsageError, match="--port 0"):
            bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="Can't listen"):
        bind("203.0.113.1", 0)
