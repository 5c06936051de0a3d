"""Results of evaluations: promptfoo's and inspect's. What the test expects becomes the exchange's label."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import as_message, as_messages, as_request, as_response, completion
from insource.traffic.formats.fields import count, get, items, moment, number, obj, text
from insource.traffic.formats.recorded import Lacking, Recorded
from insource.wire import parts

_EQUALS = frozenset({"equals", "iequals", "is-equal"})
_SLOT = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_ATTACHMENT = re.compile(r"attachment://([0-9a-f]+)")
_MILLISECONDS = 1000


class PromptfooReader:
    name = "promptfoo"
    rank = 0
    keys = frozenset(
        {"prompt", "vars", "provider", "response", "success", "score", "testCase", "latencyMs", "promptIdx"}
    )

    def recognises(self, record: JsonObject) -> bool:
        known = sum(name in record for name in ("vars", "provider", "success", "testCase", "latencyMs", "promptIdx"))
        return "prompt" in record and "response" in record and known >= 3

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        provider = text(get(record, "provider.id", "provider")) or ""
        milliseconds = number(record.get("latencyMs"))
        failure = get(record, "response.error") or (None if get(record, "response.output") else record.get("error"))
        model = provider.rpartition(":")[2] or None
        yield Recorded(
            request=as_request(get(record, "prompt.raw", "prompt")),
            response=None if failure else as_response(get(record, "response.output"), model=model),
            model=model,
            created=moment(get(record, "timestamp", "createdAt")) or moment(get(outer, "timestamp", "createdAt")),
            latency_seconds=None if milliseconds is None else milliseconds / _MILLISECONDS,
            cost_usd=number(get(record, "cost", "response.cost")),
            input_tokens=count(get(record, "response.tokenUsage.prompt", "tokenUsage.prompt")),
            output_tokens=count(get(record, "response.tokenUsage.completion", "tokenUsage.completion")),
            status=500 if failure else 200,
            reference=_expected(record),
            metadata={"error": failure, "vars": obj(record.get("vars")), "evaluation": text(outer.get("evalId"))},
        )


def _expected(record: JsonObject) -> str | None:
    """The value of the one assertion that the answer must equal."""
    checks = [check for check in items(get(record, "testCase.assert")) if isinstance(check, dict)]
    equal = [check.get("value") for check in checks if check.get("type") in _EQUALS]
    if len(equal) != 1:
        return None
    given = obj(record.get("vars")) or {}
    stated = text(equal[0])
    return None if stated is None else _SLOT.sub(lambda slot: str(get(given, slot[1]) or slot[0]), stated)


class InspectReader:
    name = "inspect"
    rank = 0
    keys = frozenset({"id", "epoch", "input", "target", "messages", "output", "scores", "events", "model_usage"})

    def recognises(self, record: JsonObject) -> bool:
        return "epoch" in record and {"input", "target", "output"} <= record.keys()

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        held = obj(record.get("attachments")) or {}
        output = obj(record.get("output")) or {}
        usage = obj(output.get("usage")) or {}
        asked_tokens = [count(usage.get(f"input_tokens{part}")) for part in ("", "_cache_read", "_cache_write")]
        failure = get(record, "error.message", "output.error")
        targets = record["target"] if isinstance(record["target"], list) else [record["target"]]
        first = obj(get(record, "events.0")) or {}
        yield Recorded(
            request=_attached(_inspect_request(record), held),
            response=_attached(_inspect_answer(output), held),
            model=text(output.get("model")) or text(get(outer, "eval.model")),
            id=text(record.get("uuid")),
            created=moment(
                get(record, "started_at") or get(first, "timestamp") or get(outer, "eval.created", "created")
            ),
            latency_seconds=number(output.get("time")),
            cost_usd=number(usage.get("total_cost")),
            input_tokens=None if asked_tokens[0] is None else sum(n or 0 for n in asked_tokens),
            output_tokens=count(usage.get("output_tokens")),
            status=500 if failure and not output.get("choices") else 200,
            reference=text(targets[0]) if targets else None,
            reference_correct=_score(obj(record.get("scores")) or {}),
            metadata={
                "sample": record.get("id"),
                "epoch": record.get("epoch"),
                "task": get(outer, "eval.task"),
                "error": failure,
                "targets": targets if len(targets) > 1 else None,
                **(obj(record.get("metadata")) or {}),
            },
        )


def _inspect_request(record: JsonObject) -> JsonObject | None:
    """The conversation up to the answer; without one the sample's input."""
    messages = as_messages(items(record.get("messages"))) or []
    if messages and messages[-1]["role"] == "assistant":
        return {"messages": messages[:-1]}
    return {"messages": messages} if messages else as_request(record.get("input"))


def _inspect_answer(output: JsonObject) -> JsonObject | None:
    message = as_message(get(output, "choices.0.message"))
    if message is None:
        return as_response(output.get("completion"))
    said = {**message, **parts.answer(message["content"])}
    return completion({**said, **({"tool_calls": message["tool_calls"]} if "tool_calls" in message else {})})


def _score(scores: JsonObject) -> bool | None:
    """Correct or incorrect, where one scorer says so."""
    values = [get(score, "value") for score in scores.values() if isinstance(score, dict)]
    return {"C": True, "I": False}.get(str(values[0])) if len(values) == 1 else None


def _attached(value: Any, held: JsonObject) -> Any:
    """Long texts stand beside a sample's messages, which refer to them."""
    if not held:
        return value
    if isinstance(value, str):
        return _ATTACHMENT.sub(lambda ref: str(held.get(ref[1], ref[0])), value)
    if isinstance(value, dict):
        return {key: _attached(item, held) for key, item in value.items()}
    return [_attached(item, held) for item in value] if isinstance(value, list) else value
