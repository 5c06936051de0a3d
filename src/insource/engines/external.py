"""An engine that somebody else runs: any OpenAI-compatible URL (llama-server, Ollama, LM Studio, vLLM)."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from insource.core.errors import EngineFailed, UpstreamError
from insource.core.headers import Headers, without
from insource.core.ports import Call, Demand, Reply
from insource.core.values import EngineState
from insource.wire.client import Client

_CHECK_SECONDS = 10.0


def with_model(body: bytes, model: str) -> bytes:
    """The body with this model's name in it, and the very same bytes when it is there already.

    The only place where an engine touches a body. An application asks for the hosted model's name, which a server with
    several models refuses. All other values are copied as they are written (`1.0` stays `1.0`). A body that is not a
    JSON object goes out as it came: it is for the server to refuse it.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if "model" in fields and msgspec.json.decode(fields["model"]) == model:
            return body
    except msgspec.DecodeError:
        return body
    return msgspec.json.encode({**fields, "model": msgspec.Raw(msgspec.json.encode(model))})


def choose_model(wanted: str | None, offered: Sequence[str]) -> str | None:
    """The wanted model, also by its name without Ollama's `:latest`; without a wish the first. None: not offered."""
    if wanted is None:
        return offered[0] if offered else None
    return next((name for name in (wanted, f"{wanted}:latest") if name in offered), None)


def offered_models(listing: Any) -> list[str]:
    """Names out of an answer of /v1/models; what does not look like one is passed over."""
    data = listing.get("data") if isinstance(listing, dict) else None
    entries: list[Any] = data if isinstance(data, list) else []
    return [entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def is_trusted(base_url: str, trusted: str) -> bool:
    """Whether a server is on this machine, or its host (or host:port) is named in the list. By what is written: a name
    that leads to loopback is not looked up."""
    try:
        parts = urlsplit(base_url if "//" in base_url else f"//{base_url}")
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError:
        return False
    named = {entry.strip().lower().removesuffix("/") for entry in trusted.split(",") if entry.strip()}
    if host and {host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}", base_url.lower().rstrip("/")} & named:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class ExternalEngine:
    """`core.ports.Engine`. We neither start nor stop the server; `start` checks that it answers and has the model."""

    honours: frozenset[Demand] = frozenset({"tools", "images"})
    """Handed on; what its model can't do it refuses itself."""

    def __init__(self, base_url: str, *, model: str | None = None, key: str | None = None, trusted: str = "") -> None:
        """`base_url` with or without the `/v1` at its end; `model` None: the first that the server offers;
        `trusted` as in `is_trusted`."""
        self.is_here = is_trusted(base_url, trusted)
        self._base_url = base_url.rstrip("/").removesuffix("/v1")
        self._wanted = model
        self._model = model or ""
        self._headers: Headers = (("authorization", f"Bearer {key}"),) if key else ()
        self._client: Client | None = None
        self._state = EngineState.STOPPED
        self._orders = asyncio.Lock()

    @property
    def name(self) -> str:
        return "engine:external"

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def model(self) -> str:
        """Empty until started, when no model was named."""
        return self._model

    async def start(self) -> None:
        """Blocks until the server said which models it has, for seconds at most. Returns at once when ready."""
        async with self._orders:
            if self._state is EngineState.READY:
                return
            self._state = EngineState.STARTING
            # llama-server announces keep-alive and hangs up right after a stream, so that the next request on the same
            # connection fails (60 of 60 times); a connection each costs little beside an answer.
            client = Client(self._base_url, keep_alive=False)
            try:
                self._model = await self._pick(client)
            except BaseException:  # also a cancellation: never left "starting" with an open client
                self._state = EngineState.FAILED
                await client.close()
                raise
            self._client = client
            self._state = EngineState.READY

    async def stop(self) -> None:
        """Blocks until the connections are closed; the server goes on."""
        async with self._orders:
            self._state = EngineState.STOPPING
            client, self._client = self._client, None
            if client is not None:
                await client.close()
            self._state = EngineState.STOPPED

    async def close(self) -> None:
        await self.stop()

    async def send(self, call: Call) -> Reply:
        client = self._client
        if self._state is not EngineState.READY or client is None:
            raise EngineFailed(
                f"The engine at {self._base_url} is {self._state}, not ready.",
                next_step="Start it first." if self._state is EngineState.STOPPED else "Check that its server runs.",
            )
        headers = (*without(call.headers, (name for name, _ in self._headers)), *self._headers)
        body = with_model(call.body, self._model) if call.body else call.body
        return await client.send(replace(call, body=body, headers=headers))

    async def _pick(self, client: Client) -> str:
        status, body = await self._get(client, "/v1/models")
        if status == 404 and self._wanted is not None and (await self._get(client, "/health"))[0] == 200:
            return self._wanted  # a server without a listing: taken at our word
        if status in (401, 403):
            raise self._failed(f"refused the key (status {status})", "Set the key that it expects.")
        if status != 200:
            raise self._failed(f"answered /v1/models with status {status}", "Check that the URL is right.")
        try:
            offered = offered_models(json.loads(body))
        except ValueError:
            raise self._failed("answered /v1/models without JSON", "Check that the URL is right.") from None
        chosen = choose_model(self._wanted, offered)
        if chosen is None:
            known = ", ".join(offered) or "none"
            wanted = f"no model {self._wanted!r}" if self._wanted else "no model"
            raise self._failed(f"has {wanted} (it has: {known})", "Load the model there, or name one it has.")
        return chosen

    async def _get(self, client: Client, path: str) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                reply = await client.send(Call(path=path, headers=self._headers, method="GET"))
                return reply.status, await reply.read()
        except UpstreamError as error:
            raise self._failed(
                f"does not answer: {error.message.rstrip(chr(46))}", "Start its server, or correct the URL."
            ) from error
        except TimeoutError:
            raise self._failed(f"did not answer within {_CHECK_SECONDS:g} s", "Check that its server runs.") from None

    def _failed(self, what: str, next_step: str) -> EngineFailed:
        return EngineFailed(f"The engine at {self._base_url} {what}.", next_step=next_step)
