"""An upstream that answers as it is told, byte by byte: what HTTP libraries make impossible is the point of it.

Each request names its fault in the header `x-fault`, and the script of that name is played: bytes are sent, numbers are
seconds to wait, RESET and CLOSE end the connection. After a script without one the connection stays open for
the next request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Self


class End(Enum):
    RESET = "reset"
    """RST: the kernel of the other side drops the connection."""
    CLOSE = "close"
    """FIN, after what was sent."""


Script = Sequence[bytes | float | End]


@dataclass(frozen=True, slots=True)
class Got:
    """A request as it arrived."""

    head: bytes
    body: bytes


@dataclass(slots=True)
class FaultyUpstream:
    """A context manager; runs in a thread of its own."""

    scripts: Mapping[str, Script]
    got: list[Got] = field(default_factory=list[Got])
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _ready: threading.Event = field(default_factory=threading.Event, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True: the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        self.got.append(Got(head, await _body(reader, fields)))
        for step in self.scripts[fields[b"x-fault"].decode()]:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, End):
                if step is End.RESET:
                    await asyncio.sleep(0.05)  # what was sent before must arrive
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            else:
                await asyncio.sleep(step)
        return True


async def _body(reader: asyncio.StreamReader, fields: Mapping[bytes, bytes]) -> bytes:
    if fields.get(b"transfer-encoding") == b"chunked":
        whole = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            whole += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return whole
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))
