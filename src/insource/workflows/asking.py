"""One way to ask what runs on this machine, for serving and for evaluating: prepare, send, check, read.

Nothing here knows of gates or providers. What goes wrong is an InsourceError, whatever a recipe or an engine raised:
ContextOverflow or BadInput (the engine refused this request) or EngineFailed (it would refuse any).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from insource.core.errors import BadInput, ContextOverflow, EngineFailed, InsourceError
from insource.core.headers import JSON
from insource.core.ports import Ask, Call, Demand, Engine, Fitted, Reply
from insource.core.values import CHAT_ENDPOINT, JsonObject, LocalAnswer
from insource.wire import chat

_OF_THE_ENGINE = frozenset({408, 425, 429})
"""Of the 4xx, those that say nothing about the request."""


def _admits_all(request: JsonObject) -> str | None:
    return None


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
    not_admitted: Callable[[JsonObject], str | None] = _admits_all
    """Why a request is not answered here, as the end of a sentence; None: it may be."""
    certainty: Callable[[str, float], float] | None = None
    """(answer, the recipe's confidence) -> the confidence that gates are compared with; None: the recipe's own."""

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
        return _sure(local, prepared)
    return Ask(body={**prepared.body, "model": local.model})


async def ask_engine(local: Local, ask: Ask) -> LocalAnswer:
    """The whole answer, as the recipe reads it."""
    return read(local, await complete(local, ask))


async def complete(local: Local, ask: Ask) -> JsonObject:
    """The engine's whole completion; it is never asked for a stream here, because `read` needs all of it."""
    body = {key: value for key, value in ask.body.items() if key not in ("stream", "stream_options")}
    reply = await send(local, body)
    data = await reply.read()
    check(reply.status, data)
    completion = _decode(data)
    if not isinstance(completion, dict):
        raise EngineFailed(
            "The engine's answer is not a JSON object.", next_step="Read the engine's log with `insource doctor`."
        )
    return completion


def read(local: Local, completion: JsonObject) -> LocalAnswer:
    if local.fitted is None:
        return LocalAnswer(text=chat.answer_text(completion) or "", confidence=1.0, completion=completion)
    try:
        return _sure(local, local.fitted.read(completion))
    except InsourceError:
        raise
    except Exception as error:
        raise _recipe_failed(local, error) from error


def _sure(local: Local, answer: LocalAnswer) -> LocalAnswer:
    if local.certainty is None:
        return answer
    return replace(answer, confidence=local.certainty(answer.text, answer.confidence))


async def send(local: Local, body: JsonObject) -> Reply:
    if local.engine is None:
        raise EngineFailed(
            f"The recipe {local.recipe!r} needs an engine and has none.", next_step="Pull its model file again."
        )
    return await local.engine.send(Call(path=CHAT_ENDPOINT, body=msgspec.json.encode(body), headers=JSON))


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def check(status: int, data: bytes) -> None:
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
    if 400 <= status < 500 and status not in _OF_THE_ENGINE:
        raise BadInput(f"The engine refused the request ({status}): {said}", next_step="Correct the request.")
    raise EngineFailed(f"The engine answered {status}: {said}", next_step="Send the request again in a few seconds.")


def _recipe_failed(local: Local, error: Exception) -> EngineFailed:
    return EngineFailed(
        f"The recipe {local.recipe!r} failed: {type(error).__name__}: {error}.",
        next_step="Roll the task's move back, and report this as a bug.",
    )
