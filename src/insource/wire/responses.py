"""OpenAI's Responses as OpenAI chat: the request's body and the answer's. Fields that chat lacks stay as they are."""

from __future__ import annotations

from typing import Any

from insource.core.values import JsonObject
from insource.wire import parts

_TRANSLATED = frozenset({"instructions", "input", "tools", "tool_choice", "max_output_tokens", "text"})


def asks(body: JsonObject) -> bool:
    return "input" in body and not isinstance(body.get("messages"), list)


def answers(body: JsonObject) -> bool:
    if body.get("object") == "response":
        return True
    return isinstance(body.get("output"), list) and ("status" in body or "output_text" in body or "usage" in body)


def request(body: JsonObject) -> JsonObject:
    chat = {key: value for key, value in body.items() if key not in _TRANSLATED}
    messages: list[JsonObject] = []
    if body.get("instructions"):
        messages += parts.turn("system", body["instructions"])
    asked = body.get("input")
    messages += items(asked) if isinstance(asked, list) else [{"role": "user", "content": asked}] if asked else []
    chat["messages"] = messages
    if isinstance(body.get("tools"), list):
        chat["tools"] = [parts.tool(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        choice = body["tool_choice"]
        named = isinstance(choice, dict) and choice.get("type") == "function" and "name" in choice
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}} if named else choice
    if "max_output_tokens" in body:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    return chat | _text(body.get("text"))


def _text(text: Any) -> JsonObject:
    """`text` holds the format of the answer, and perhaps how long it should be."""
    if not isinstance(text, dict):
        return {} if text is None else {"text": text}
    rest = {key: value for key, value in text.items() if key != "format"}
    said: JsonObject = rest and {"text": rest}
    form = text.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema" and "json_schema" not in form:
        inner = {key: value for key, value in form.items() if key != "type"}
        return {**said, "response_format": {"type": "json_schema", "json_schema": inner}}
    return said if form is None else {**said, "response_format": form}


def items(listed: list[Any]) -> list[JsonObject]:
    """Items of an input or output as messages; calls and reasoning belong to the assistant's turn around them."""
    messages: list[JsonObject] = []
    for item in listed:
        if isinstance(item, dict) and ("role" in item or item.get("type") == "message"):
            known = ("type", "role", "content")
            rest = {key: value for key, value in item.items() if key not in known and value is not None}
            turns = parts.turn(str(item.get("role") or "assistant"), item.get("content"))
            messages += [*turns[:-1], {**turns[-1], **rest}]
        elif isinstance(item, str):
            messages.append({"role": "user", "content": item})
        elif parts.kind(item) == "result":
            messages.append(parts.tool_result(item))
        elif isinstance(item, dict) and item.get("type") in ("input_text", "input_image", "input_file"):
            messages += parts.turn("user", [item])
        elif messages and messages[-1]["role"] == "assistant" and parts.kind(item) == "call":
            messages[-1].setdefault("tool_calls", []).append(parts.tool_call(item))
        else:
            messages += parts.turn("assistant", [item])
    return messages


def response(body: JsonObject) -> JsonObject:
    listed = body.get("output")
    content: list[Any] = []
    for item in listed if isinstance(listed, list) else [body.get("output_text") or ""]:
        within = item.get("content") if isinstance(item, dict) and item.get("type", "message") == "message" else None
        content += within if isinstance(within, list) else [item if within is None else within]
    known = ("object", "created_at", "output", "usage", "output_text" if not isinstance(listed, list) else "")
    rest = {key: value for key, value in body.items() if key not in known}
    if isinstance(body.get("created_at"), int | float):
        rest["created"] = body["created_at"]
    return parts.completion(
        parts.answer(content),
        finish_reason=_finish(body),
        usage=parts.usage(body.get("usage"), asked=("input_tokens",), answered=("output_tokens",)),
        rest=rest,
    )


def _finish(body: JsonObject) -> str | None:
    details = body.get("incomplete_details")
    if body.get("status") != "incomplete" and not details:
        return None
    reason = details.get("reason") if isinstance(details, dict) else None
    return "content_filter" if reason == "content_filter" else "length"
