"""The gateway over real HTTP with the official SDK in front and a loopback provider behind."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest

from insource.core.errors import UsageError
from insource.core.fakes import FakeEngine
from insource.core.values import Move, Stage
from insource.gateway.server import bind
from insource.providers.openai_compatible import OpenAICompatible
from insource.routing.decide import RoutingTable
from insource.wire.sse import completion_to_sse, format_event
from insource.workflows.serve.answer_locally import Local
from insource.workflows.serve.record_exchange import CLIENT_LEFT
from tests.fakes.serving import Bench, FakeProvider, FixedRecipe, ServerThread, completion, says

MESSAGES: Any = [{"role": "user", "content": "hello"}]
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


def hosted(path: str, body: bytes) -> tuple[int, dict[str, str], list[bytes | None]]:
    if path == "/v1/models":
        return 200, JSON, [b'{"object": "list", "data": [{"id": "gpt-4o", "object": "model"}], "novel": 1}']
    asked = json.loads(body)
    if asked["model"] == "wrong-key":
        return 401, JSON, [b'{"error": {"message": "Incorrect API key", "type": "x", "code": "k", "param": null}}']
    if asked["model"] == "cut":
        return 200, SSE, [*list(completion_to_sse(completion("half"), include_usage=False))[:1], b"data: {", None]
    if asked["model"] == "error-event":
        return 200, SSE, [format_event({"error": {"message": "overloaded", "code": 529}})]
    if asked["model"] == "endless":
        return 200, SSE, [*list(completion_to_sse(completion("begun"), include_usage=False))[:1], b"wait"]
    if asked.get("stream"):
        return 200, SSE, list(completion_to_sse(completion("hosted"), include_usage=True))
    return 200, {**JSON, "x-request-id": "req-1"}, [json.dumps({**completion("hosted"), "novel": [1]}).encode()]


class Setup:
    """The three processes' worth of it, in threads."""

    def __init__(self, bench: Bench, provider: FakeProvider, url: str) -> None:
        self.bench, self.provider, self.url = bench, provider, url
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-client", max_retries=0)

    def ask(self, **more: Any) -> Any:
        asked: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, **more}
        return self.sdk.chat.completions.create(**asked)


@contextmanager
def gateway(**more: Any) -> Generator[Setup]:
    provider = FakeProvider(answer=hosted)
    with ServerThread(provider) as upstream:
        given: dict[str, Any] = {"provider": OpenAICompatible(upstream.url), "forward_key": True, **more}
        bench = Bench(**given)
        with ServerThread(bench.app()) as server:
            setup = Setup(bench, provider, server.url)
            yield setup
            setup.sdk.close()


@pytest.fixture(scope="module")
def plain() -> Iterator[Setup]:
    with gateway(locals={None: Local(model="small", engine=FakeEngine(says("local")))}) as setup:
        setup.bench.table = RoutingTable(local_default="small")
        setup.bench.revision += 1
        yield setup


def new_exchange(setup: Setup, before: int) -> Any:
    return setup.bench.log.wait(before + 1)[before]


def count(setup: Setup) -> int:
    return len(setup.bench.log.exchanges)


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
    assert streamed.response["choices"][0]["message"]["content"] == "hosted"
    assert streamed.response["usage"]["total_tokens"] == 7
    assert plain.provider.calls[-1][1]["authorization"] == "Bearer sk-client"


def test_unknown_fields_survive_byte_for_byte(plain: Setup) -> None:
    odd = b'{"model": "gpt-4o" ,"messages":[{"role":"user","content":"\\u00e9","novel":1.0}],  "z": {"b":2,"a":[ ]}}'
    answer = httpx.post(f"{plain.url}/v1/chat/completions", content=odd, headers=JSON)
    assert plain.provider.calls[-1][2] == odd
    assert answer.json()["novel"] == [1]


