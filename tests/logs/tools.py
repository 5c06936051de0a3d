"""Samples of gateways, tracers and clouds."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from tests.logs.sample import (
    ASKED,
    ISO,
    MESSAGES,
    MODEL,
    RULES,
    SAID,
    SECONDS,
    SPENT,
    Sample,
    Wanted,
    anthropic_answer,
    anthropic_body,
    chat_answer,
    chat_body,
    csv,
    lines,
    pretty,
)

_LITELLM: dict[str, Any] = {
    **SPENT,
    "request_duration_ms": 700,
    "status": "success",
    "session_id": "s1",
    "request_tags": ["prod"],
}
_RECORDED = Wanted(cost_usd=0.002, latency_seconds=0.7)
_PORTKEY: dict[str, Any] = {
    "id": "p1",
    "created_at": ISO,
    "ai_org": "openai",
    "ai_model": MODEL,
    "req_units": 30,
    "res_units": 2,
    "cost": 0.2,
    "cost_currency": "USD",
    "response_time": 700,
    "response_status_code": 200,
    "trace_id": "t1",
}
_SSE = "".join(
    f"data: {json.dumps(chunk)}\n\n"
    for chunk in (
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": SECONDS,
            "model": MODEL,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "bro"}, "finish_reason": None}],
        },
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": SECONDS,
            "model": MODEL,
            "choices": [{"index": 0, "delta": {"content": "ken"}, "finish_reason": "stop"}],
        },
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": SECONDS,
            "model": MODEL,
            "choices": [],
            "usage": {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32},
        },
    )
)
_ANTHROPIC_SSE = "".join(
    f"event: {chunk['type']}\ndata: {json.dumps(chunk)}\n\n"
    for chunk in (
        {"type": "message_start", "message": {**anthropic_answer(), "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "bro"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ken"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
)


def _har(url: str, body: Any, answer: str, **content: Any) -> bytes:
    page = {"startedDateTime": ISO, "time": 9, "request": {"method": "GET", "url": "https://x/"}, "response": {}}
    call = {
        "startedDateTime": ISO,
        "time": 700,
        "request": {
            "method": "POST",
            "url": url,
            "headers": [{"name": "Authorization", "value": "Bearer sk-never-kept"}],
            "postData": {"mimeType": "application/json", "text": json.dumps(body)},
        },
        "response": {"status": 200, "content": {"text": answer, **content}},
    }
    return pretty({"log": {"version": "1.2", "pages": [{"id": "page_1"}], "entries": [page, call]}})


_GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": ASKED}]}],
    "systemInstruction": {"parts": [{"text": RULES}]},
    "generationConfig": {"maxOutputTokens": 9},
}
_GEMINI_CHUNKS = [
    {"candidates": [{"content": {"parts": [{"text": "bro"}], "role": "model"}}]},
    {
        "candidates": [{"content": {"parts": [{"text": "ken"}], "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 2},
        "modelVersion": "gemini-2.5-flash",
    },
]
_OLLAMA = {"model": "llama3.2", "messages": list(MESSAGES), "options": {"temperature": 0, "num_ctx": 512}}
_OLLAMA_END = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 7 * 10**8,
    "prompt_eval_count": 30,
    "eval_count": 2,
}
_OLLAMA_ANSWER = {
    "model": "llama3.2",
    "created_at": ISO,
    "message": {"role": "assistant", "content": SAID},
    **_OLLAMA_END,
}
_HAR = replace(_RECORDED, cost_usd=None)
_LOCAL = Wanted(model="llama3.2", latency_seconds=0.7)


def _har_samples() -> tuple[Sample, ...]:
    coded = base64.b64encode(json.dumps(chat_answer()).encode()).decode()
    ndjson = "".join(
        json.dumps(chunk) + "\n"
        for chunk in (
            {"model": "llama3.2", "created_at": ISO, "message": {"role": "assistant", "content": "bro"}, "done": False},
            {"model": "llama3.2", "created_at": ISO, "message": {"role": "assistant", "content": "ken"}, **_OLLAMA_END},
        )
    )
    openai, google = "https://api.openai.com/v1/chat/completions", "https://generativelanguage.googleapis.com"
    gemini = f"{google}/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    claude, messages = replace(_HAR, model="claude-sonnet-4-5"), "https://api.anthropic.com/v1/messages"
    google_wanted = replace(_HAR, model="gemini-2.5-flash")
    chunks, local = json.dumps(_GEMINI_CHUNKS), "http://localhost:11434/api/chat"
    return (
        Sample(name="har stream", files=(_har(openai, chat_body(stream=True), _SSE),), wanted=_HAR),
        Sample(name="har base64", files=(_har(openai, chat_body(), coded, encoding="base64"),), wanted=_HAR),
        Sample(name="har anthropic", files=(_har(messages, anthropic_body(), _ANTHROPIC_SSE),), wanted=claude),
        Sample(name="har gemini", files=(_har(gemini, _GEMINI, chunks),), wanted=google_wanted),
        Sample(name="har ollama", files=(_har(local, _OLLAMA, ndjson),), wanted=replace(_HAR, model="llama3.2")),
        Sample(name="har without bodies", files=(_har(openai, chat_body(), ""),), wanted="with the bodies"),
    )


def _litellm_samples() -> tuple[Sample, ...]:
    table = {**_LITELLM, "messages": "{}", "proxy_server_request": chat_body(), "response": chat_answer()}
    cut = f"{ASKED}... (litellm_truncated skipped 900 chars) ...{ASKED}"
    shortened = {**_LITELLM, "messages": [{"role": "user", "content": cut}], "response": chat_answer()}
    hidden = [{"role": "user", "content": "redacted-by-litellm"}]
    redacted = {**_LITELLM, "messages": hidden, "response": chat_answer("redacted-by-litellm")}
    failed = {**_LITELLM, "status": "failure", "messages": list(MESSAGES), "response": {}, "error_str": "rate limit"}
    wanted = replace(_RECORDED, metadata={"session_id": "s1", "request_tags": ["prod"]})
    return (
        Sample(name="litellm table", files=(csv(table.keys(), table.values()),), wanted=wanted),
        Sample(name="litellm cut", files=(lines(shortened),), wanted=replace(wanted, asked=cut, rules="")),
        Sample(name="litellm redacted", files=(lines(redacted),), wanted="store_prompts_in_spend_logs"),
        Sample(
            name="litellm failed",
            files=(lines(failed),),
            wanted=replace(wanted, answer=None, status=500, tokens=None, metadata={"error": "rate limit"}),
        ),
    )


def _observation(**fields: Any) -> dict[str, Any]:
    return {
        "id": "o1",
        "traceId": "t1",
        "type": "GENERATION",
        "startTime": ISO,
        "model": MODEL,
        "input": list(MESSAGES),
        "output": SAID,
        "usage": {"input": 30, "output": 2, "unit": "TOKENS"},
        "calculatedTotalCost": 0.002,
        "latency": 0.7,
        **fields,
    }


def _tracer_samples() -> tuple[Sample, ...]:
    trace = {"id": "t1", "timestamp": ISO, "name": "run", "input": "a", "output": "b", "observations": [_observation()]}
    page = {"data": [_observation(), _observation(id="o2", type="SPAN")], "meta": {"page": 1, "totalItems": 2}}
    run = {
        "id": "l1",
        "run_type": "llm",
        "start_time": ISO,
        "end_time": ISO,
        "inputs": {"messages": list(MESSAGES), "model": MODEL},
        "outputs": chat_answer(),
        "extra": {"metadata": {"thread_id": "th1", "ls_model_name": MODEL}},
        "session_id": "the-project",
        "trace_id": "t1",
        "total_cost": 0.002,
    }
    bodies = {"request_id": "h1", "request_created_at": ISO, "request_path": "/v1/chat/completions"}
    return (
        Sample(name="langfuse page", files=(pretty(page),), wanted=_RECORDED),
        Sample(name="langfuse trace", files=(lines(trace),), wanted=_RECORDED),
        Sample(
            name="langsmith wrapper",
            files=(lines(run, {**run, "id": "l2", "run_type": "chain"}),),
            wanted=replace(_RECORDED, latency_seconds=0.0, metadata={"session_id": "th1"}),
        ),
        Sample(
            name="helicone without bodies", files=(lines({**bodies, "signed_body_url": "x"}),), wanted="--include-body"
        ),
    )


def _cloud_samples() -> tuple[Sample, ...]:
    llm_log = {
        "TimeGenerated": ISO,
        "CorrelationId": "c1",
        "OperationName": "ChatCompletions_Create",
        "ModelName": MODEL,
        "PromptTokens": 30,
        "CompletionTokens": 2,
        "RequestMessages": json.dumps(MESSAGES),
        "ResponseMessages": json.dumps([{"role": "assistant", "content": SAID}]),
        "SequenceNumber": 0,
    }
    bedrock = {
        "schemaType": "ModelInvocationLog",
        "timestamp": ISO,
        "requestId": "b1",
        "operation": "InvokeModel",
        "modelId": "anthropic.claude-3-haiku",
        "input": {"inputBodyJson": anthropic_body(anthropic_version="bedrock-2023-05-31"), "inputTokenCount": 30},
        "output": {"outputBodyJson": anthropic_answer(), "outputTokenCount": 2},
    }
    converse = {
        "modelId": "amazon.nova-lite",
        "system": [{"text": RULES}],
        "messages": [{"role": "user", "content": [{"text": ASKED}]}],
        "inferenceConfig": {"maxTokens": 9},
    }
    conversed = {
        "output": {"message": {"role": "assistant", "content": [{"text": SAID}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 30, "outputTokens": 2, "totalTokens": 32},
    }
    vertex = {
        "endpoint": "e",
        "logging_time": ISO,
        "request_id": "v1",
        "model": "gemini-2.5-flash",
        "full_request": _GEMINI,
        "full_response": {**_GEMINI_CHUNKS[1], "candidates": [{"content": {"parts": [{"text": SAID}]}}]},
    }
    return (
        Sample(name="azure llm log", files=(lines(llm_log),), wanted=Wanted()),
        Sample(name="bedrock log", files=(lines(bedrock),), wanted=Wanted(model="claude-sonnet-4-5")),
        Sample(
            name="converse",
            files=(lines({"request": converse, "response": conversed}),),
            wanted=Wanted(model="amazon.nova-lite", created=None),
        ),
        Sample(name="vertex log", files=(lines(vertex),), wanted=Wanted(model="gemini-2.5-flash")),
        Sample(
            name="ollama pair",
            files=(lines({"request": _OLLAMA, "response": _OLLAMA_ANSWER}),),
            wanted=_LOCAL,
        ),
        Sample(
            name="ollama generate",
            files=(
                lines(
                    {
                        "request": {"model": "llama3.2", "system": RULES, "prompt": ASKED, "stream": False},
                        "response": {"model": "llama3.2", "created_at": ISO, "response": SAID, **_OLLAMA_END},
                    }
                ),
            ),
            wanted=_LOCAL,
        ),
        Sample(
            name="portkey",
            files=(lines({**_PORTKEY, "request": chat_body(), "response": chat_answer(), "metadata": {"app": "x"}}),),
            wanted=replace(_RECORDED, metadata={"app": "x", "trace_id": "t1"}),
        ),
        Sample(
            name="portkey columns",
            files=(
                lines(
                    {**_PORTKEY, "request.body": json.dumps(chat_body()), "response.body": json.dumps(chat_answer())}
                ),
            ),
            wanted=_RECORDED,
        ),
    )


SAMPLES = (*_har_samples(), *_litellm_samples(), *_tracer_samples(), *_cloud_samples())
