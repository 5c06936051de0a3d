"""The OpenAI chat dialect: read-only views of a request or completion, and building a completion.

Views never change the body they read. Nothing here fills in what a client did not send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from insource.core.answers import find_json
from insource.core.hashing import canonical_json, content_address
from insource.core.values import JsonObject


def content_text(content: Any) -> str:
    """The text of a message's `content`: a string, or the text parts of a list (images and files give nothing)."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts: list[Any] = content  # pyright: ignore[reportUnknownVariableType] - JSON from outside
        return "\n".join(
            str(part.get("text") or part.get("input_text") or "") for part in parts if isinstance(part, dict)
        )
    return ""


def messages(request: JsonObject) -> list[JsonObject]:
    """The messages that are objects; [] when the body has none."""
    found = request.get("messages")
    return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []


def user_text(request: JsonObject) -> str:
    """The last user message: what is asked now."""
    for message in reversed(messages(request)):
        if message.get("role") == "user":
            return content_text(message.get("content"))
    return ""


def conversation_text(request: JsonObject) -> str:
    """All messages but the system's, in order: the input as a whole."""
    found = [m for m in messages(request) if m.get("role") not in ("system", "developer")]
    return "\n".join(text for m in found if (text := content_text(m.get("content"))))


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys included: for whoever must not overlook anything (privacy)."""
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def answer_text(completion: JsonObject | None) -> str | None:
    """The text of the first choice; None where there is none (tool calls only, or a failed answer)."""
    message = answer_message(completion)
    if message is None:
        return None
    content = message.get("content")
    return None if content is None else content_text(content)


def answer_message(completion: JsonObject | None) -> JsonObject | None:
    """The message of the first choice."""
    choices = (completion or {}).get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    message = choices[0].get("message")
    return message if isinstance(message, dict) else None


def answer_or_calls(completion: JsonObject | None) -> str | None:
    """What is compared with a reference: the text, or the tool calls as canonical JSON `[{"name", "arguments"}]`."""
    calls = (answer_message(completion) or {}).get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return answer_text(completion)
    said: list[JsonObject] = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        parsed = find_json(arguments) if isinstance(arguments, str) else arguments
        said.append({"name": function.get("name"), "arguments": arguments if parsed is None else parsed})
    return canonical_json(said).decode()


def call_completion(calls: Sequence[tuple[str, JsonObject]]) -> JsonObject:
    """A completion that calls these tools: (name, arguments). Whoever sends it gives it its id, time and model."""
    said = [
        {
            "id": f"call_{content_address([at, name, arguments])[-16:]}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for at, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": said}
    return {"choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}]}


def tool_names(request: JsonObject) -> list[str]:
    """Of the functions that a request offers."""
    tools = request.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return [name for name in names if isinstance(name, str)]


_NO_COUNT = 10**12
"""Tokens that no call has: what states as many counts something else."""


def usage_tokens(completion: JsonObject | None) -> tuple[int, int] | None:
    """(prompt tokens with cached ones included, completion tokens), as the upstream counted them in its dialect.

    Anthropic counts tokens that its cache read or wrote apart from `input_tokens`; OpenAI counts them in.
    """
    usage = (completion or {}).get("usage")
    if not isinstance(usage, dict):
        return None
    if usage.get("prompt_tokens") is not None:
        prompt, said = as_count(usage["prompt_tokens"]), usage.get("completion_tokens")
    else:
        prompt, said = as_count(usage.get("input_tokens")), usage.get("output_tokens")
        cached = [as_count(usage.get(f"cache_{name}_input_tokens")) for name in ("read", "creation")]
        prompt = None if prompt is None else prompt + sum(n for n in cached if n is not None)
    answer = 0 if said is None and usage.get("total_tokens") == prompt else as_count(said)  # embeddings have none
    return None if prompt is None or answer is None else (prompt, answer)


def as_count(value: object) -> int | None:
    """A count of tokens as others state it; None: it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _NO_COUNT else None


def completion(*, id: str, created: int, model: str, text: str, usage: JsonObject | None = None) -> JsonObject:
    """A chat completion with one finished answer. `created` is a Unix time in seconds."""
    body: JsonObject = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": "stop"}
        ],
    }
    if usage is not None:
        body["usage"] = usage
    return body
