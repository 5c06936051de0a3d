"""Handing an answer on to the client, and recording how it ended: whole, cut by the upstream, or left by the client.

A provider's bytes pass as they come; a bounded copy of them is judged once the client has its answer. Where insource
itself is the author, what the client gets is judged too: a broken answer never looks like a whole one. An exchange is
recorded when its reply is closed, after the last byte went out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from insource.core.errors import UpstreamError
from insource.core.headers import EVENT_STREAM, JSON, Headers, header
from insource.core.ports import Reply
from insource.core.values import JsonObject, Marks, Route
from insource.wire.encodings import Undecodable, decode
from insource.wire.sse import completion_to_sse
from insource.wire.wholeness import Judged, judge
from insource.workflows.serve.record_exchange import CLIENT_LEFT, Ending, Underway

COPY_BYTES = 16 << 20
"""Of an answer that is kept for the log; a longer one is passed on and recorded as too long to keep."""
_LONG_BYTES = 64 * 1024
"""Judging takes about 10 ms a MiB of small events; what is longer than this is judged in a thread."""


def _nothing(response: JsonObject) -> None:
    return None


@dataclass(slots=True, kw_only=True)
class _Copy:
    """The beginning of an answer, for the log."""

    chunks: list[bytes] = field(default_factory=list[bytes])
    held_bytes: int = 0
    too_long: bool = False

    def add(self, chunk: bytes) -> None:
        if self.too_long or self.held_bytes + len(chunk) > COPY_BYTES:
            self.too_long = True
            return
        self.chunks.append(chunk)
        self.held_bytes += len(chunk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """One exchange with the upstream that answers it."""

    underway: Underway
    route: Route
    marks: Marks = field(default_factory=Marks)
    then: Callable[[JsonObject], None] = _nothing
    """Called with a whole answer once it has gone out."""


def relay(exchange: Relayed, reply: Reply, *, headers: Headers) -> Reply:
    """A provider's answer, byte for byte, under these headers. A cut raises UpstreamError from `chunks`."""
    copy = _Copy()
    cut: UpstreamError | None = None
    whole = False

    async def chunks() -> AsyncGenerator[bytes]:
        nonlocal cut, whole
        try:
            async for chunk in reply.chunks:
                copy.add(chunk)
                yield chunk
            whole = True
        except UpstreamError as error:
            cut = error
            raise

    async def close() -> None:
        await reply.close()
        end = _Heard(status=reply.status, encoding=header(reply.headers, "content-encoding"), copy=copy)
        if whole:
            ending = await _ending(exchange, end, None)
        elif cut is not None:
            ending = await _ending(exchange, end, "it was cut by the upstream")
        else:
            ending = await _ending(exchange, end, "the client left", status=CLIENT_LEFT)
        exchange.underway.end(exchange.route, ending, exchange.marks)
        if ending.status == 200 and ending.incomplete is None and ending.response is not None:
            exchange.then(ending.response)

    return Reply(status=reply.status, headers=headers, chunks=chunks(), close=once(close))


def relay_local_stream(exchange: Relayed, reply: Reply) -> Reply:
    """The stream of an engine on this machine. What follows the last blank line is held back until its event is whole,
    so that an error event after a cut is never glued to half an event; a stream that just ends is a cut one."""
    copy = _Copy()

    async def events() -> AsyncGenerator[bytes]:
        held = b""
        async for chunk in reply.chunks:
            copy.add(chunk)
            held += chunk
            end = _end_of_events(held)
            if end:
                yield held[:end]
                held = held[end:]
        flaw = judge(exchange.underway.endpoint, 200, b"".join(copy.chunks)).flaw
        if flaw is not None and not copy.too_long:
            raise UpstreamError(
                f"The stream of {exchange.route.upstream} is not whole: {flaw}.",
                next_step="Nothing was completed; send the request again.",
            )
        if held:
            yield held

    whole = Reply(status=reply.status, headers=reply.headers, chunks=events(), close=reply.close)
    return relay(exchange, whole, headers=EVENT_STREAM)


def relay_completion(exchange: Relayed, completion: JsonObject) -> Reply:
    """An answer that was made here, as a stream for a client who asked for one."""
    request = exchange.underway.request
    if request.get("stream") is not True:
        data, headers = msgspec.json.encode(completion), JSON
    else:
        options = request.get("stream_options")
        include_usage = isinstance(options, dict) and options.get("include_usage") is True
        data, headers = b"".join(completion_to_sse(completion, include_usage=include_usage)), EVENT_STREAM
    sent = False

    async def chunks() -> AsyncGenerator[bytes]:
        nonlocal sent
        yield data
        sent = True

    async def close() -> None:
        left = Ending(status=CLIENT_LEFT, response=completion, incomplete="the client left")
        exchange.underway.end(exchange.route, Ending(status=200, response=completion) if sent else left, exchange.marks)
        if sent:
            exchange.then(completion)

    length = ("content-length", str(len(data)))
    return Reply(status=200, headers=(*headers, length), chunks=chunks(), close=once(close))


# -------------------------------------------------------------------------------------------- how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What came of an answer."""

    status: int
    encoding: str | None
    copy: _Copy


async def _ending(exchange: Relayed, heard: _Heard, stopped: str | None, *, status: int | None = None) -> Ending:
    """`stopped`: why it did not come to its end; then what came is read as far as it can be."""
    if heard.copy.too_long:
        flaw = stopped or f"it is longer than {COPY_BYTES >> 20} MB, so it was passed on and not kept"
        return Ending(status=status or heard.status, incomplete=flaw)
    try:
        if heard.copy.held_bytes <= _LONG_BYTES:
            judged = _judged(exchange.underway.endpoint, heard)
        else:
            judged = await asyncio.to_thread(_judged, exchange.underway.endpoint, heard)
    except asyncio.CancelledError:
        stop = Ending(status=status or heard.status, incomplete="the gateway stopped while it was read for the log")
        exchange.underway.end(exchange.route, stop, exchange.marks)
        raise
    return Ending(status=status or heard.status, response=judged.response, incomplete=stopped or judged.flaw)


def _judged(endpoint: str, heard: _Heard) -> Judged:
    try:
        body = decode(b"".join(heard.copy.chunks), heard.encoding)
    except Undecodable as error:
        return Judged(response=None, flaw=str(error))
    return judge(endpoint, heard.status, body)


def once(close: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    closed = False

    async def close_once() -> None:
        nonlocal closed
        if not closed:
            closed = True
            await close()

    return close_once


_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


def _end_of_events(data: bytes) -> int:
    """Length of the part that ends with a blank line; 0: there is none yet."""
    return max((at + len(blank) for blank in _BLANK_LINES if (at := data.rfind(blank)) >= 0), default=0)
