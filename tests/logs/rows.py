"""Samples of records as databases and data frames hand them out: what is missing is `{}`, names are flat, rows stand
beside their columns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.logs.sample import (
    ASKED,
    ISO,
    MESSAGES,
    MODEL,
    SAID,
    SPENT,
    Sample,
    Wanted,
    chat_answer,
    chat_body,
    csv,
    lines,
    pretty,
)

_SPEND: dict[str, Any] = {
    **SPENT,
    "messages": json.dumps(MESSAGES),
    "response": json.dumps(chat_answer()),
    "proxy_server_request": "{}",
}
_QUERIED: dict[str, Any] = {
    "TimeGenerated": ISO,
    "DeploymentName": MODEL,
    "RequestMessages": json.dumps(MESSAGES),
    "ResponseMessages": json.dumps([{"role": "assistant", "content": SAID}]),
    "PromptTokens": 30,
    "CompletionTokens": 2,
}
_FRAME: dict[str, Any] = {
    "context.span_id": "2",
    "start_time": ISO,
    "attributes.openinference.span.kind": "LLM",
    "attributes.llm.model_name": MODEL,
    "attributes.llm.input_messages": [{"message.role": m["role"], "message.content": m["content"]} for m in MESSAGES],
    "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": SAID}],
    "attributes.llm.token_count.prompt": 30,
    "attributes.llm.token_count.completion": 2,
}
_OBSERVED: dict[str, Any] = {
    "id": "o1",
    "traceId": "t1",
    "type": "GENERATION",
    "startTime": ISO,
    "model": MODEL,
    "input": json.dumps(MESSAGES),
    "output": SAID,
    "inputUsage": "30",
    "outputUsage": "2",
    "totalCost": "0.002",
}


_COUNTED = {"input_tokens": 30, "output_tokens": 2, "total_tokens": 32}
_STREAM = "".join(
    f"data: {json.dumps({'id': 'c', 'choices': [{'index': 0, 'delta': {'content': piece}, 'finish_reason': end}]})}\n\n"
    for piece, end in (("bro", None), ("ken", "stop"))
)
_DATA = {"message": {"role": "assistant", "content": SAID}}
_EVENTS = [
    *({"event.name": f"gen_ai.{m['role']}.message", **m} for m in MESSAGES),
    {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": SAID}},
]


def _logfire(**attributes: Any) -> dict[str, Any]:
    counted = {"gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 2}
    named = {"gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL}
    return {"trace_id": "t", "span_id": "s", "start_timestamp": ISO, "attributes": {**named, **counted, **attributes}}


def _bedrock(asked: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": ISO,
        "requestId": "r1",
        "operation": "InvokeModel",
        "modelId": MODEL,
        "input": {"inputBodyJson": asked, "inputTokenCount": 30},
        "output": {"outputBodyJson": answered, "outputTokenCount": 2},
    }


def _queried_page() -> bytes:
    columns = [{"name": name, "type": "string"} for name in _QUERIED]
    return pretty({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": [list(_QUERIED.values())]}]})


SAMPLES = (
    Sample(
        name="litellm row without a proxy's request",
        files=(lines(_SPEND),),
        wanted=Wanted(cost_usd=0.002, latency_seconds=0.0),
    ),
    Sample(
        name="litellm row without texts",
        files=(lines({**_SPEND, "messages": "{}", "response": "{}"}),),
        wanted="store_prompts_in_spend_logs",
    ),
    Sample(name="azure query", files=(_queried_page(),), wanted=Wanted()),
    Sample(name="phoenix data frame", files=(lines(_FRAME),), wanted=Wanted()),
    Sample(
        name="langfuse counts by direction",
        files=(csv(_OBSERVED.keys(), _OBSERVED.values()),),
        wanted=Wanted(cost_usd=0.002),
    ),
    Sample(
        name="req and resp",
        files=(lines({"ts": ISO, "latency_ms": 700, "req": chat_body(), "resp": chat_answer()}),),
        wanted=Wanted(latency_seconds=0.7),
    ),
    Sample(
        name="arguments of a call",
        files=(lines({"timestamp": ISO, "kwargs": chat_body(), "completion": chat_answer(), "cost": 0.002}),),
        wanted=Wanted(cost_usd=0.002),
    ),
    Sample(
        name="helicone, a stream in an object",
        files=(
            lines(
                {
                    "request_id": "r1",
                    "request_created_at": ISO,
                    "request_body": chat_body(stream=True),
                    "response_body": {"object": "chat.completion", "streamed_data": _STREAM},
                    "response_status": 200,
                    "prompt_tokens": 30,
                    "completion_tokens": 2,
                }
            ),
        ),
        wanted=Wanted(),
    ),
    Sample(
        name="langsmith with counts beside the answer",
        files=(
            lines(
                {
                    "id": "1",
                    "run_type": "llm",
                    "start_time": ISO,
                    "inputs": chat_body(),
                    "outputs": {**chat_answer(), "usage": None, "usage_metadata": _COUNTED},
                }
            ),
        ),
        wanted=Wanted(),
    ),
    Sample(name="logfire", files=(lines(_logfire(request_data=chat_body(), response_data=_DATA)),), wanted=Wanted()),
    Sample(name="logfire events", files=(lines(_logfire(events=_EVENTS)),), wanted=Wanted()),
    Sample(
        name="bedrock llama",
        files=(lines(_bedrock({"prompt": ASKED, "max_gen_len": 8}, {"generation": SAID, "stop_reason": "stop"})),),
        wanted=Wanted(rules=""),
    ),
    Sample(
        name="bedrock titan",
        files=(lines(_bedrock({"inputText": ASKED}, {"results": [{"outputText": SAID, "tokenCount": 2}]})),),
        wanted=Wanted(rules=""),
    ),
    Sample(
        name="an empty list is an answer",
        files=(lines({"prompt": ASKED, "response": "[]"}),),
        wanted=replace(Wanted(), rules="", answer="[]", created=None, tokens=None, model=None),
    ),
    Sample(
        name="a system prompt is not an answer",
        files=(lines({"prompt": ASKED, "system_prompt": "Sort it.", "chosen": SAID}),),
        wanted="--map prompt=prompt,answer=chosen",
    ),
)
