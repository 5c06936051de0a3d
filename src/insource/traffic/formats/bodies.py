"""What other tools put where a request or an answer should be, as a body of some dialect of `wire/`.

A request may be a body, a list of messages (OpenAI's, LangChain's, ShareGPT's, OpenTelemetry's), one message, or a bare
text; an answer a body, a message, a list of them, a text, or a structure that a tool parsed for its user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.fields import get, items, obj, structure, text
from insource.wire import dialects, json_text, parts

_ROLES: Mapping[str, str] = {
    "human": "user",
    "prompter": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "function",
    "function_call": "assistant",
    "observation": "tool",
}
_LANGCHAIN: Mapping[str, str] = {
    "HumanMessage": "user",
    "HumanMessageChunk": "user",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
}
_WRAPPERS = ("body", "request", "kwargs", "input", "inputs", "payload")
_BODY = frozenset({"messages", "contents", "model", "max_tokens", "temperature"})
_FRAME = frozenset({"id", "object", "created", "model", "usage", "choices", "candidates", "finish_reason"})
_FRAMED = 2
"""An answer that was parsed may have an id or a model of its own."""
_NO_TEXT = frozenset({"model", "usage", "role", "type", "id", "metadata", "finish_reason", "stop_reason", "object"})
"""Fields beside a text that add nothing to what was asked or answered."""
_BESIDE = frozenset({"role", "type", "content", "parts", "from", "value", "text", "id", "name", "data", "lc", "kwargs"})


def completion(message: JsonObject, *, model: str | None = None) -> JsonObject:
    rest: JsonObject = {} if model is None else {"model": model}
    return parts.completion(message, finish_reason=None, usage=None, rest=rest)


# ---------------------------------------------------------------------------------------------------- requests


def as_request(value: Any) -> JsonObject | None:
    """A body; None where the value holds nothing that could have been asked. A text that is JSON is a prompt in JSON,
    unless it is plainly a body or a list of messages."""
    found = structure(value)
    if found is not None and not found:
        return None  # also as a text: databases write what is missing as `{}`
    request = _request(found) if found else None
    if request is not None:
        return request
    if isinstance(found, dict) and not _BODY.isdisjoint(found):
        return found  # a body without a word in it: for whoever checks it
    asked = _only_text(found) if isinstance(found, dict) and not isinstance(value, str) else None
    if asked is None and isinstance(value, str):
        asked = value
    elif asked is None and found:
        asked = json_text.encode(found).decode()
    return {"messages": [{"role": "user", "content": asked}]} if asked and asked.strip() else None


def _request(value: list[Any] | JsonObject) -> JsonObject | None:
    if isinstance(value, list):
        messages = as_messages(value)
        return None if messages is None else {"messages": messages}
    listed = items(value.get("messages"))
    if listed:
        messages = as_messages(listed)
        return value if messages is None else {**value, "messages": messages}
    if "contents" in value or _is_prompt(value) or _is_responses(value):
        return value
    if isinstance(value.get("role"), str) and "content" in value:
        messages = as_messages([value])
        return None if messages is None else {"messages": messages}
    prompts = value.get("prompts")
    if isinstance(prompts, list) and len(prompts) == 1 and isinstance(prompts[0], str):
        return {"messages": [{"role": "user", "content": prompts[0]}]}
    for name in _WRAPPERS:
        inner = structure(value.get(name))
        request = _request(inner) if inner else None
        if request is not None:
            return request
    return None


def _is_prompt(body: JsonObject) -> bool:
    return isinstance(body.get("prompt"), str) and any(key in body for key in ("model", "max_tokens", "temperature"))


def _is_responses(body: JsonObject) -> bool:
    asked = body.get("input")
    if isinstance(asked, list) and asked:
        return "model" in body or all(isinstance(item, dict) and "type" in item for item in asked)
    return isinstance(asked, str) and ("model" in body or "instructions" in body)


def _only_text(value: JsonObject) -> str | None:
    """The text of an object that holds one text and nothing else that matters."""
    held = [item for key, item in value.items() if key not in _NO_TEXT and item not in (None, "", [], {})]
    return held[0] if len(held) == 1 and isinstance(held[0], str) else None


def as_messages(listed: list[Any]) -> list[JsonObject] | None:
    """None unless everything in the list is a message. A list of such lists (LangChain's batches) is its first."""
    if listed and isinstance(listed[0], list):
        return as_messages(listed[0])
    messages: list[JsonObject] = []
    for item in listed:
        if _is_chat(item):
            messages.append(item)
            continue
        found = as_message(item)
        if found is None:
            return None
        turns = parts.turn(found["role"], found["content"])
        messages += [*turns[:-1], {**turns[-1], **{k: v for k, v in found.items() if k not in ("role", "content")}}]
    return messages or None


def _is_chat(message: Any) -> bool:
    """Whether it needs no translation, as almost all that come: chat's own, or for a dialect of `wire/`."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
        return False
    calls = message.get("tool_calls")
    plain = _ROLES.get(message["role"]) == message["role"]
    return plain and (calls is None or (isinstance(calls, list) and all(_is_call(call) for call in calls)))


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("function"), dict)


def as_message(value: Any) -> JsonObject | None:
    """A message in anybody's words; its content may still be parts in anybody's words."""
    role = _role(value) if isinstance(value, dict) else None
    if role is None:
        return None
    inner = obj(value.get("kwargs")) if value.get("lc") else obj(value.get("data")) if "type" in value else None
    inner = value if inner is None else inner
    content = next((inner[key] for key in ("content", "parts", "value", "text") if inner.get(key) is not None), None)
    message: JsonObject = {"role": role, "content": content}
    message |= {key: inner[key] for key in inner if key not in _BESIDE and inner[key] not in (None, [], {})}
    extra = message.pop("additional_kwargs", None)
    calls = items(inner.get("tool_calls")) or items(get(extra, "tool_calls"))
    if calls:
        message["tool_calls"] = [parts.tool_call(call) for call in calls if isinstance(call, dict)]
    return None if content is None and "content" not in inner and not calls else message


def _role(value: JsonObject) -> str | None:
    if value.get("lc"):
        names = value.get("id")
        return _LANGCHAIN.get(str(names[-1])) if isinstance(names, list) and names else None
    said = next((value[key] for key in ("role", "from", "type", "sender") if isinstance(value.get(key), str)), None)
    return None if said is None else _ROLES.get(said.lower(), _LANGCHAIN.get(said))


# ----------------------------------------------------------------------------------------------------- answers


def as_response(value: Any, *, model: str | None = None, parsed: bool = True) -> JsonObject | None:
    """A body; None where nothing was answered. A text that is JSON is an answer in JSON, unless it is plainly a body or
    a message. An object that is neither: if answers may be `parsed` here it is written as JSON again, else it is a body
    that nobody knows, and no answer."""
    found = structure(value)
    response = _response(found, model) if found else None
    if response is not None:
        return response
    if isinstance(value, str):
        said = value if parsed or found or found is None else ""  # `{}` is an answer in JSON, and no body
    elif found:
        only = _only_text(found) if isinstance(found, dict) else None
        said = only or (json_text.encode(found).decode() if parsed and not _is_frame(found) else "")
    else:
        said = "" if value is None or found is not None else text(value) or str(value).lower()
    return completion({"role": "assistant", "content": said}, model=model) if said.strip() else None


def _is_frame(value: Any) -> bool:
    """Whether an object is what an API puts around an answer, in a dialect that is not known."""
    return isinstance(value, dict) and len(_FRAME & value.keys()) >= _FRAMED


def _response(value: list[Any] | JsonObject, model: str | None) -> JsonObject | None:
    if isinstance(value, list):
        return _listed(value, model)
    if dialects.answers(value) or dialects.has_vectors(value):
        return value
    if value.get("error") and "content" not in value:
        return value
    if "role" in value or value.get("lc") or isinstance(value.get("tool_calls"), list):
        message = as_message(value if "role" in value or value.get("lc") else {"role": "assistant", **value})
        if message is not None and message["role"] == "assistant":
            return completion(_answer(message), model=model)
    for name in ("message", "generations", "choices", "body", "messages", "output"):
        inner = structure(value.get(name))
        response = _response(inner, model) if inner else None
        if response is not None:
            return response
    return None


def _listed(listed: list[Any], model: str | None) -> JsonObject | None:
    """The assistant's last message, or its parts, or the first of several generations."""
    first = listed[0]
    if isinstance(first, list):
        return _listed(first, model) if first else None
    messages = as_messages(listed)
    if messages is not None:
        last = next((m for m in reversed(messages) if m["role"] == "assistant"), None)
        return None if last is None else completion(_answer(last), model=model)
    if isinstance(first, dict) and isinstance(first.get("message"), dict):
        inner = first["message"]
        message = obj(inner.get("kwargs")) or inner  # LangChain's generation
        return completion(_answer({"role": "assistant", "content": None, **message}), model=model)
    if isinstance(first, dict) and isinstance(first.get("text"), str) and _is_generation(first):
        return completion({"role": "assistant", "content": first["text"]}, model=model)
    if all(parts.kind(part) for part in listed):
        return completion(parts.answer(listed), model=model)
    return None


def _is_generation(value: JsonObject) -> bool:
    """LangChain's, of a model that answers with bare text."""
    return "generation_info" in value or str(value.get("type", "")).endswith("Generation")


def _answer(message: JsonObject) -> JsonObject:
    """A whole message of the assistant's, in chat's words."""
    message = as_message({**message, "role": "assistant"}) or message
    said = parts.answer(message["content"])
    calls = [*said.get("tool_calls", ()), *message.get("tool_calls", ())]
    return {**message, **said, **({"tool_calls": calls} if calls else {})}
