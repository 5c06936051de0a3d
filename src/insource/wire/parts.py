"""The parts of a message in any dialect's words, as OpenAI chat says them: texts, images, tool calls and their results.

Anthropic, Responses, Gemini, OpenTelemetry and others name the same few things differently and hold them in lists.
Nothing is dropped: a part that chat has no word for stays in the list as it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from insource.core.values import JsonObject
from insource.wire import json_text
from insource.wire.chat import as_count

_TEXTS = frozenset({"text", "input_text", "output_text", "raw_text"})
_CALLS = frozenset({"tool_use", "tool_call", "function_call", "toolUse", "functionCall"})
_RESULTS = frozenset({"tool_result", "tool_call_response", "function_call_output", "toolResult", "functionResponse"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "thought"})
_CALL_KEYS = frozenset(
    {"type", "function", "name", "raw_name", "arguments", "raw_arguments", "args", "input", "id", "call_id"}
    | {"tool_call_id", "toolUseId"}
)
_TOOL_KEYS = frozenset(
    {"type", "name", "description", "parameters", "input_schema", "inputSchema", "parametersJsonSchema", "strict"}
)


def turn(role: str, content: Any) -> list[JsonObject]:
    """The chat messages that a message comes to: itself, and each result of a tool as a message of its own."""
    if not isinstance(content, list):
        return [{"role": role, "content": content}]
    messages: list[JsonObject] = []
    held: list[Any] = []
    for part in content:
        if kind(part) != "result":
            held.append(part)
            continue
        if held:
            messages.append(_message(role, held))
        messages.append(tool_result(part))
        held = []
    if held or not messages:
        messages.append(_message(role, held))
    return messages


def answer(content: Any) -> JsonObject:
    """The one message of an answer: its texts joined as one, as chat has them."""
    if not isinstance(content, list):
        return {"role": "assistant", "content": content}
    message = _message("assistant", content)
    parts = message["content"]
    if isinstance(parts, list):
        message["content"] = "".join(part["text"] for part in parts if part["type"] == "text") or None
        if any(not _plain(part) for part in parts):
            message["content_parts"] = parts
    return message


def kind(part: Any) -> str:
    """`text`, `call`, `result`, `thought`, `refusal`, or "" for what chat has no word for, and for chat's own parts."""
    if isinstance(part, str):
        return "text"
    if not isinstance(part, dict):
        return ""
    stated = part.get("type")
    name = stated if isinstance(stated, str) else None
    if name in _TEXTS or (name is None and isinstance(part.get("text"), str)):
        return "thought" if part.get("thought") is True else "text"
    names = part.keys() if name is None else {name}
    for words, found in ((_CALLS, "call"), (_RESULTS, "result"), (_THOUGHTS, "thought")):
        if not words.isdisjoint(names):
            return found
    return "refusal" if name == "refusal" else ""


def _message(role: str, content: Iterable[Any]) -> JsonObject:
    """A message without results of tools."""
    message: JsonObject = {"role": role, "content": None}
    parts: list[JsonObject] = []
    for part in content:
        what = kind(part)
        if what == "text":
            parts.append(_text(part))
        elif what == "call":
            message.setdefault("tool_calls", []).append(tool_call(part))
        elif what == "thought":
            message.setdefault("reasoning", []).append(part)
        elif what == "refusal":
            message["refusal"] = f"{message.get('refusal') or ''}{part.get('refusal') or ''}"
        else:
            parts.append(_other(part))
    if len(parts) == 1 and parts[0]["type"] == "text" and _plain(parts[0]):
        message["content"] = parts[0]["text"]
    elif parts:
        message["content"] = parts
    elif len(message) == 2:
        message["content"] = ""
    return message


def _text(part: Any) -> JsonObject:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    key = next((key for key in ("text", "content", "value") if isinstance(part.get(key), str)), "text")
    others = {name: value for name, value in part.items() if name not in ("type", key)}
    return {"type": "text", "text": str(part.get(key) or ""), **others}


def _plain(part: JsonObject) -> bool:
    """A text and nothing else; empty lists of annotations say nothing."""
    return part["type"] == "text" and not any(value for name, value in part.items() if name not in ("type", "text"))


def _other(part: Any) -> JsonObject:
    if not isinstance(part, dict):
        return {"type": "unknown", "value": part}
    url = _image(part)
    if url is None:
        return part if isinstance(part.get("type"), str) else {"type": "unknown", **part}
    image: JsonObject = {"url": url}
    if "detail" in part:
        image["detail"] = part["detail"]
    others = {name: part[name] for name in ("cache_control",) if name in part}
    return {"type": "image_url", "image_url": image, **others}