def test_a_move_is_taken_up_while_serving() -> None:
    engine = FakeEngine(says("local"))
    local = Local(model="small", engine=engine, fitted=FixedRecipe(), recipe="prompt")
    with gateway(locals={"cand": local}) as setup:
        assert setup.ask().choices[0].message.content == "hosted"
        move = Move(
            task_id="task-a",
            candidate_id="cand",
            stage=Stage.LIVE,
            gate=0.5,
            certificate_id="cert-1",
            canary_share=0.1,
            changed=datetime(2026, 1, 1, tzinfo=UTC),
            reason="test",
        )
        setup.bench.table, setup.bench.revision = RoutingTable(moves={"task-a": move}), 2
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


def test_a_body_that_is_not_json_is_a_400(plain: Setup) -> None:
    answer = httpx.post(f"{plain.url}/v1/chat/completions", content=b"nope", headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "Send a JSON object" in answer.json()["error"]["message"]
    assert answer.headers["x-insource-exchange"]


def test_a_pinned_request_that_nothing_local_can_answer_is_a_503_with_the_next_step() -> None:
    with gateway(scan=lambda request: ("email",)) as setup:
        with pytest.raises(openai.InternalServerError, match="must stay on this machine") as caught:
            setup.ask()
        assert caught.value.status_code == 503
        assert json.loads(caught.value.response.headers["x-insource-route"])["reason"] == "private: email"
        assert setup.provider.calls == []


def test_a_provider_that_is_gone_is_a_502() -> None:
    with bind("127.0.0.1", 0) as unused:
        port = unused.getsockname()[1]
    with gateway(provider=OpenAICompatible(f"http://127.0.0.1:{port}")) as setup:
        with pytest.raises(openai.InternalServerError, match="No answer from") as caught:
            setup.ask()
        assert caught.value.status_code == 502


@pytest.mark.parametrize("model", ["cut", "error-event"])
def test_a_cut_stream_is_an_error_for_the_sdk(plain: Setup, model: str) -> None:
    before = count(plain)
    stream = plain.ask(model=model, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
    recorded = new_exchange(plain, before)
    assert recorded.status == 502
    assert "incomplete" in recorded.metadata


def test_a_cut_stream_never_ends_cleanly_on_the_wire(plain: Setup) -> None:
    asked = {"model": "cut", "messages": MESSAGES, "stream": True}
    got = b""
    with (  # noqa: PT012 - what came before the cut is looked at
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", f"{plain.url}/v1/chat/completions", json=asked) as answer,
    ):
        for chunk in answer.iter_bytes():
            got += chunk
    assert b"[DONE]" not in got
    assert json.loads(got.split(b"data: ")[-1])["error"]["type"] == "upstream_error"


def test_a_client_that_hangs_up_closes_the_upstream_and_is_recorded(plain: Setup) -> None:
    before = count(plain)
    stream = plain.ask(model="endless", stream=True)
    assert next(iter(stream)).choices[0].delta.content == "begun"
    stream.close()
    assert plain.provider.client_left.wait(10)
    recorded = new_exchange(plain, before)
    assert recorded.status == CLIENT_LEFT
    assert recorded.response["choices"][0]["message"]["content"] == "begun"


def test_models_are_the_providers_and_ours(plain: Setup) -> None:
    names: list[str] = []
    for _ in range(200):
        names = [model.id for model in plain.sdk.models.list()]
        if len(names) == 2:
            break
    assert names == ["gpt-4o", "small"]
    assert httpx.get(f"{plain.url}/v1/models").json()["novel"] == 1


def test_health_and_metrics(plain: Setup) -> None:
    plain.ask()
    health = httpx.get(f"{plain.url}/health").json()
    assert health["status"] == "ok"
    assert "moves" in health["routing"]
    text = httpx.get(f"{plain.url}/metrics").text
    assert "insource_writer_waiting 0.0" in text
    assert "insource_requests_total" in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("GET", "/", 404), ("POST", "/health", 405)],
)
def test_unknown_routes_are_told_the_known_ones(plain: Setup, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, plain.url + path)
    assert answer.status_code == status
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_large_is_a_413(plain: Setup, chunked: bool) -> None:
    big = b"x" * 200_000
    answer = httpx.post(f"{plain.url}/v1/chat/completions", content=iter([big]) if chunked else big, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_a_port_in_use_says_so() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(UsageError, match="--port 0"):
            bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="Can't listen"):
        bind("203.0.113.1", 0)
