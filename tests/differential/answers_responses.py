"""The mock's answers of the Responses API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.differential.answers import CREATED, TEXT, Answer, event_stream, json_answer
from tests.differential.answers_chat import KNOWN, arguments_for, words
from tests.differential.requests import Request

_USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 16,
}


def create(request: Request) -> Answer:
    asked = request.json
    if not asked.get("stream"):
        return json_answer(_response(asked, status="completed", output=[_item(asked)], usage=_USAGE))
    return event_stream(_event(at, kind, body) for at, (kind, body) in enumerate(_events(asked)))


def retrieve(_: Request, id: str) -> Answer:
    asked: dict[str, Any] = {"model": "gpt-4o", "input": "hello"}
    return json_answer({**_response(asked, status="completed", output=[_item(asked)], usage=_USAGE), "id": id})


def input_items(_: Request, id: str) -> Answer:
    content = [{"type": "input_text", "text": "hello"}]
    item = {"id": "msg_0", "type": "message", "role": "user", "status": "completed", "content": content}
    return json_answer({"object": "list", "data": [item], "first_id": "msg_0", "last_id": "msg_0", "has_more": False})


def _event(number: int, kind: str, body: dict[str, Any]) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": number, **body}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _response(asked: Mapping[str, Any], *, status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": None,
        "model": f"{asked.get('model')}-2024-08-06",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
        **more,
    }


def _tool(asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function to call; None: it has answered already, or there is none."""
    given = asked.get("input")
    answered = isinstance(given, list) and any(item.get("type") == "function_call_output" for item in given)
    return next((tool for tool in asked.get("tools") or [] if tool["type"] == "function" and not answered), None)


def _text(asked: Mapping[str, Any]) -> str:
    wanted = (asked.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        return arguments_for(wanted["schema"])
    return json.dumps(KNOWN) if wanted.get("type") == "json_object" else TEXT


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(asked: Mapping[str, Any], *, status: str = "completed") -> dict[str, Any]:
    tool, done = _tool(asked), status == "completed"
    if tool is not None:
        arguments = arguments_for(tool["parameters"]) if done else ""
        call = {"call_id": "call_1", "name": tool["name"], "arguments": arguments}
        return {"id": "fc_1", "type": "function_call", "status": status, **call}
    content = [_part(_text(asked))] if done else []
    return {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content}


def _events(asked: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    begun = _response(asked, status="in_progress")
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    yield "response.output_item.added", {"output_index": 0, "item": _item(asked, status="in_progress")}
    yield from _text_events(asked) if _tool(asked) is None else _call_events(asked)
    yield "response.output_item.done", {"output_index": 0, "item": _item(asked)}
    yield "response.completed", {"response": _response(asked, status="completed", output=[_item(asked)], usage=_USAGE)}


def _text_events(asked: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    text = _text(asked)
    yield "response.content_part.added", {**where, "part": _part("")}
    for word in words() if text == TEXT else [text[:5], text[5:]]:
        yield "response.output_text.delta", {**where, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**where, "text": text, "logprobs": []}
    yield "response.content_part.done", {**where, "part": _part(text)}


def _call_events(asked: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    call, where = _item(asked), {"item_id": "fc_1", "output_index": 0}
    for part in (call["arguments"][:4], call["arguments"][4:]):
        yield "response.function_call_arguments.delta", {**where, "delta": part}
    done = {"name": call["name"], "arguments": call["arguments"]}
    yield "response.function_call_arguments.done", {**where, **done}
