"""The HTTP client: the only module that imports aiohttp. One `Client` per process part, closed by whoever made it.

It hands bytes on in both directions and adds nothing: no header that the call does not have (but `Host` and a body's
length), no decoding, no redirect, no cookie.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from insource.core.errors import UpstreamError
from insource.core.headers import Headers
from insource.core.ports import Call, Reply

HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""RFC 9110 §7.6.1: of one connection, never of the message."""
_ADDED_BY_AIOHTTP = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_LONGEST_LINE_BYTES = 1 << 20
"""Of a status line or a header: aiohttp's 8 kB refuse what other clients read."""
_MOST_HEADERS = 10_000
_PIECE_BYTES = 256 * 1024
_IDLE_CONNECTION_SECONDS = 15
"""Shorter than servers wait, so that a request seldom meets a connection that is being closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits of a call, in seconds. A long answer that keeps coming has none."""

    connect_seconds: float = 10.0
    first_byte_seconds: float = 600.0
    """From the call to the answer's headers."""
    between_chunks_seconds: float = 600.0


class _Request(aiohttp.ClientRequest):
    """Without a body it states a length only where the call does: aiohttp adds `Content-Length: 0` to every method that
    is not among these, and DELETE commonly has none."""

    GET_METHODS = aiohttp.ClientRequest.ALL_METHODS


class Client:
    """Sends calls to one base URL and hands the answer on as it arrives, byte for byte."""

    def __init__(self, base_url: str, *, timeouts: Timeouts | None = None, keep_alive: bool = True) -> None:
        """`keep_alive` False: a connection for each call, for servers that hang up when they said they wouldn't."""
        self._keep_alive = keep_alive
        self._base_url = base_url.rstrip("/")
        self._timeouts = timeouts or Timeouts()
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        return self._base_url

    def _open(self) -> aiohttp.ClientSession:
        # aiohttp binds a session to the running loop, so it is made on first use, inside the loop.
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_seconds),
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_SECONDS)
                if self._keep_alive
                else aiohttp.TCPConnector(limit=0, force_close=True),
                request_class=_Request,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_ADDED_BY_AIOHTTP,
                max_line_size=_LONGEST_LINE_BYTES,
                max_field_size=_LONGEST_LINE_BYTES,
                max_headers=_MOST_HEADERS,
            )
        return self._session

    async def send(self, call: Call) -> Reply:
        """Raises UpstreamError when the server can't be reached or hangs up before its status line."""
        url = URL(self._base_url + call.path, encoded=True)
        headers = CIMultiDict(call.headers)
        data: bytes | AsyncIterator[bytes] | None = call.body or call.stream
        if len(call.body) > _PIECE_BYTES:
            headers["Content-Length"] = str(len(call.body))
            data = _pieces(call.body)
        try:
            async with asyncio.timeout(self._timeouts.first_byte_seconds):
                response = await self._open().request(
                    call.method,
                    url,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UpstreamError(
                f"No answer from {self._base_url}: {_reason(error)}.",
                next_step="Check that the server runs and that its base URL is right.",
            ) from error

        async def close() -> None:
            response.close() if not response.content.at_eof() else response.release()

        return Reply(
            status=response.status,
            headers=_kept(response.raw_headers),
            chunks=self._chunks(response),
            close=close,
        )

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        content = response.content
        try:
            while True:
                async with asyncio.timeout(self._timeouts.between_chunks_seconds):
                    chunk = await content.readany()
                if not chunk:
                    return
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamError(
                f"The answer from {self._base_url} was cut: {_reason(error)}.",
                next_step="Nothing was completed; send the request again.",
            ) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """A large body in pieces, so that writing it does not hold up everybody else."""
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _kept(raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """Of the message, in its order; `Connection` may name more that are of the connection alone."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
    named = {part.strip().lower() for name, value in pairs if name.lower() == "connection" for part in value.split(",")}
    return tuple(pair for pair in pairs if pair[0].lower() not in HOP_BY_HOP and pair[0].lower() not in named)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
