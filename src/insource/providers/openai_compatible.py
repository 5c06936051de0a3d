"""Any hosted service with OpenAI's dialect. Its difference from the plain HTTP client: where the key comes from."""

from __future__ import annotations

from insource.core.ports import Call, Reply
from insource.wire.client import Client


class OpenAICompatible:
    """Bytes go out and come back as they are. The key is in no log, no error and no repr."""

    def __init__(self, base_url: str, *, key: str | None = None, name: str = "openai") -> None:
        """`base_url` with or without `/v1`. Without a `key`, the headers of the call decide (the client's own key)."""
        self._client = Client(base_url.rstrip("/").removesuffix("/v1"))
        self._authorization = None if key is None else f"Bearer {key}"
        self._name = f"provider:{name}"

    def __repr__(self) -> str:
        return f"OpenAICompatible({self._client.base_url!r}, name={self._name!r})"

    @property
    def name(self) -> str:
        return self._name

    async def send(self, call: Call) -> Reply:
        if self._authorization is None:
            return await self._client.send(call)
        headers = {name: value for name, value in call.headers.items() if name.lower() != "authorization"}
        headers["authorization"] = self._authorization
        return await self._client.send(Call(path=call.path, body=call.body, headers=headers, method=call.method))

    async def close(self) -> None:
        await self._client.close()
