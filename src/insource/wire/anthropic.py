"""Anthropic's Messages as OpenAI chat: the request's body and the answer's. Fields that chat lacks stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insource.core.values import JsonObject
from insource.wire import parts

_STOPS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_CHOICES: Mapping[str, str] = {"auto": "auto", "any": "required", "none": "none"}
_ASKED = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def asks(body: JsonObject) -> bool:
    """Whether a request says something that only this dialect says so; without that, chat reads it as well."""
    if not isinstance(body.get("messages"), list):
        return False
    if any(key in body for key in ("system", "stop_sequences", "anthropic_version")):
        return True
    tools = body.get("tools")
    if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
        return True
    return any(_foreign(message) for message in body["messages"])


def _foreign(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    kinds = ("tool_use", "tool_result", "thinking", "image", "document")
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") in kinds for part in content)


def answers(body: JsonObject) -> bool:
    return isinstance(body.get("content"), list) and (body.get("type") == "message" or "stop_reason" in body)


def request(body: JsonObject) -> JsonObject:
    chat = {key: value for key, value in body.items() if key not in ("system", "stop_sequences", "tool_choice")}
    messages: list[JsonObject] = []
    if body.get("system"):
        messages += parts.turn("system", body["system"])
    for message in body.get("messages") or []:
        if isinstance(message, dict):
            rest = {key: value for key, value in message.items() if key not in ("role", "content")}
            turns = parts.turn(str(message.get("role") or "user"), message.get("content"))
            messages += [*turns[:-1], {**turns[-1], **rest}]
    chat["messages"] = messages
    if "stop_sequences" in body:
        chat["stop"] = body["stop_sequences"]
    if isinstance(body.get("tools"), list):
        chat["tools"] = [parts.tool(tool) for tool in body["tools"]]
    return chat | _tool_choice(body.get("tool_choice"))


def _tool_choice(choice: Any) -> JsonObject:
    if not isinstance(choice, dict):
        return {} if choice is None else {"tool_choice": choice}
    named = {"type": "function", "function": {"name": choice.get("name")}}
    kind = str(choice.get("type"))
    said: JsonObject = {"tool_choice": named if kind == "tool" else _CHOICES.get(kind, choice)}
    parallel = choice.get("disable_parallel_tool_use")
    return said if parallel is None else {**said, "parallel_tool_calls": not parallel}


def response(body: JsonObject) -> JsonObject:
    reason = body.get("stop_reason")
    known = ("type", "role", "content", "usage")
    return parts.completion(
        parts.answer(body.get("content")),
        finish_reason=_STOPS.get(str(reason), reason),
        usage=parts.usage(body.get("usage"), asked=_ASKED, answered=("output_tokens",)),
        rest={key: value for key, value in body.items() if key not in known},
    )
