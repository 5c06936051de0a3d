"""Samples of rarer variants: texts in an event of their own, observations within their traces, calls as turns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.logs.sample import (
    CALLS,
    ISO,
    MESSAGES,
    MODEL,
    RULES,
    SAID,
    Sample,
    Wanted,
    attributes,
    lines,
    pretty,
    span,
)

_ASKED = list(MESSAGES)
_CALL = {"name": "weather", "arguments": {"city": "Quito"}}
_ANSWER = {"role": "assistant", "content": SAID}


def _parts(*messages: dict[str, Any]) -> str:
    return json.dumps(
        [
            {"role": m["role"], "parts": [{"type": "text", "content": m["content"]}], "finish_reason": "stop"}
            for m in messages
        ]
    )


def _details() -> Sample:
    held = attributes(
        gen_ai__system_instructions=json.dumps([{"type": "text", "content": RULES}]),
        gen_ai__input__messages=_parts(MESSAGES[1]),
        gen_ai__output__messages=_parts(_ANSWER),
    )
    usage = {"gen_ai__usage__input_tokens": 30, "gen_ai__usage__output_tokens": 2}
    event = {"name": "gen_ai.client.inference.operation.details", "attributes": held}
    data = span(events=[event], gen_ai__operation__name="chat", gen_ai__request__model=MODEL, **usage)
    return Sample(name="otel details event", files=(data,), wanted=Wanted(latency_seconds=1.5))


def _within_traces() -> Sample:
    observation = {
        "id": "o1",
        "type": "GENERATION",
        "startTime": ISO,
        "model": MODEL,
        "input": {"messages": _ASKED},
        "output": _ANSWER,
        "usageDetails": {"input": 30, "output": 2},
        "costDetails": {"total": 0.00012},
        "latency": 1.5,
    }
    trace = {"id": "t1", "timestamp": ISO, "input": _ASKED, "output": SAID, "observations": [observation], "scores": []}
    wanted = Wanted(cost_usd=0.00012, latency_seconds=1.5, format="langfuse")
    return Sample(name="langfuse observations within traces", files=(lines(trace),), wanted=wanted)


def _api_management(*, capital: bool) -> Sample:
    named = {
        "deploymentName": MODEL,
        "promptTokens": 30,
        "completionTokens": 2,
        "requestMessages": json.dumps(_ASKED),
        "responseMessages": json.dumps([_ANSWER]),
    }
    held = {key[0].upper() + key[1:]: value for key, value in named.items()} if capital else named
    operation = "Microsoft.ApiManagement/GatewayLlmLogs"
    record = {"time": ISO, "operationName": operation, "correlationId": "z1", "properties": held}
    return Sample(name=f"api management, {capital=}", files=(lines(record),), wanted=Wanted(format="azure"))


def _called(*, listed: bool) -> Sample:
    call: Any = [_CALL] if listed else _CALL
    turns = [{"from": "human", "value": MESSAGES[1]["content"]}, {"from": "function_call", "value": json.dumps(call)}]
    record = {"system": RULES, "conversations": turns}
    wanted = replace(Wanted(), answer=CALLS, created=None, tokens=None, model=None)
    return Sample(name=f"sharegpt call, {listed=}", files=(pretty([record]),), wanted=wanted)


SAMPLES = (
    _details(),
    _within_traces(),
    _api_management(capital=False),
    _api_management(capital=True),
    _called(listed=False),
    _called(listed=True),
)
