"""Samples of spans, in the conventions of OpenTelemetry and of others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.logs.sample import ASKED, ISO, MESSAGES, MODEL, RULES, SAID, Sample, Wanted, lines, pretty, span


def _telemetry_samples() -> tuple[Sample, ...]:
    asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": ASKED}]}])
    system = json.dumps([{"type": "text", "content": RULES}])
    usage: dict[str, Any] = {"gen_ai__request__model": MODEL, "gen_ai__usage__input_tokens": 30}
    usage["gen_ai__usage__output_tokens"] = 2
    wanted = Wanted(latency_seconds=1.5)
    call = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Quito"}}
    events = [
        {"name": "gen_ai.system.message", "attributes": [{"key": "content", "value": {"stringValue": RULES}}]},
        {"name": "gen_ai.user.message", "attributes": [{"key": "content", "value": {"stringValue": ASKED}}]},
        {
            "name": "gen_ai.choice",
            "attributes": [{"key": "message", "value": {"stringValue": json.dumps({"content": SAID})}}],
        },
    ]
    numbered: dict[str, Any] = {
        "gen_ai__prompt__0__role": "system",
        "gen_ai__prompt__0__content": RULES,
        "gen_ai__prompt__1__role": "user",
        "gen_ai__prompt__1__content": ASKED,
        "gen_ai__completion__0__role": "assistant",
        "gen_ai__completion__0__content": SAID,
        "llm__request__type": "chat",
    }
    inference: dict[str, Any] = {"openinference__span__kind": "LLM", "llm__model_name": MODEL}
    inference |= {"llm__token_count__prompt": 30, "llm__token_count__completion": 2}
    for at, message in enumerate(MESSAGES):
        inference |= {f"llm__input_messages__{at}__message__{key}": message[key] for key in ("role", "content")}
    inference["llm__output_messages__0__message__role"] = "assistant"
    tool = "llm__output_messages__0__message__tool_calls__0__tool_call__function__"
    printed = {
        "name": "ai.generateText.doGenerate",
        "context": {"trace_id": "0x1", "span_id": "0x2"},
        "start_time": ISO,
        "end_time": ISO,
        "attributes": {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": json.dumps(MESSAGES),
            "ai.response.text": SAID,
            "ai.model.id": MODEL,
            "ai.usage.inputTokens": 30,
            "ai.usage.outputTokens": 2,
        },
    }
    phoenix = {
        "name": "llm",
        "context": {"trace_id": "1", "span_id": "2"},
        "start_time": ISO,
        "end_time": ISO,
        "attributes": {
            "openinference": {"span": {"kind": "LLM"}},
            "llm": {
                "model_name": MODEL,
                "input_messages": [{"message": {"role": m["role"], "content": m["content"]}} for m in MESSAGES],
                "output_messages": [{"message": {"role": "assistant", "content": SAID}}],
                "token_count": {"prompt": 30, "completion": 2},
            },
        },
    }
    agent = {"gen_ai__operation__name": "invoke_agent", "gen_ai__input__messages": asked}
    called = json.dumps([{"role": "assistant", "parts": [call], "finish_reason": "tool_call"}])
    return (
        Sample(
            name="otel tool call",
            files=(
                span(**agent)
                + span(
                    gen_ai__operation__name="chat",
                    gen_ai__system_instructions=system,
                    gen_ai__input__messages=asked,
                    gen_ai__output__messages=called,
                    **usage,
                ),
            ),
            wanted=replace(wanted, answer='[{"arguments":{"city":"Quito"},"name":"weather"}]'),
        ),
        Sample(
            name="otel events", files=(span(gen_ai__operation__name="chat", events=events, **usage),), wanted=wanted
        ),
        Sample(name="openllmetry", files=(span(**numbered, **usage),), wanted=wanted),
        Sample(
            name="openinference",
            files=(span(**inference, **{f"{tool}name": "weather", f"{tool}arguments": '{"city": "Quito"}'}),),
            wanted=replace(wanted, answer='[{"arguments":{"city":"Quito"},"name":"weather"}]'),
        ),
        Sample(
            name="ai sdk",
            files=(pretty(printed) + b"\n" + pretty(printed | {"context": {"span_id": "3"}}),),
            wanted=replace(wanted, latency_seconds=0.0, count=2),
        ),
        Sample(name="phoenix", files=(lines(phoenix),), wanted=replace(wanted, latency_seconds=0.0)),
        Sample(
            name="otel without texts", files=(span(gen_ai__operation__name="chat", **usage),), wanted="CAPTURE_MESSAGE"
        ),
    )


SAMPLES = (*_telemetry_samples(),)
