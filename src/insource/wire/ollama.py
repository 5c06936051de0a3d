"""Ollama's /api/chat and /api/generate as OpenAI chat: the request's body and the answer's. Other fields stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insource.core.values import JsonObject
from insource.wire import parts

_OPTIONS: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "num_predict": "max_tokens",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_OWN = ("options", "keep_alive")
_NANOSECONDS = 1e9


def asks(body: JsonObject) -> bool:
    """Chat with Ollama's settings, or with pictures beside the text; or a prompt with them."""
    messages = body.get("messages")
    if isinstance(messages, list):
        beside = any(isinstance(m, dict) and isinstance(m.get("images"), list) for m in messages)
        return beside or any(key in body for key in _OWN)
    return isinstance(body.get("prompt"), str) and any(key in body for key in (*_OWN, "system", "raw", "template"))


def answers(body: JsonObject) -> bool:
    said = isinstance(body.get("message"), dict) or isinstance(body.get("response"), str)
    return said and ("done" in body or "eval_count" in body or "total_duration" in body)


def request(body: JsonObject) -> JsonObject:
    known = ("options", "messages", "prompt", "system", "images", "format")
    chat = {key: value for key, value in body.items() if key not in known}
    messages: list[JsonObject] = []
    if isinstance(body.get("system"), str) and body["system"]:
        messages.append({"role": "system", "content": body["system"]})
    listed = body.get("messages")
    if not isinstance(listed, list):
        listed = [{"role": "user", "content": body.get("prompt"), "images": body.get("images")}]
    messages += [_message(message) for message in listed if isinstance(message, dict)]
    chat["messages"] = messages
    form = body.get("format")
    if isinstance(form, dict):
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": form}}
    elif form:
        chat["response_format"] = {"type": "json_object"} if form == "json" else form
    options = body.get("options")
    if isinstance(options, dict):
        chat |= {_OPTIONS[key]: value for key, value in options.items() if key in _OPTIONS}
        rest = {key: value for key, value in options.items() if key not in _OPTIONS}
        return {**chat, "options": rest} if rest else chat
    return chat if options is None else {**chat, "options": options}


def _message(message: JsonObject) -> JsonObject:
    images, calls = message.get("images"), message.get("tool_calls")
    chat = {key: value for key, value in message.items() if key != "images"}
    if isinstance(calls, list):
        chat["tool_calls"] = [parts.tool_call(call) if isinstance(call, dict) else call for call in calls]
    if isinstance(images, list) and images:
        text: list[Any] = [{"type": "text", "text": message["content"]}] if message.get("content") else []
        pictures = [{"type": "image_url", "image_url": {"url": _url(image)}} for image in images]
        chat["content"] = [*text, *pictures]
    return chat


def _url(image: Any) -> str:
    text = str(image)
    return text if text.startswith(("http:", "https:", "data:")) else f"data:image/png;base64,{text}"


def response(body: JsonObject) -> JsonObject:
    message = body.get("message")
    if not isinstance(message, dict):
        message = {"role": "assistant", "content": body.get("response")}
        message |= {key: body[key] for key in ("thinking",) if key in body}
    known = ("message", "response", "done_reason")
    return parts.completion(
        _message({"role": "assistant", **message}),
        finish_reason="length" if body.get("done_reason") == "length" else None,
        usage=parts.usage(
            {key: body[key] for key in ("prompt_eval_count", "eval_count") if key in body} or None,
            asked=("prompt_eval_count",),
            answered=("eval_count",),
        ),
        rest={key: value for key, value in body.items() if key not in known},
    )


def seconds(body: JsonObject) -> float | None:
    """How long the answer took, as the server states it."""
    total = body.get("total_duration")
    return total / _NANOSECONDS if isinstance(total, int) and not isinstance(total, bool) and total > 0 else None


def joined(chunks: list[JsonObject]) -> JsonObject:
    """One answer out of a stream's: its texts joined, and the last word on everything else."""
    whole: JsonObject = {}
    message: JsonObject = {}
    for chunk in chunks:
        said = chunk.get("message")
        if isinstance(said, dict):
            for key, value in said.items():
                old = message.get(key)
                message[key] = old + value if key != "role" and _same_kind(old, value) else value
        text = f"{whole.get('response') or ''}{chunk.get('response') or ''}"
        whole |= chunk
        if "response" in chunk:
            whole["response"] = text
    return {**whole, "message": message} if message else whole


def _same_kind(old: Any, new: Any) -> bool:
    return (isinstance(old, str) and isinstance(new, str)) or (isinstance(old, list) and isinstance(new, list))
