"""Which requests the gateway answers itself and which are the provider's, over real HTTP; and who may send any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from insource.core.fakes import FakeEngine
from insource.gateway.guard import Guard
from insource.workflows.asking import Local
from tests.fakes.loopback import Setup, gateway, wait_for_health
from tests.fakes.serving import says


@pytest.fixture(scope="module")
def plain() -> Iterator[Setup]:
    with gateway(locals={"local/small": Local(model="small", engine=FakeEngine(says("local")))}) as setup:
        yield setup


def test_the_list_of_models_is_the_providers_and_ours_has_a_page_of_its_own(plain: Setup) -> None:
    listed = httpx.get(f"{plain.url}/v1/models")
    assert listed.content == b'{"object": "list", "data": [{"id": "gpt-4o", "object": "model"}], "novel": 1}'
    ours = openai.OpenAI(base_url=f"{plain.url}/insource", api_key="none")
    with ours:
        assert [model.id for model in ours.models.list()] == ["local/small"]


def test_a_local_model_is_asked_for_by_its_name(plain: Setup) -> None:
    sent = len(plain.provider.calls)
    answer = plain.ask(model="local/small")
    assert (answer.choices[0].message.content, answer.model) == ("local", "small")
    with pytest.raises(openai.NotFoundError, match="local/small"):
        plain.ask(model="local/other")
    with pytest.raises(openai.BadRequestError, match="can't give tools"):
        plain.ask(model="local/small", tools=[{"type": "function", "function": {"name": "pay"}}])
    assert len(plain.provider.calls) == sent


def test_health_and_metrics(plain: Setup) -> None:
    plain.ask()
    health = wait_for_health(plain, "ready")
    assert (health["status"], health["privacy"]) == ("ok", "observe")
    assert "moves" in health["routing"]
    text = httpx.get(f"{plain.url}/metrics").text
    assert "insource_writer_waiting 0.0" in text
    assert "insource_requests_total" in text


def test_an_engine_that_failed_degrades_the_health_and_nothing_else() -> None:
    local = Local(model="small", engine=FakeEngine(says("local"), fail_start=True))
    with gateway(locals={"local/small": local}) as setup:
        assert wait_for_health(setup, "failed")["status"] == "degraded"
        assert setup.ask().choices[0].message.content == "hosted"
        with pytest.raises(openai.InternalServerError) as caught:
            setup.ask(model="local/small")
        assert caught.value.status_code == 503


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/nothing"),
        ("GET", "/v1/files?purpose=batch&x=%20y"),
        ("DELETE", "/v1/files/file%2F1"),
        ("PATCH", "/other/api/v3"),
        ("OPTIONS", "/v1/chat"),
        ("POST", "/v1/audio/transcriptions"),
    ],
)
def test_every_other_path_is_the_providers(plain: Setup, method: str, target: str) -> None:
    body = b"\x00\xff binary" if method == "POST" else b""
    headers = [("x-twice", "1"), ("x-twice", "2"), ("cookie", "c=1")]
    answer = httpx.request(method, plain.url + target, content=body, headers=headers)
    heard = plain.provider.calls[-1]
    assert (heard.method, heard.target, heard.body) == (method, target, body)
    assert [pair for pair in heard.pairs if pair[0] == "x-twice"] == headers[:2]
    assert "cookie" not in heard.headers
    assert heard.headers["host"] not in plain.url
    assert (answer.status_code, answer.content) == (418, b"teapot " + body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("POST", "/health", 404), ("GET", "/insource/nothing", 404), ("POST", "/insource/models", 404)],
)
def test_own_paths_are_answered_here_whatever_the_method(plain: Setup, method: str, path: str, status: int) -> None:
    sent = len(plain.provider.calls)
    answer = httpx.request(method, plain.url + path)
    assert answer.status_code == status
    assert len(plain.provider.calls) == sent
    if status == 404:
        assert "/insource/models" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
def test_no_body_is_too_large(plain: Setup, path: str, chunked: bool) -> None:
    big = b"x" * 20_000_000
    pieces = (big[at : at + 65_536] for at in range(0, len(big), 65_536))
    answer = httpx.post(f"{plain.url}{path}", content=pieces if chunked else big, timeout=60)
    assert answer.status_code in (400, 418), "what the provider says"
    heard = plain.provider.calls[-1]
    assert heard.body == big
    assert heard.headers.get("content-length") == (None if chunked and path == "/v1/files" else str(len(big)))


EVIL: Any = [
    ({"host": "evil.example"}, "allow_hosts"),
    ({"origin": "https://evil.example"}, "allow_origins"),
    ({"sec-fetch-site": "cross-site"}, "allow_origins"),
]


@pytest.mark.parametrize(("headers", "setting"), EVIL)
def test_a_foreign_web_page_reaches_nothing(plain: Setup, headers: dict[str, str], setting: str) -> None:
    sent = len(plain.provider.calls)
    for method, path in (("POST", "/v1/chat/completions"), ("GET", "/health"), ("GET", "/")):
        answer = httpx.request(method, plain.url + path, headers={**headers, "content-type": "text/plain"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed_here")
        assert setting in answer.json()["error"]["message"]
    assert len(plain.provider.calls) == sent


def test_a_page_that_the_user_named_may_use_it() -> None:
    guard = Guard(allow_hosts=frozenset({"gateway.example"}), allow_origins=frozenset({"https://app.example"}))
    with gateway(guard=guard) as setup:
        headers = {"host": "gateway.example:80", "origin": "https://app.example", "sec-fetch-site": "cross-site"}
        assert httpx.get(f"{setup.url}/v1/models", headers=headers).status_code == 200


def test_a_websocket_gets_a_named_error(plain: Setup) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket"}
    answer = httpx.get(f"{plain.url}/v1/realtime", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "websocket_not_supported")
