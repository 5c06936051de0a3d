"""A local answer as the client gets it: whole, or as the engine's own stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from insource.core.errors import EngineFailed
from insource.core.ports import Ask, Reply
from insource.core.values import JsonObject, LocalAnswer
from insource.wire import chat
from insource.workflows.asking import Local, ask_engine, check, prepare, send

_LOGPROBS = ("logprobs", "top_logprobs")


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
    reply = await send(local, body)
    if reply.status != 200:
        check(reply.status, await reply.read())
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
    own: JsonObject = {"id": f"chatcmpl-{id}", "object": "chat.completion", "created": created}
    completion: JsonObject = {**own, **answer.completion, "model": local.model}
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


async def _prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
