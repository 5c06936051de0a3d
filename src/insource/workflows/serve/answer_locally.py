"""One request answered on this machine: the recipe prepares, the engine answers, the recipe reads.

Nothing here knows of gates or providers. What goes wrong is an InsourceError, whatever a recipe or an engine raised:
ContextOverflow (reroute, or a 400 for a pinned request), BadInput (the engine refused the request) or EngineFailed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from insource.core.errors import BadInput, ContextOverflow, EngineFailed, InsourceError
from insource.core.headers import JSON
from insource.core.ports import Ask, Call, Demand, Engine, Fitted, Reply
from insource.core.values import CHAT_ENDPOINT, JsonObject, LocalAnswer
from insource.wire import chat

_LOGPROBS = ("logprobs", "top_logprobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What can answer here: a candidate ready for use, or the default model without a recipe."""

    model: str
    """The name that the client sees in `model`: the truth, not the name it asked for."""
    engine: Engine | None
    """None: the recipe answers without a model."""
    fitted: Fitted | None = None
    """None: the request goes to the engine as it is, under the local model's name."""
    recipe: str = ""
    streams: bool = False
    """Whether the engine's own stream may be the answer, because the recipe takes the text as it comes."""
    honours: frozenset[Demand] = frozenset()
    """What a request may ask for beyond one text."""

    @property
    def upstream(self) -> str:
        return self.engine.name if self.engine is not None else f"engine:{self.recipe}"


def prepare(local: Local, request: JsonObject) -> Ask | LocalAnswer:
    """What to ask the engine, under the local model's name; or the answer."""
    if local.fitted is None:
        return Ask(body={**request, "model": local.model})
    try:
        prepared = local.fitted.prepare(request)
    except InsourceError:
        raise
    except Exception as error:
        raise _recipe_failed(local, error) from error
    if isinstance(prepared, LocalAnswer):
        return prepared
    return Ask(body={**prepared.body, "model": local.model})


async def ask_engine(local: Local, ask: Ask) -> LocalAnswer:
    """The whole answer; the engine is never asked for a stream here, because `read` needs all of it."""
    body = {key: value for key, value in ask.body.items() if key not in ("stream", "stream_options")}
    reply = await _send(local, body)
    data = await reply.read()
    _check(reply.status, data)
    completion = _decode(data)
    if not isinstance(completion, dict):
        raise EngineFailed(
            "The engine's answer is not a JSON object.", next_step="Read the engine's log with `insource doctor`."
        )
    if local.fitted is None:
        return LocalAnswer(text=chat.answer_text(completion) or "", confidence=1.0, completion=completion)
    try:
        return local.fitted.read(completion)
    except InsourceError:
        raise
    except Exception as error:
        raise _recipe_failed(local, error) from error


async def answer_locally(local: Local, request: JsonObject) -> LocalAnswer:
    prepared = prepare(local, request)
    return prepared if isinstance(prepared, LocalAnswer) else await ask_engine(local, prepared)


async def stream_locally(local: Local, ask: Ask, request: JsonObject) -> Reply:
    """The engine's stream, with its first bytes already here: until then whoever calls may still go elsewhere."""
    body = {**ask.body, "stream": True}
    for name in _LOGPROBS:
        if name not in request:
            body.pop(name, None)
    if "stream_options" in request:
        body["stream_options"] = request["stream_options"]
    reply = await _send(local, body)
    if reply.status != 200:
        _check(reply.status, await reply.read())
    try:
        first = await anext(reply.chunks, None)
    except BaseException:
        await reply.close()
        raise
    if first is None:
        await reply.close()
        raise EngineFailed("The engine ended its stream before it began.", next_step="Send the request again.")
    return Reply(status=200, headers=reply.headers, chunks=_prepend(first, reply.chunks), close=reply.close)


def client_completion(answer: LocalAnswer, local: Local, request: JsonObject, *, id: str, created: int) -> JsonObject:
    """What the client gets: the recipe's text in the engine's completion, without the logprobs that only the recipe
    asked for, under the local model's name."""
    if answer.completion is None:
        return chat.completion(id=f"chatcmpl-{id}", created=created, model=local.model, text=answer.text)
    completion: JsonObject = {**answer.completion, "model": local.model}
    choices = [dict(choice) if isinstance(choice, dict) else choice for choice in completion.get("choices") or []]
    completion["choices"] = choices
    if not request.get("logprobs"):
        for choice in choices:
            if isinstance(choice, dict) and choice.get("logprobs") is not None:
                choice["logprobs"] = None
    message = chat.answer_message(answer.completion)
    if message is not None and choices and not message.get("tool_calls") and message.get("content") != answer.text:
        choices[0]["message"] = {**message, "content": answer.text}
    return completion


async def _send(local: Local, body: JsonObject) -> Reply:
    if local.engine is None:
        raise EngineFailed(
            f"The recipe {local.recipe!r} needs an engine and has none.", next_step="Pull its model file again."
        )
    return await local.engine.send(Call(path=CHAT_ENDPOINT, body=msgspec.json.encode(body), headers=JSON))


async def _prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _check(status: int, data: bytes) -> None:
    """Raises for every answer that is not a 200."""
    if status == 200:
        return
    body = _decode(data)
    error = body.get("error") if isinstance(body, dict) else None
    found: JsonObject = error if isinstance(error, dict) else {}
    said = str(found.get("message") or data[:200].decode("utf-8", "replace"))
    if found.get("type") == "exceed_context_size_error" or found.get("code") == "context_length_exceeded":
        raise ContextOverflow(
            f"The request is longer than the local context: {said}",
            next_step="Shorten it, or raise INSOURCE_CONTEXT_TOKENS (which INSOURCE_SLOTS divides) and restart.",
        )
    if 400 <= status < 500:
        raise BadInput(f"The engine refused the request ({status}): {said}", next_step="Correct the request.")
    raise EngineFailed(f"The engine answered {status}: {said}", next_step="Send the request again in a few seconds.")


def _recipe_failed(local: Local, error: Exception) -> EngineFailed:
    return EngineFailed(
        f"The recipe {local.recipe!r} failed: {type(error).__name__}: {error}.",
        next_step="Roll the task's move back, and report this as a bug.",
    )
