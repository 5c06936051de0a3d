"""The HTTP client: the only module that imports aiohttp. One `Client` per process part, closed by whoever made it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from insource.core.errors import UpstreamError
from insource.core.ports import Call, Reply

_RESPONSE_HEADERS_DROPPED = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "upgrade", "trailer"}
)


class Client:
    """Sends calls to one base URL and hands the answer on as it arrives, byte for byte."""

    def __init__(
        self, base_url: str, *, connect_seconds: float = 10.0, idle_seconds: float = 600.0, keep_alive: bool = True
    ) -> None:
        """`idle_seconds` bounds the silence between two chunks, not the whole answer: long streams are fine.
        `keep_alive` False: a connection for each call, for servers that hang up when they said they wouldn't."""
        self._keep_alive = keep_alive
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=idle_seconds)
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        return self._base_url

    def _open(self) -> aiohttp.ClientSession:
        # aiohttp binds a session to the running loop, so it is made on first use, inside the loop.
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
                if self._keep_alive
                else aiohttp.TCPConnector(limit=0, force_close=True),
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def send(self, call: Call) -> Reply:
        """Raises UpstreamError when the server can't be reached or hangs up before its status line."""
        headers = {"content-type": "application/json", **call.headers}
        try:
            response = await self._open().request(
                call.method, self._base_url + call.path, data=call.body or None, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamError(
                f"No answer from {self._base_url}: {type(error).__name__}: {error}.",
                next_step="Check that the server runs and that its base URL is right.",
            ) from error

        async def close() -> None:
            response.close() if not response.content.at_eof() else response.release()

        kept = {k.lower(): v for k, v in response.headers.items() if k.lower() not in _RESPONSE_HEADERS_DROPPED}
        return Reply(status=response.status, headers=kept, chunks=_chunks(response, self._base_url), close=close)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _chunks(response: aiohttp.ClientResponse, base_url: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamError(
            f"The answer from {base_url} was cut: {type(error).__name__}: {error}.",
            next_step="Nothing was completed; send the request again.",
        ) from error
