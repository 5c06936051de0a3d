"""The mock of OpenAI's API: a server on loopback that answers from answers.py, spoils an answer where the prompt asks
for a fault, and records every request as it arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from typing import Self

from tests.differential.answers import answer_to
from tests.differential.faults import script_of
from tests.differential.requests import Request, parse_head
from tests.faults.upstream import End

_LONGEST_HEAD_BYTES = 1 << 20
_BEFORE_A_RESET_SECONDS = 0.05
"""What was sent before must arrive: a reset discards what the other side's kernel still holds."""


class Upstream:
    """A context manager; it runs in a thread of its own."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.port = 0
        self._seen: Counter[tuple[str, bytes]] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_HEAD_BYTES)
        server = self._loop.run_until_complete(start)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._answer_one(reader, writer):
                pass
        writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True: the connection stays open for the next request."""
        head = parse_head(await reader.readuntil(b"\r\n\r\n"))
        request = Request(head=head, body=await _body(reader, head.header("transfer-encoding"), head.length_bytes))
        self.got.append(request)
        key = (head.target, request.body)
        earlier = self._seen[key]
        self._seen[key] += 1
        for step in script_of(request.body, answer_to(request), earlier=earlier):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, End):
                if step is End.RESET:
                    await asyncio.sleep(_BEFORE_A_RESET_SECONDS)
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            else:
                await asyncio.sleep(step)
        return True


async def _body(reader: asyncio.StreamReader, encoding: str | None, length_bytes: int) -> bytes:
    if encoding != "chunked":
        return await reader.readexactly(length_bytes)
    whole = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        whole += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return whole
