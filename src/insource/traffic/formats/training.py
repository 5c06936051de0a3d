"""Files that models are fitted or judged with: the right answer in them becomes an exchange's label, not an answer that
a hosted model gave.

* chat and tools: `{"messages": […, the assistant's]}`; Gemini's `contents`; the old `{"prompt", "completion"}`;
* preference: `{"input": {"messages"}, "preferred_output", "non_preferred_output"}`, or `{"prompt", "chosen",
  "rejected"}`;
* reinforcement: `{"messages", "reference_answer"}`;
* thumbs: `{"prompt", "completion", "label": true or false}`: an answer, and whether it was right;
* instructions: `{"instruction", "input", "output"}`.

A line of messages that also names a model, a time or a cost is a log: its last message is what that model answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import as_messages, as_request, completion
from insource.traffic.formats.fields import get, items, text
from insource.traffic.formats.layout import read
from insource.traffic.formats.recorded import Lacking, Recorded, label
from insource.traffic.formats.tools import TEXTS
from insource.wire import dialects, json_text

_LOGGED = frozenset({*TEXTS.layout.created, *TEXTS.layout.cost_usd, *TEXTS.layout.latency_ms, "model", "usage"})
_ANSWERS = frozenset({*TEXTS.layout.response, "choices", "request", "custom_id", "body"})
_REFERENCES = (*TEXTS.layout.label, "answer", "target")
_ORIGIN = "fine-tuning example"


class TrainingReader:
    name = "fine-tuning"
    rank = 1
    keys = frozenset({"messages", "tools", "prompt", "completion", "preferred_output", "reference_answer", "chosen"})

    def recognises(self, record: JsonObject) -> bool:
        if "preferred_output" in record or {"chosen", "rejected"} <= record.keys():
            return True
        if "completion" in record and isinstance(record.get("prompt"), str):
            return _LOGGED.isdisjoint(record) and isinstance(record["completion"], str)
        if {"instruction", "output"} <= record.keys():
            return _LOGGED.isdisjoint(record)
        turns = isinstance(record.get("messages"), list) or isinstance(record.get("contents"), list)
        return turns and _ANSWERS.isdisjoint(record)

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        if "preferred_output" in record:
            yield _preference(record, record.get("input"), record["preferred_output"], worse="non_preferred_output")
        elif "chosen" in record:
            yield _preference(record, record.get("prompt"), record["chosen"], worse="rejected")
        elif "instruction" in record:
            yield _instruction(record)
        elif "completion" in record and isinstance(record.get("label"), bool):
            yield replace(
                read(TEXTS.layout, {"prompt": record["prompt"], "completion": record["completion"]}),
                reference_correct=record["label"],
            )
        elif "completion" in record:
            request = as_request(record.get("prompt"))
            yield _labelled(record, request, str(record["completion"]).strip(), known=("prompt", "completion"))
        else:
            yield _example(record)


def _labelled(record: JsonObject, request: JsonObject | None, right: str | None, *, known: tuple[str, ...]) -> Recorded:
    """The fields beside the text and its label stay, in the metadata."""
    call = read(TEXTS.layout, {key: value for key, value in record.items() if key not in known}, keep_rest=True)
    return replace(
        call,
        request=request,
        response=None,
        reference=right or call.reference,
        metadata={"origin": _ORIGIN, **call.metadata},
        no_answer="the example ends without an answer",
    )


def _preference(record: JsonObject, asked: Any, right: Any, *, worse: str) -> Recorded:
    turns = items(right)
    answer = turns[-1] if turns else right
    request = as_request(asked)
    messages = items(get(request, "messages"))
    if turns and len(turns) > len(messages):  # whole conversations, the right one and the other
        request, answer = {"messages": turns[:-1]}, turns[-1]
    stated = label(answer) if isinstance(answer, dict) else text(answer)
    known = ("input", "prompt", "preferred_output", "chosen", worse)
    call = _labelled(record, request, stated, known=known)
    return replace(call, metadata={**call.metadata, worse: record.get(worse)})


def _instruction(record: JsonObject) -> Recorded:
    asked = "\n\n".join(part for part in (text(record["instruction"]), text(record.get("input"))) if part)
    output = record["output"]
    stated = output if isinstance(output, str) else json_text.encode(output).decode()
    known = ("instruction", "input", "output", "system")
    call = _labelled(record, as_request(asked), stated.strip(), known=known)
    system = text(record.get("system"))
    if system is None or call.request is None:
        return call
    return replace(call, request={"messages": [{"role": "system", "content": system}, *call.request["messages"]]})


def _example(record: JsonObject) -> Recorded:
    """A conversation whose last message is the answer. Earlier ones of the assistant's (of weight 0) are context."""
    body = dialects.request_to_chat(record)
    messages = as_messages(items(body.get("messages"))) or []
    aside = {*_REFERENCES, *_LOGGED, "id", "metadata", "session_id", "conversation_id", "tags"} - {"model"}
    request = {key: value for key, value in body.items() if key not in aside}
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        stated = next((value for name in _REFERENCES if (value := _stated(record.get(name))) is not None), None)
        known = tuple(record.keys() - aside)
        return _labelled(record, {**request, "messages": messages}, stated, known=known)
    request["messages"] = messages[:-1]
    if _LOGGED.isdisjoint(record):
        return _labelled(record, request, label(last), known=tuple(record.keys() - aside))
    call = read(TEXTS.layout, {key: record[key] for key in record if key in aside})
    answer = completion({key: value for key, value in last.items() if key != "weight"})
    return replace(call, request=request, response=answer)


def _stated(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return text(value)
    return json_text.encode(value).decode()
