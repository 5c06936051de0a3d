from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.stored_models import FoundServer
from insource.engines.external import ExternalEngine
from insource.engines.servers import USUAL_PORTS, find_servers, identify
from tests.fakes.model_servers import LLAMA_SERVER, LM_STUDIO, OLLAMA, OTHER, VLLM, FakeServer, running_server

UNEXPECTED = (200, b'{"error":"Unexpected endpoint or method. (GET /api/version)"}')
"""LM Studio's answer to any path that it does not know."""


def test_the_usual_ports() -> None:
    assert list(USUAL_PORTS) == [11434, 1234, 8080, 8000]


@pytest.mark.parametrize(
    ("answers", "unknown", "expected"),
    [
        (OLLAMA, None, ("ollama", "0.21.4", ("qwen3:8b",))),
        (LM_STUDIO, UNEXPECTED, ("lmstudio", None, ("meta-llama-3.1-8b-instruct",))),
        (LLAMA_SERVER, None, ("llamacpp", "b11549-abcdef", ("m.gguf",))),
        (VLLM, None, ("vllm", "0.15.1", ("Qwen/Qwen3-8B",))),
        (OTHER, None, ("openai", None, ("some-model",))),
        ({"/v1/models": LLAMA_SERVER["/v1/models"]}, (401, b"{}"), ("llamacpp", None, ("m.gguf",))),
        ({**OLLAMA, "/api/tags": {"models": []}, "/v1/models": {"data": None}}, None, ("ollama", "0.21.4", ())),
    ],
    ids=["ollama", "lmstudio", "llama-server", "vllm", "other", "llama-server with a key", "ollama without models"],
)
async def test_a_server_is_known_by_its_own_answers(
    answers: Mapping[str, Any], unknown: tuple[int, bytes] | None, expected: tuple[str, str | None, tuple[str, ...]]
) -> None:
    fake = FakeServer(answers) if unknown is None else FakeServer(answers, unknown=unknown)
    with running_server(fake):
        [found] = await find_servers([fake.port])
    assert (found.kind, found.version, found.models) == expected
    assert found.url == f"http://127.0.0.1:{fake.port}"
    assert {method for method, _ in fake.requests} == {"GET"}


@pytest.mark.parametrize("answers", [OLLAMA, LM_STUDIO, LLAMA_SERVER, VLLM])
async def test_what_is_found_works_as_the_engine(answers: Mapping[str, Any]) -> None:
    with running_server(FakeServer(answers)) as fake:
        [found] = await find_servers([fake.port])
        engine = ExternalEngine(found.url)
        await engine.start()
        assert engine.model == found.models[0]
        await engine.stop()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1, 2]", b'"text"', b"[" * 200_000, b'{"data": [1, {"id": 3}], "models": 7, "version": {}}',
     b'{"object": ["list"], "data": [{"owned_by": []}]}', b'{"x": "' + b"a" * (5 << 20) + b'"}'],
    ids=["empty", "html", "list", "text", "deep", "types", "unhashable", "huge"],
)  # fmt: skip
async def test_whatever_else_answers_is_no_server_of_models(body: bytes) -> None:
    with running_server(FakeServer({}, unknown=(200, body))) as fake:
        assert await find_servers([fake.port]) == ()


async def test_all_are_asked_at_once_and_one_that_hangs_hides_no_other() -> None:
    with ExitStack() as stack, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        hangs = [stack.enter_context(running_server(FakeServer(OLLAMA, slow=True))) for _ in range(3)]
        good = stack.enter_context(running_server(FakeServer(VLLM)))
        ports = [*(fake.port for fake in hangs), closed.getsockname()[1], good.port]
        assert [server.kind for server in await find_servers(ports)] == ["vllm"]


async def test_a_redirect_is_not_followed() -> None:
    with running_server(FakeServer(OLLAMA)) as away:
        fake = FakeServer({}, unknown=(302, b""), location=f"http://127.0.0.1:{away.port}")
        with running_server(fake):
            assert await find_servers([fake.port]) == ()
        assert fake.requests
        assert away.requests == []


PATHS = ("/api/version", "/api/tags", "/api/v0/models", "/props", "/version", "/v1/models")
KEYS = st.sampled_from(["data", "models", "object", "id", "name", "owned_by", "version", "default_generation_settings"])
VALUES = st.recursive(
    st.none() | st.text(max_size=5) | st.sampled_from(["list", "vllm", "llamacpp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@given(st.fixed_dictionaries({path: st.dictionaries(KEYS, VALUES, max_size=4) for path in PATHS}))
def test_any_answers_are_a_server_or_none(answers: dict[str, dict[str, Any]]) -> None:
    found = identify("http://127.0.0.1:1", answers)
    assert found is None or isinstance(found, FoundServer)
    assert found is None or all(name.isprintable() for name in found.models)
