"""Gemini's generateContent as OpenAI chat: the request's body and the answer's. Fields that chat lacks stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insource.core.values import JsonObject
from insource.wire import parts

_ROLES: Mapping[str, str] = {"model": "assistant", "function": "tool"}
_SETTINGS: Mapping[str, str] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "candidateCount": "n",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_STOPS: Mapping[str, str] = {"STOP": "stop", "MAX_TOKENS": "length"}
_TRANSLATED = frozenset(
    {"contents", "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config"}
)


def asks(body: JsonObject) -> bool:
    return "contents" in body


def answers(body: JsonObject) -> bool:
    return isinstance(body.get("candidates"), list) or "promptFeedback" in body


def request(body: JsonObject) -> JsonObject:
    chat = {key: value for key, value in body.items() if key not in _TRANSLATED}
    system = body.get("systemInstruction") or body.get("system_instruction")
    messages = _turn(system, role="system") if system else []
    contents = body.get("contents")
    for content in contents if isinstance(contents, list) else [contents]:
        messages += _turn(content, role="user")
    chat["messages"] = messages
    if isinstance(body.get("tools"), list):
        chat["tools"] = [tool for declared in body["tools"] for tool in _tools(declared)]
    return chat | _settings(body.get("generationConfig") or body.get("generation_config"))


def _turn(content: Any, *, role: str) -> list[JsonObject]:
    if not isinstance(content, dict):
        return [{"role": role, "content": content}] if content else []
    said = str(content.get("role") or role)
    within = content.get("parts")
    role = "system" if role == "system" else _ROLES.get(said, said)
    return parts.turn(role, within if isinstance(within, list) else [{"text": ""} if within is None else within])


def _tools(declared: Any) -> list[Any]:
    functions = declared.get("functionDeclarations") or declared.get("function_declarations") if declared else None
    if not isinstance(functions, list):
        return [declared]
    others = {k: v for k, v in declared.items() if k not in ("functionDeclarations", "function_declarations")}
    return [*[parts.tool(function) for function in functions], *([others] if others else [])]


def _settings(settings: Any) -> JsonObject:
    if not isinstance(settings, dict):
        return {}
    chat = {_SETTINGS[key]: value for key, value in settings.items() if key in _SETTINGS}
    schema = settings.get("responseSchema") or settings.get("responseJsonSchema")
    if schema is not None:
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    elif settings.get("responseMimeType") == "application/json":
        chat["response_format"] = {"type": "json_object"}
    rest = {key: value for key, value in settings.items() if key not in _SETTINGS and value is not schema}
    return {**chat, "generationConfig": rest} if rest else chat


def response(body: JsonObject) -> JsonObject:
    candidates = body.get("candidates")
    first: Any = candidates[0] if isinstance(candidates, list) and candidates else {}
    content = first.get("content") if isinstance(first, dict) else None
    within = content.get("parts") if isinstance(content, dict) else None
    reason = first.get("finishReason") if isinstance(first, dict) else None
    rest = {key: value for key, value in body.items() if key not in ("candidates", "usageMetadata")}
    if isinstance(body.get("responseId"), str):
        rest["id"] = body["responseId"]
    if isinstance(body.get("modelVersion"), str):
        rest["model"] = body["modelVersion"]
    if isinstance(first, dict):
        rest |= {k: v for k, v in first.items() if k not in ("content", "finishReason", "index")}
    if isinstance(candidates, list) and len(candidates) > 1:
        rest["candidates"] = candidates[1:]
    return parts.completion(
        parts.answer(within if isinstance(within, list) else None),
        finish_reason=None if reason is None else _STOPS.get(str(reason), "content_filter"),
        usage=parts.usage(
            body.get("usageMetadata"),
            asked=("promptTokenCount", "toolUsePromptTokenCount"),
            answered=("candidatesTokenCount", "thoughtsTokenCount"),
        ),
        rest=rest,
    )


def joined(chunks: list[JsonObject]) -> JsonObject:
    """One answer out of a stream's: their parts in order, and the last word on everything else."""
    whole: JsonObject = {}
    said: list[Any] = []
    for chunk in chunks:
        whole |= chunk
        candidates = chunk.get("candidates")
        first: Any = candidates[0] if isinstance(candidates, list) and candidates else None
        content = first.get("content") if isinstance(first, dict) else None
        within = content.get("parts") if isinstance(content, dict) else None
        said += within if isinstance(within, list) else []
    last: Any = (whole.get("candidates") or [{}])[0]
    return {**whole, "candidates": [{**(last if isinstance(last, dict) else {}), "content": {"parts": said}}]}
