"""Real servers on loopback, in threads: any ASGI application, and a hosted API that keeps what it got."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from insource.core.headers import Headers
from insource.gateway.http import Asgi, headers_of, target_of
from insource.gateway.server import bind, make_server


class ServerThread:
    """An ASGI application on a loopback port, served by the gateway's own server in a thread."""

    def __init__(self, app: Asgi) -> None:
        self._ready = threading.Event()
        self._socket = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = make_server(app, on_ready=self._ready.set)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request as a provider got it."""

    method: str
    target: str
    """Path and query, percent-encoded as they came."""
    pairs: Headers
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.pairs)


@dataclass(slots=True, kw_only=True)
class FakeProvider:
    """A hosted API as a loopback application. `answer(path, body) -> (status, headers, chunks)`; it keeps what it got.
    An answer whose last chunk is None is cut there."""

    answer: Callable[[str, bytes], tuple[int, dict[str, str], list[bytes | None]]]
    calls: list[Heard] = field(default_factory=list[Heard], init=False)
    client_left: threading.Event = field(default_factory=threading.Event, init=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        path, query = target_of(scope)
        target = f"{path}?{query}" if query else path
        self.calls.append(Heard(method=scope["method"], target=target, pairs=headers_of(scope), body=body))
        status, answer_headers, chunks = self.answer(scope["path"], body)
        encoded = [(name.encode(), value.encode()) for name, value in answer_headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        for chunk in chunks:
            if chunk is None:
                return
            if chunk == b"wait":
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.client_left.set()
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
