"""Which dialect a body speaks, by its shape, and the same body as OpenAI chat.

A logger may write a request in one dialect and the answer in another, so each is told by itself. Embeddings are no
chat: they keep their bodies and are known by their endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from insource.core.values import CHAT_ENDPOINT, JsonObject
from insource.wire import anthropic, completions, converse, gemini, ollama, responses

EMBEDDINGS_ENDPOINT = "/v1/embeddings"


class Dialect(Protocol):
    """What each module of a dialect holds: how to tell its bodies, and to say them as chat."""

    def asks(self, body: JsonObject) -> bool: ...

    def answers(self, body: JsonObject) -> bool: ...

    def request(self, body: JsonObject) -> JsonObject: ...

    def response(self, body: JsonObject) -> JsonObject: ...


class _Chat:
    def asks(self, body: JsonObject) -> bool:
        return isinstance(body.get("messages"), list)

    def answers(self, body: JsonObject) -> bool:
        choices = body.get("choices")
        if not isinstance(choices, list):
            return False
        return body.get("object") == "chat.completion" or any(isinstance(c, dict) and "message" in c for c in choices)

    def request(self, body: JsonObject) -> JsonObject:
        return body

    def response(self, body: JsonObject) -> JsonObject:
        return body


DIALECTS: Mapping[str, Dialect] = {
    "converse": converse,
    "anthropic": anthropic,
    "ollama": ollama,
    "chat": _Chat(),
    "gemini": gemini,
    "completions": completions,
    "responses": responses,
}
"""The narrower ones first: a body of Anthropic's or Ollama's has chat's `messages` too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A request and its answer as chat wherever their shapes are known, else as they were."""

    endpoint: str
    request: JsonObject
    response: JsonObject | None


def asks(body: JsonObject) -> bool:
    return any(dialect.asks(body) for dialect in DIALECTS.values())


def answers(body: JsonObject) -> bool:
    return any(dialect.answers(body) for dialect in DIALECTS.values())


def request_to_chat(body: JsonObject) -> JsonObject:
    dialect = next((dialect for dialect in DIALECTS.values() if dialect.asks(body)), None)
    return body if dialect is None else dialect.request(body)


def response_to_chat(body: JsonObject) -> JsonObject:
    dialect = next((dialect for dialect in DIALECTS.values() if dialect.answers(body)), None)
    return body if dialect is None else dialect.response(body)


def is_embeddings(request: JsonObject, response: JsonObject | None, *, endpoint: str = "") -> bool:
    """`input` is Responses' word too: the endpoint, the answer or at last the model's name tells them apart."""
    if request.keys().isdisjoint(("input", "inputs", "content", "requests")):
        return False
    if endpoint:
        return endpoint.rstrip("/").endswith(("/embeddings", "/embed", ":embedContent", ":batchEmbedContents"))
    if response is None or answers(response):
        return response is None and "embed" in str(request.get("model", ""))
    return has_vectors(response)


def has_vectors(response: JsonObject) -> bool:
    """Whether an answer holds embeddings, as OpenAI, Ollama or Gemini say them."""
    data = response.get("data")
    listed = isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "embedding" in data[0]
    return listed or "embedding" in response or "embeddings" in response


def to_chat(request: JsonObject, response: JsonObject | None, *, endpoint: str = "") -> Translated:
    if is_embeddings(request, response, endpoint=endpoint):
        return Translated(endpoint=endpoint or EMBEDDINGS_ENDPOINT, request=request, response=response)
    return Translated(
        endpoint=CHAT_ENDPOINT,
        request=request_to_chat(request),
        response=None if response is None else response_to_chat(response),
    )
