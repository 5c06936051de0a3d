"""Text completions (OpenAI's, vLLM's, Anthropic's first API) as OpenAI chat: the prompt becomes the user's message."""

from __future__ import annotations

from typing import Any

from insource.core.values import JsonObject


def asks(body: JsonObject) -> bool:
    return "prompt" in body and not isinstance(body.get("messages"), list)


def answers(body: JsonObject) -> bool:
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        return isinstance(choices[0], dict) and isinstance(choices[0].get("text"), str)
    return isinstance(body.get("completion"), str) and "stop_reason" in body


def request(body: JsonObject) -> JsonObject:
    """Of several prompts at once nothing is made: they are several calls in one, and stay as they are."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        return body
    rest = {key: value for key, value in body.items() if key != "prompt"}
    return {**rest, "messages": [{"role": "user", "content": prompt}]}


def response(body: JsonObject) -> JsonObject:
    listed = body.get("choices")
    if not isinstance(listed, list):
        listed = [{"text": body.get("completion"), "finish_reason": body.get("stop_reason")}]
    rest = {key: value for key, value in body.items() if key not in ("choices", "completion", "object")}
    return {**rest, "object": "chat.completion", "choices": [_choice(choice) for choice in listed]}


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    message = {"role": "assistant", "content": choice.get("text")}
    return {**{key: value for key, value in choice.items() if key != "text"}, "message": message}