def _image(part: JsonObject) -> str | None:
    """The URL of a picture in Anthropic's, Responses' or Gemini's words."""
    source = part.get("source")
    if part.get("type") == "image" and isinstance(source, dict):
        if isinstance(source.get("data"), str):
            return f"data:{source.get('media_type', '')};base64,{source['data']}"
        return source.get("url") if isinstance(source.get("url"), str) else None
    if part.get("type") == "input_image":
        return part.get("image_url") if isinstance(part.get("image_url"), str) else None
    inline = part.get("inlineData") or part.get("inline_data")
    if isinstance(inline, dict) and isinstance(inline.get("data"), str):
        media = str(inline.get("mimeType") or inline.get("mime_type") or "")
        return f"data:{media};base64,{inline['data']}" if media.startswith("image/") else None
    return None


# ------------------------------------------------------------------------------------------------------ tools


def tool_call(call: JsonObject) -> JsonObject:
    """A call in anybody's words, as chat says it: the arguments are a text of JSON."""
    call = _unwrapped(call, "functionCall", "toolUse")
    function = call.get("function")
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        return call if call.get("type") == "function" else {**call, "type": "function"}
    inner: JsonObject = function if isinstance(function, dict) else call
    name = function if isinstance(function, str) else _first(inner, "name", "raw_name")
    arguments = _first(inner, "arguments", "args", "input", "raw_arguments")
    id = _first(call, "call_id", "tool_call_id", "toolUseId", "id")
    text = (
        arguments if isinstance(arguments, str) else json_text.encode({} if arguments is None else arguments).decode()
    )
    said: JsonObject = {} if id is None else {"id": id}
    rest = {key: value for key, value in call.items() if key not in _CALL_KEYS}
    return {**said, "type": "function", "function": {"name": name, "arguments": text}, **rest}


def tool_result(part: JsonObject) -> JsonObject:
    """The message `tool` that a result in anybody's words comes to."""
    part = _unwrapped(part, "functionResponse", "toolResult")
    id = _first(part, "tool_use_id", "tool_call_id", "call_id", "toolUseId", "id")
    content = _first(part, "content", "output", "result", "response")
    if isinstance(content, list):
        parts = [_text(item) if kind(item) == "text" else _other(item) for item in content]
        content = parts[0]["text"] if len(parts) == 1 and _plain(parts[0]) else parts
    elif not isinstance(content, str):
        content = "" if content is None else json_text.encode(content).decode()
    known = ("type", "tool_use_id", "tool_call_id", "call_id", "toolUseId", "id", "content", "output", "result")
    rest = {key: value for key, value in part.items() if key not in known and key != "response"}
    return {"role": "tool", **({} if id is None else {"tool_call_id": id}), "content": content, **rest}


def tool(value: Any) -> Any:
    """A function that a model may call, as chat declares it; tools that the service runs itself stay as they are."""
    if not isinstance(value, dict) or isinstance(value.get("function"), dict) or not isinstance(value.get("name"), str):
        return value
    if value.get("type") not in (None, "function", "custom") or (
        value.get("type") == "custom" and "input_schema" not in value
    ):
        return value
    schema = _first(value, "parameters", "input_schema", "parametersJsonSchema", "inputSchema")
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict):
        schema = schema["json"]  # Bedrock's Converse
    function: JsonObject = {"name": value["name"]}
    function |= {key: value[key] for key in ("description", "strict") if key in value}
    if schema is not None:
        function["parameters"] = schema
    return {"type": "function", "function": function, **{k: v for k, v in value.items() if k not in _TOOL_KEYS}}


def _unwrapped(value: JsonObject, *names: str) -> JsonObject:
    inner = next((value[name] for name in names if isinstance(value.get(name), dict)), None)
    return value if inner is None else {**{k: v for k, v in value.items() if k not in names}, **inner}


def _first(value: JsonObject, *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


# ------------------------------------------------------------------------------------------------- completions


def completion(
    message: JsonObject, *, finish_reason: str | None, usage: JsonObject | None, rest: JsonObject
) -> JsonObject:
    """A chat completion of one choice; `rest` stands first: the fields of the answer's own dialect that chat lacks."""
    if message.get("tool_calls") and finish_reason in (None, "stop"):
        finish_reason = "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish_reason or "stop"}
    body = {**rest, "object": "chat.completion", "choices": [choice]}
    return body if usage is None else {**body, "usage": usage}


def usage(counted: Any, *, asked: Iterable[str], answered: Iterable[str]) -> JsonObject | None:
    """Counted tokens as chat states them: the sums of the named fields, beside the fields as they came."""
    if not isinstance(counted, dict):
        return None
    sums = [
        sum(known) if (known := [n for name in names if (n := as_count(counted.get(name))) is not None]) else None
        for names in (tuple(asked), tuple(answered))
    ]
    if sums[0] is None:
        return {**counted}
    said = sums[1] or 0
    return {**counted, "prompt_tokens": sums[0], "completion_tokens": said, "total_tokens": sums[0] + said}
