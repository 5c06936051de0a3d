"""Any hosted service over HTTP. Its difference from the plain HTTP client: where the key comes from."""

from __future__ import annotations

from dataclasses import replace

from insource.core.headers import Headers, header, with_header, without
from insource.core.ports import Call, Reply
from insource.wire.client import Client, Timeouts

KEY_HEADERS = ("authorization", "x-api-key", "api-key")
"""OpenAI and most others, Anthropic, Azure."""


def with_key(headers: Headers, key: str) -> Headers:
    """The headers with `key` in place of the client's own, where the client had one; else as a bearer token. Pure."""
    place = next((name for name in KEY_HEADERS if header(headers, name) is not None), KEY_HEADERS[0])
    value = f"Bearer {key}" if place == "authorization" else key
    return with_header(without(headers, KEY_HEADERS), place, value)


class OpenAICompatible:
    """Bytes go out and come back as they are. The key is in no log, no error and no repr."""

    def __init__(
        self, base_url: str, *, key: str | None = None, name: str = "openai", timeouts: Timeouts | None = None
    ) -> None:
        """`base_url` with or without `/v1`. Without a `key`, the headers of the call decide (the client's own key)."""
        self._client = Client(base_url.rstrip("/").removesuffix("/v1"), timeouts=timeouts)
        self._key = key
        self._name = f"provider:{name}"

    def __repr__(self) -> str:
        return f"OpenAICompatible({self._client.base_url!r}, name={self._name!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def base_url(self) -> str:
        """Without `/v1`."""
        return self._client.base_url

    async def send(self, call: Call) -> Reply:
        if self._key is not None:
            call = replace(call, headers=with_key(call.headers, self._key))
        return await self._client.send(call)

    async def close(self) -> None:
        await self._client.close()
