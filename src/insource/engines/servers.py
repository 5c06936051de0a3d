"""Model servers that run on this machine already: Ollama, LM Studio, llama-server, vLLM, or one that speaks their API.

Each is known by an answer that only it gives, whatever port it listens on. Only GET, only loopback, no redirects, a
second at most; what answers may be anything, so answers are bounded and their shapes are checked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from insource.core.errors import UpstreamError
from insource.core.ports import Call, Reply
from insource.core.stored_models import FoundServer
from insource.engines.external import offered_models
from insource.wire.client import Client, Timeouts

USUAL_PORTS: Mapping[int, str] = {11434: "Ollama", 1234: "LM Studio", 8080: "llama-server", 8000: "vLLM"}
_PATHS = ("/api/version", "/api/tags", "/api/v0/models", "/props", "/version", "/v1/models")
_CONNECT_SECONDS = 0.3
_SECONDS = 1.0
_ANSWER_BYTES = 4 << 20
_TEXT_CHARACTERS = 200


async def find_servers(ports: Sequence[int] = tuple(USUAL_PORTS)) -> tuple[FoundServer, ...]:
    """Those that listen on loopback, in the order of the ports. Never raises; at most a second."""
    found = await asyncio.gather(*(_look(f"http://127.0.0.1:{port}") for port in ports))
    return tuple(server for server in found if server is not None)


async def _look(url: str) -> FoundServer | None:
    client = Client(url, timeouts=Timeouts(connect_seconds=_CONNECT_SECONDS), keep_alive=False)
    try:
        answers = await asyncio.gather(*(_get(client, path) for path in _PATHS))
    finally:
        await client.close()
    return identify(url, dict(zip(_PATHS, answers, strict=True)))


async def _get(client: Client, path: str) -> dict[str, Any]:
    """{} for everything but a JSON object with status 200."""
    try:
        async with asyncio.timeout(_SECONDS):
            reply = await client.send(Call(path=path, body=b"", method="GET"))
            try:
                body = await _bounded(reply)
            finally:
                await reply.close()
        found = json.loads(body) if reply.status == 200 else None
    except (UpstreamError, TimeoutError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


async def _bounded(reply: Reply) -> bytes:
    body = b""
    async for chunk in reply.chunks:
        body += chunk
        if len(body) > _ANSWER_BYTES:
            return b""
    return body


def identify(url: str, answers: Mapping[str, dict[str, Any]]) -> FoundServer | None:
    """What answers so. Pure. LM Studio answers every path with status 200, so shapes decide and not statuses."""
    listed = _texts(offered_models(answers["/v1/models"]))
    owners = _texts(entry.get("owned_by") for entry in _entries(answers["/v1/models"], "data"))
    props, tags, studio = answers["/props"], answers["/api/tags"], answers["/api/v0/models"]
    if "default_generation_settings" in props or "llamacpp" in owners:
        return FoundServer(kind="llamacpp", url=url, version=_text(props, "build_info"), models=listed)
    if _text(answers["/api/version"], "version") and "models" in tags:
        models = _texts(entry.get("name") for entry in _entries(tags, "models"))
        return FoundServer(kind="ollama", url=url, version=_text(answers["/api/version"], "version"), models=models)
    if studio.get("object") == "list":
        chats = (entry for entry in _entries(studio, "data") if entry.get("type") != "embeddings")
        return FoundServer(kind="lmstudio", url=url, version=None, models=_texts(entry.get("id") for entry in chats))
    if "vllm" in owners:
        return FoundServer(kind="vllm", url=url, version=_text(answers["/version"], "version"), models=listed)
    if listed:
        return FoundServer(kind="openai", url=url, version=None, models=listed)
    return None


def _entries(answer: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = answer.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _text(answer: dict[str, Any], key: str) -> str | None:
    return next(iter(_texts([answer.get(key)])), None)


def _texts(values: Any) -> tuple[str, ...]:
    """Short texts made safe to show."""
    texts = (value for value in values if isinstance(value, str))
    shown = ("".join(c for c in text[:_TEXT_CHARACTERS] if c.isprintable()).strip() for text in texts)
    return tuple(text for text in shown if text)
