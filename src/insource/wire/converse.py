"""Amazon Bedrock's Converse as OpenAI chat: the request's body and the answer's. Fields that chat lacks stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insource.core.values import JsonObject
from insource.wire import parts

_SETTINGS: Mapping[str, str] = {
    "maxTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "stopSequences": "stop",
}
_STOPS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_TRANSLATED = frozenset({"modelId", "messages", "system", "inferenceConfig", "toolConfig"})


def asks(body: JsonObject) -> bool:
    if not isinstance(body.get("messages"), list):
        return False
    return any(key in body for key in ("inferenceConfig", "toolConfig", "modelId"))


def answers(body: JsonObject) -> bool:
    output = body.get("output")
    return isinstance(output, dict) and isinstance(output.get("message"), dict)


def request(body: JsonObject) -> JsonObject:
    chat = {key: value for key, value in body.items() if key not in _TRANSLATED}
    if "modelId" in body:
        chat["model"] = body["modelId"]
    messages = parts.turn("system", body["system"]) if body.get("system") else []
    for message in body["messages"]:
        if isinstance(message, dict):
            messages += parts.turn(str(message.get("role") or "user"), message.get("content"))
    chat["messages"] = messages
    settings = body.get("inferenceConfig")
    if isinstance(settings, dict):
        chat |= {_SETTINGS.get(key, key): value for key, value in settings.items()}
    tools: Any = body.get("toolConfig")
    if isinstance(tools, dict) and isinstance(tools.get("tools"), list):
        chat["tools"] = [parts.tool(t.get("toolSpec", t) if isinstance(t, dict) else t) for t in tools["tools"]]
        rest = {key: value for key, value in tools.items() if key != "tools"}
        chat |= {"toolConfig": rest} if rest else {}
    return chat


def response(body: JsonObject) -> JsonObject:
    reason = body.get("stopReason")
    return parts.completion(
        parts.answer(body["output"]["message"].get("content")),
        finish_reason=None if reason is None else _STOPS.get(str(reason), str(reason)),
        usage=parts.usage(
            body.get("usage"),
            asked=("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
            answered=("outputTokens",),
        ),
        rest={key: value for key, value in body.items() if key not in ("output", "usage")},
    )
