"""Handing an answer on to the client, and telling the exchange how it ended: whole, cut by the upstream, or left by the
client. The exchange is recorded when the reply is closed, after the last byte went out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import msgspec

from insource.core.errors import UpstreamError
from insource.core.ports import Reply
from insource.core.values import JsonObject
from insource.wire.sse import ChatStream, completion_to_sse, read_chat_stream
from insource.workflows.serve.record_exchange import CLIENT_LEFT, OpenExchange

_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONG_STREAM_BYTES = 64 * 1024
"""Reading a stream takes about 10 ms a MiB of small events; a longer one than this is read in a thread."""


def _nothing() -> None:
    return None


def relay_whole(
    exchange: OpenExchange,
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    completion: JsonObject | None = None,
    then: Callable[[], None] = _nothing,
) -> Reply:
    """A body that is all here; it is decoded for the record after it went out, unless `completion` says what it is.
    `then` runs after an answer with status 200."""
    sent = False

    async def chunks() -> AsyncGenerator[bytes]:
        nonlocal sent
        yield data
        sent = True

    async def close() -> None:
        if not sent:
            exchange.finish(CLIENT_LEFT, None, incomplete="the client left")
        elif status != 200:
            exchange.finish(status, None)
        else:
            exchange.finish(status, completion or _json_object(data))
            then()

    return Reply(
        status=status, headers={**headers, "content-length": str(len(data))}, chunks=chunks(), close=_once(close)
    )


def relay_answer(exchange: OpenExchange, completion: JsonObject) -> Reply:
    """A local answer, as a stream for a client who asked for one."""
    if exchange.request.get("stream") is not True:
        headers = {"content-type": "application/json"}
        return relay_whole(
            exchange, msgspec.json.encode(completion), status=200, headers=headers, completion=completion
        )
    options = exchange.request.get("stream_options")
    include_usage = isinstance(options, dict) and options.get("include_usage") is True
    data = b"".join(completion_to_sse(completion, include_usage=include_usage))
    return relay_whole(exchange, data, status=200, headers={"content-type": "text/event-stream"}, completion=completion)


def relay_stream(exchange: OpenExchange, reply: Reply, *, then: Callable[[], None] = _nothing) -> Reply:
    """Event by event, byte for byte. What follows the last blank line is held back until its event is whole, so that an
    error event after a cut is never glued to half an event. A stream that ends without its end raises UpstreamError.
    `then` runs after a complete stream.
    """
    seen = bytearray()
    ended: UpstreamError | bool = False

    async def chunks() -> AsyncGenerator[bytes]:
        nonlocal ended
        held = b""
        try:
            async for chunk in reply.chunks:
                seen.extend(chunk)
                held += chunk
                end = _end_of_events(held)
                if end:
                    whole, held = held[:end], held[end:]
                    yield whole
            if b"[DONE]" not in seen[-64:]:
                _must_be_complete(read_chat_stream(bytes(seen)), exchange.route.upstream)
            if held:
                yield held
            ended = True
        except UpstreamError as error:
            ended = error
            raise

    async def close() -> None:
        await reply.close()
        if await _finish_stream(exchange, bytes(seen), ended):
            then()

    return Reply(status=reply.status, headers=reply.headers, chunks=chunks(), close=_once(close))


async def _finish_stream(exchange: OpenExchange, seen: bytes, ended: UpstreamError | bool) -> bool:
    """True after a complete stream."""
    if len(seen) <= _LONG_STREAM_BYTES:
        stream = read_chat_stream(seen)
    else:
        try:
            stream = await asyncio.to_thread(read_chat_stream, seen)
        except asyncio.CancelledError:
            exchange.finish(CLIENT_LEFT, None, incomplete="stopped while the stream was read for the log")
            raise
    if ended is False:
        exchange.finish(CLIENT_LEFT, stream.completion, incomplete="the client left")
    elif ended is not True:
        exchange.finish(502, stream.completion, incomplete="the upstream was cut")
    elif not stream.complete:
        exchange.finish(502, stream.completion, incomplete="the upstream sent an error")
    else:
        exchange.finish(200, stream.completion)
    return ended is True and stream.complete


def _must_be_complete(stream: ChatStream, upstream: str) -> None:
    """An error event of the upstream has told the client already."""
    if not stream.complete and stream.error is None:
        raise UpstreamError(
            f"The stream of {upstream} ended before its answer was complete.",
            next_step="Nothing was completed; send the request again.",
        )


def _once(close: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    closed = False

    async def close_once() -> None:
        nonlocal closed
        if not closed:
            closed = True
            await close()

    return close_once


def _end_of_events(data: bytes) -> int:
    """Length of the part that ends with a blank line; 0: there is none yet."""
    return max((at + len(blank) for blank in _BLANK_LINES if (at := data.rfind(blank)) >= 0), default=0)


def _json_object(data: bytes) -> JsonObject | None:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
