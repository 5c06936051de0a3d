"""The mock's answers of chat and of the older completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.differential.answers import CREATED, DONE, TEXT, Answer, data_event, event_stream, json_answer
from tests.differential.requests import Request

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 7,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
KNOWN = {"city": "Paris", "country": "France"}


def arguments_for(schema: Mapping[str, Any]) -> str:
    """JSON that fits a schema of the drivers: a city, perhaps with its country."""
    return json.dumps({name: KNOWN[name] for name in schema.get("properties", {}) if name in KNOWN})


def words() -> list[str]:
    first, *others = TEXT.split(" ")
    return [first, *(" " + word for word in others)]


def chat(request: Request) -> Answer:
    asked = request.json
    if asked.get("stream"):
        return event_stream([*map(data_event, _chunks(asked)), DONE])
    choices = [
        {"index": at, "message": _message(asked), "finish_reason": _finish(asked), "logprobs": _logprobs(asked)}
        for at in range(asked.get("n") or 1)
    ]
    return json_answer(_completion(asked, "chat.completion", choices=choices, usage=USAGE))


def _completion(asked: Mapping[str, Any], kind: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": CREATED,
        "model": f"{asked.get('model')}-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        **more,
    }


def _tool(asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function to call; None: the tool has answered already, or there is none."""
    messages = asked.get("messages") or [{}]
    tools = asked.get("tools") or []
    return tools[0]["function"] if tools and messages[-1].get("role") != "tool" else None


def _text(asked: Mapping[str, Any]) -> str:
    wanted = asked.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return arguments_for(wanted["json_schema"]["schema"])
    return json.dumps(KNOWN) if wanted.get("type") == "json_object" else TEXT


def _finish(asked: Mapping[str, Any]) -> str:
    return "tool_calls" if _tool(asked) else "stop"


def _message(asked: Mapping[str, Any]) -> dict[str, Any]:
    tool = _tool(asked)
    if tool is None:
        return {"role": "assistant", "content": _text(asked), "refusal": None, "annotations": []}
    function = {"name": tool["name"], "arguments": arguments_for(tool["parameters"])}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


def _logprobs(asked: Mapping[str, Any]) -> dict[str, Any] | None:
    if not asked.get("logprobs"):
        return None
    token = {"token": "Paris", "logprob": -0.0123, "bytes": list(b"Paris")}
    return {"content": [{**token, "top_logprobs": [token]}], "refusal": None}


def _chunks(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    def chunk(delta: dict[str, Any], *, index: int = 0, **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return _completion(asked, "chat.completion.chunk", choices=[choice])

    for index in range(asked.get("n") or 1):
        yield chunk({"role": "assistant", "content": None if _tool(asked) else "", "refusal": None}, index=index)
        for delta in _deltas(asked):
            yield chunk(delta, index=index, logprobs=_logprobs(asked))
        yield chunk({}, index=index, finish_reason=_finish(asked))
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _completion(asked, "chat.completion.chunk", choices=[], usage=USAGE)


def _deltas(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    tool = _tool(asked)
    if tool is None:
        text = _text(asked)
        yield from ({"content": part} for part in (words() if text == TEXT else [text[:5], text[5:]]))
        return
    function = {"name": tool["name"], "arguments": ""}
    yield {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
    arguments = arguments_for(tool["parameters"])
    for part in (arguments[:4], arguments[4:]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}


def completions(request: Request) -> Answer:
    asked = request.json
    if not asked.get("stream"):
        choices = [
            {"index": at, "text": TEXT, "logprobs": None, "finish_reason": "stop"} for at in range(asked.get("n") or 1)
        ]
        return json_answer(_completion(asked, "text_completion", choices=choices, usage=USAGE))
    chunks = [
        _completion(asked, "text_completion", choices=[{"index": 0, "text": word, "logprobs": None, **end}])
        for word, end in [*((word, {"finish_reason": None}) for word in words()), ("", {"finish_reason": "stop"})]
    ]
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append(_completion(asked, "text_completion", choices=[], usage=USAGE))
    return event_stream([*map(data_event, chunks), DONE])
