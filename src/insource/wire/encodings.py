"""Undoing a content encoding for the log: bounded, and only of a copy. What the client gets keeps its encoding."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

MOST_BYTES = 64 << 20
"""Of a decoded body: a bomb must not fill the memory."""


class Undecodable(ValueError):
    """Why a body can't be decoded, as the end of a sentence."""


def decode(data: bytes, encoding: str | None) -> bytes:
    """The body without its `Content-Encoding`, which may name several in the order of their use.

    Raises Undecodable: corrupt, longer than MOST_BYTES, or an encoding that is not known here. Data that does not begin
    as its encoding does is taken as it is: some servers name gzip and send none.
    """
    for name in reversed([part.strip().lower() for part in (encoding or "").split(",") if part.strip()]):
        if name in ("identity", "none"):
            continue
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise Undecodable(f"the encoding {name!r} is not known here")
        data = decoder(data)
    return data


def _gzip(data: bytes) -> bytes:
    return _inflate(data, zlib.MAX_WBITS | 16) if data[:2] == b"\x1f\x8b" else data


def _deflate(data: bytes) -> bytes:
    """With zlib's header, as RFC 9110 §8.4.1.2 says, or without, as some servers send it."""
    try:
        return _inflate(data, zlib.MAX_WBITS)
    except Undecodable as error:
        try:
            return _inflate(data, -zlib.MAX_WBITS)
        except Undecodable:
            raise error from None


def _inflate(data: bytes, window_bits: int) -> bytes:
    if not data:
        return data
    machine = zlib.decompressobj(window_bits)
    try:
        found = machine.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise Undecodable(f"its compressed bytes are damaged ({error})") from None
    if machine.unconsumed_tail:
        raise _too_long()
    if not machine.eof:
        raise Undecodable("its compressed data is incomplete")
    return found


def _brotli(data: bytes) -> bytes:
    import brotli  # late: most answers come in gzip or as they are

    machine = brotli.Decompressor()
    try:
        found: bytes = machine.process(data, output_buffer_limit=MOST_BYTES)
    except brotli.error:
        raise Undecodable("its compressed bytes are damaged") from None
    if len(found) > MOST_BYTES or not (machine.is_finished() or machine.can_accept_more_data()):
        raise _too_long()
    if machine.is_finished():
        return found
    raise Undecodable("its compressed data is incomplete")


def _zstd(data: bytes) -> bytes:
    from insource.wire.zstd import zstd

    machine = zstd.ZstdDecompressor()
    try:
        found = machine.decompress(data, max_length=MOST_BYTES)
        if machine.eof:
            return found
        if len(found) == MOST_BYTES:
            raise _too_long()
    except zstd.ZstdError as error:
        raise Undecodable(f"its compressed bytes are damaged ({error})") from None
    raise Undecodable("its compressed data is incomplete")


def _too_long() -> Undecodable:
    return Undecodable(f"it is longer than {MOST_BYTES >> 20} MB when decoded")


_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
