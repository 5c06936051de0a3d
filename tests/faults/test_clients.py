"""What odd clients do: nothing that a provider could answer is refused here, and no exchange is lost."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from insource.cli.session import load_settings
from insource.core.values import Exchange
from insource.gateway.server import gateway_app
from insource.wiring import open_services
from insource.workflows.services import Services
from tests.fakes.servers import ServerThread
from tests.faults.scripts import GOOD, JSON_TYPE, answer
from tests.faults.stream_scripts import SSE, WHOLE
from tests.faults.upstream import End, FaultyUpstream

SCRIPTS = {
    "good": (answer(GOOD),),
    "slow": (1.0, answer(GOOD)),
    "endless": (answer(b"", headers=SSE, length=None), WHOLE[:200], 30.0),
    "large": (answer(b"", headers=JSON_TYPE, length=2_000_000), b"x" * 2_000_000),
    "closing": (answer(GOOD), End.CLOSE),
}


class World:
    def __init__(self, upstream: FaultyUpstream, port: int, services: Services) -> None:
        self.upstream, self.port, self.services = upstream, port, services

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def recorded(self, count: int) -> list[Exchange]:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = list(self.services.exchanges.read())
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError("an exchange was lost")


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with FaultyUpstream(SCRIPTS) as upstream:
        settings = load_settings(home=tmp_path, model_cache=tmp_path / "models", provider_url=upstream.url)
        with open_services(settings) as services, ServerThread(gateway_app(services)) as server:
            yield World(upstream, int(server.url.rpartition(":")[2]), services)


def post(body: bytes, *headers: str, fault: str = "good", length: int | None = None) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        f"x-fault: {fault}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def exchange(world: World, request: bytes) -> bytes:
    """All bytes of the answer to one request."""
    with closing(world.connect()) as connection:
        connection.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536)
        head, _, rest = got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(rest) < length:
            rest += connection.recv(65536)
        return head + b"\r\n\r\n" + rest


QUESTION = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"model": "gpt-4o", "modalities": 5, "messages": 7}',
        b'{"model": ["gpt-4o"], "messages": [{"role": 1, "content": {"a": [null]}}], "n": "x", "tools": 3}',
        b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "\\ud83d"}]}',
        b'{"model": "gpt-4o", "model": "gpt-5", "messages": [], "messages": [{"role": "user", "content": "b"}]}',
        b"not JSON at all",
        b"[" * 100_000,
        b'"text"',
        b"null",
        b"\0\1\2" * 1000,
        b'{"model": "local", "messages": [{"role": "user", "content": [{"type": 5}, "x", null]}]}',
        QUESTION + b" " * 2_000_000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_bodies_of_any_shape_reach_the_provider_byte_for_byte(world: World, body: bytes) -> None:
    got = exchange(world, post(body, "Content-Type: application/json"))
    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(GOOD)
    assert world.upstream.got[-1].body == body
    (recorded,) = world.recorded(1)
    assert recorded.is_whole


def test_a_compressed_body_passes_as_it_is(world: World) -> None:
    body = gzip.compress(QUESTION)
    got = exchange(world, post(body, "Content-Encoding: gzip", "Content-Type: application/json"))
    assert got.endswith(GOOD)
    assert world.upstream.got[-1].body == body
    assert b"content-encoding: gzip" in world.upstream.got[-1].head.lower()


def test_a_body_in_chunks_passes_whole(world: World) -> None:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-fault: good\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (QUESTION[:20], QUESTION[20:]))
    assert exchange(world, head.encode() + pieces + b"0\r\n\r\n").endswith(GOOD)
    assert world.upstream.got[-1].body == QUESTION


def test_expect_100_continue_is_answered_here(world: World) -> None:
    with closing(world.connect()) as connection:
        connection.sendall(post(b"", "Expect: 100-continue", length=len(QUESTION)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(QUESTION)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert b"expect" not in world.upstream.got[-1].head.lower()


def test_two_requests_in_one_packet_are_answered_in_their_order(world: World) -> None:
    with closing(world.connect()) as connection:
        connection.sendall(post(QUESTION) * 2)
        got = b""
        while got.count(b"HTTP/1.1 200") < 2 or not got.endswith(GOOD):
            got += connection.recv(65536)
    assert len(world.recorded(2)) == 2


@pytest.mark.parametrize("fault", ["slow", "endless"])
def test_a_client_that_hangs_up_is_recorded_as_left(world: World, fault: str) -> None:
    with closing(world.connect()) as connection:
        connection.sendall(post(QUESTION, fault=fault))
        time.sleep(0.5)
        if fault == "endless":
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    (recorded,) = world.recorded(1)
    assert recorded.status == 499
    assert not recorded.is_whole


def test_a_client_that_closes_its_sending_side_and_a_slow_one_get_their_answer(world: World) -> None:
    with closing(world.connect()) as connection:
        connection.sendall(post(QUESTION, fault="large"))
        got = 0
        while got < 2_000_000:
            got += len(connection.recv(50_000))
            time.sleep(0.005)
    (recorded,) = world.recorded(1)
    assert recorded.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Host: evil.example",), 403),
        (("Host: 169.254.1.1:80",), 403),
        (("Origin: https://evil.example",), 403),
        (("Origin: null",), 403),
        (("Sec-Fetch-Site: cross-site",), 403),
        (("Sec-Fetch-Site: same-site",), 403),
        (("Sec-Fetch-Site: same-origin",), 200),
        (("Content-Type: text/plain",), 200),
        (("Host: localhost:1234",), 200),
        (("Host: [::1]:80",), 200),
        (("Origin: http://127.0.0.1",), 200),
        (("Connection: Upgrade", "Upgrade: websocket"), 501),
    ],
)
def test_web_pages_are_kept_out_and_programs_are_not(world: World, headers: tuple[str, ...], status: int) -> None:
    request = post(QUESTION, *headers)
    if headers[0].startswith("Host"):
        request = request.replace(b"Host: 127.0.0.1\r\n", b"", 1)
    assert exchange(world, request).startswith(f"HTTP/1.1 {status}".encode())
    assert bool(world.upstream.got) is (status == 200)


def test_a_connection_that_the_provider_closed_is_not_used_again(world: World) -> None:
    for _ in range(5):
        assert exchange(world, post(QUESTION, fault="closing")).endswith(GOOD)
        time.sleep(0.05)


def test_nothing_but_the_named_headers_stays_behind(world: World) -> None:
    sent = ("X-A: 1", "X-A: 2", "Cookie: a=b", "x-insource-task: t", "Authorization: Bearer k", "X-Odd: \xc3\xa9")
    exchange(world, post(QUESTION, *sent, "Connection: keep-alive, x-hop", "X-Hop: 1"))
    lines = world.upstream.got[-1].head.decode("latin-1").split("\r\n")[1:]
    names = [line.partition(":")[0].lower() for line in lines if line]
    assert names.count("x-a") == 2
    assert {"authorization", "accept-encoding"} <= set(names)
    assert not {"cookie", "x-insource-task", "x-hop", "connection"} & set(names)
    assert b"x-odd: \xc3\xa9" in world.upstream.got[-1].head
