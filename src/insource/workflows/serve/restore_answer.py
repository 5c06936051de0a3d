"""A provider's answer with the user's own values back in it, whole or as a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from insource.core.headers import Headers, header, with_header, without
from insource.core.ports import Reply
from insource.core.scanning import Placeholders
from insource.core.values import JsonObject
from insource.traffic.restoring import Restored, TextRestorer, restore_json
from insource.traffic.restoring_stream import StreamRestorer
from insource.wire import json_text
from insource.wire.encodings import Undecodable, decode

NOTE = "x-insource-privacy"
"""The header that says what was masked, and what of it the answer does not have."""
_LONG_BYTES = 64 * 1024
"""A longer answer is restored in a thread."""
_CHANGED = ("content-length", "content-encoding", "content-md5", "digest", "etag")
"""Headers that are true of the provider's bytes only."""


def note_of(kinds: dict[str, int], restored: Restored) -> str:
    return json.dumps({"masked": kinds, "restored": restored.count, "not_restored": len(restored.lost)})


async def restore_answer(
    reply: Reply, placeholders: Placeholders, *, kinds: dict[str, int], found: Callable[[JsonObject], None]
) -> tuple[Reply, Restored]:
    """`found` sees an answer, or each event of a stream, as it came. Raises UpstreamError when a whole answer was cut:
    half of one can't be restored."""
    restored = Restored(placeholders)
    kind, encoding = header(reply.headers, "content-type") or "", header(reply.headers, "content-encoding")
    headers = without(reply.headers, (*_CHANGED, NOTE))
    streams = kind.partition(";")[0].strip().lower() == "text/event-stream"
    if streams and encoding in (None, "identity"):
        note = json.dumps({"masked": kinds})
        chunks = _stream(reply.chunks, StreamRestorer(restored, found))
        return Reply(status=reply.status, headers=(*headers, (NOTE, note)), chunks=chunks, close=reply.close), restored
    data = await reply.read()
    try:
        data = decode(data, encoding)
    except Undecodable as error:
        restored.lost.add(str(error))
        headers = without(reply.headers, (NOTE,))
    else:
        if len(data) <= _LONG_BYTES:
            data = _whole(data, restored, found, streams=streams)
        else:
            data = await asyncio.to_thread(_whole, data, restored, found, streams=streams)
    headers = with_header(headers, "content-length", str(len(data)))
    headers = (*headers, (NOTE, note_of(kinds, restored)))
    return Reply(status=reply.status, headers=_as_sent(headers, reply), chunks=_once(data)), restored


def _as_sent(headers: Headers, reply: Reply) -> Headers:
    """A status without a body states no length."""
    return without(headers, ("content-length",)) if reply.status in (204, 304) else headers


def _whole(data: bytes, restored: Restored, found: Callable[[JsonObject], None], *, streams: bool) -> bytes:
    if streams:
        stream = StreamRestorer(restored, found)
        return stream.feed(data) + stream.end()
    try:
        value = json_text.decode(data)
    except ValueError:
        text = data.decode("utf-8", "surrogateescape")
        return TextRestorer(restored).feed(text, last=True).encode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        found(value)
    shown = restore_json(value, restored)
    return data if shown == value else json_text.encode(shown)


async def _stream(chunks: AsyncIterator[bytes], stream: StreamRestorer) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if shown := stream.feed(chunk):
            yield shown
    if rest := stream.end():
        yield rest


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
