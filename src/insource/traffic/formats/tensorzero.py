"""TensorZero's inferences (tables ChatInference and JsonInference, and its API). Its model calls are a layout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import completion
from insource.traffic.formats.fields import get, items, moment, number, obj, structure, text
from insource.traffic.formats.recorded import Lacking, Recorded
from insource.wire import json_text, parts

_MILLISECONDS = 1000


class TensorZeroReader:
    name = "tensorzero"
    rank = 0
    keys = frozenset({"function_name", "variant_name", "episode_id", "inference_id", "input", "output", "tool_params"})

    def recognises(self, record: JsonObject) -> bool:
        return {"function_name", "variant_name", "input"} <= record.keys()

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        asked = obj(record.get("input")) or {}
        messages = parts.turn("system", _written(asked["system"])) if asked.get("system") else []
        for message in items(asked.get("messages")):
            if isinstance(message, dict):
                content = message.get("content")
                listed = [_block(block) for block in content] if isinstance(content, list) else _written(content)
                messages += parts.turn(str(message.get("role") or "user"), listed)
        milliseconds = number(record.get("processing_time_ms"))
        tools = items(get(record, "tool_params.tools_available", "tool_params.available_tools", "additional_tools"))
        settings = obj(get(record, "inference_params.chat_completion")) or {}
        yield Recorded(
            request={
                **{key: value for key, value in settings.items() if value is not None},
                "messages": messages,
                **({"tools": [parts.tool(tool) for tool in tools]} if tools else {}),
            },
            response=_answer(record.get("output")),
            model=text(record.get("variant_name")),
            id=text(get(record, "inference_id", "id")),
            created=moment(record.get("timestamp")),
            latency_seconds=None if milliseconds is None else milliseconds / _MILLISECONDS,
            metadata={
                "session_id": text(record.get("episode_id")),
                "task": text(record["function_name"]),
                "tags": obj(record.get("tags")),
            },
        )


def _written(value: Any) -> Any:
    """The arguments of a template, where the text itself is not stored."""
    return value if value is None or isinstance(value, str) else json_text.encode(value).decode()


def _block(block: Any) -> Any:
    if isinstance(block, dict) and block.get("type") in ("text", "template") and not isinstance(block.get("text"), str):
        held = get(block, "value", "arguments")
        return {"type": "text", "text": _written(held) or ""}
    return block


def _answer(output: Any) -> JsonObject | None:
    found = structure(output)
    if isinstance(found, dict):  # a JSON function's: what the model wrote, and what was parsed of it
        raw = found.get("raw") if isinstance(found.get("raw"), str) else _written(found.get("parsed"))
        return completion({"role": "assistant", "content": raw}) if raw else None
    return completion(parts.answer([_block(block) for block in found])) if found else None
