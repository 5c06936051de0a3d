"""Samples of forms that a known format may take: streams, tables by their columns, pages of pages, other languages."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.logs.sample import (
    ASKED,
    CREATED,
    ISO,
    MESSAGES,
    MODEL,
    SAID,
    SECONDS,
    Sample,
    Wanted,
    chat_answer,
    chat_body,
    csv,
    lines,
    pretty,
)

_BARE = Wanted(rules="", created=None, tokens=None, model=None)
_PAIRED = Wanted(created=None, tokens=None)


def _events(*chunks: dict[str, Any]) -> str:
    return "".join(f"event: e\ndata: {json.dumps(chunk)}\n\n" for chunk in chunks)


def _chunks(*pieces: str) -> list[dict[str, Any]]:
    ends = [None] * (len(pieces) - 1) + ["stop"]
    return [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": end}]}
        for piece, end in zip(pieces, ends, strict=True)
    ]


def _stream_samples() -> tuple[Sample, ...]:
    chunks = _chunks("bro", "ken")
    claude = _events(
        {"type": "message_start", "message": {"role": "assistant", "type": "message", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAID}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
    done = {"object": "response", "status": "completed", "output": [{"type": "message", "content": []}]}
    done["output"] = [{"type": "message", "content": [{"type": "output_text", "text": SAID}]}]
    responses = _events({"type": "response.created", "response": {}}, {"type": "response.completed", "response": done})
    gemini = [{"candidates": [{"content": {"parts": [{"text": piece}]}}]} for piece in ("bro", "ken")]
    answers: dict[str, Any] = {
        "chat events": _events(*chunks) + "data: [DONE]",
        "chat chunks": chunks,
        "chat chunks as text": json.dumps(chunks),
        "anthropic events": claude,
        "responses events": responses,
        "gemini chunks": gemini,
    }
    return tuple(
        Sample(
            name=f"pairs with {name}",
            files=(lines({"request": chat_body(stream=True), "response": answer}),),
            wanted=_PAIRED,
        )
        for name, answer in answers.items()
    )


def _table_samples() -> tuple[Sample, ...]:
    rows = {"prompt": [ASKED, "It came a week after"], "llm_answer": [SAID, "late"]}
    by_index = {name: {str(n): cell for n, cell in enumerate(cells)} for name, cells in rows.items()}
    split = {"columns": list(rows), "index": [0, 1], "data": list(zip(*rows.values(), strict=True))}
    wanted = replace(_BARE, count=2)
    return (
        Sample(name="columns by index", files=(lines(by_index),), wanted=wanted),
        Sample(name="columns as lists", files=(pretty(rows),), wanted=wanted),
        Sample(name="columns and data", files=(pretty(split),), wanted=wanted),
        Sample(
            name="a German table",
            files=(csv(["Zeit", "Kundenfrage", "Antwort der KI"], ["1.10.2026 9:00", ASKED, SAID], delimiter=";"),),
            wanted="--map 'prompt=Kundenfrage,answer=Antwort der KI'",
        ),
        Sample(
            name="Python's notation",
            files=("\n".join(repr({"prompt": ASKED, "answer": SAID}) for _ in range(3)).encode(),),
            wanted="Write each record with json.dumps",
        ),
        Sample(
            name="no line can be read",
            files=(b'{"prompt": "a", \n{"prompt": "b",\n',),
            wanted="JSON lines, JSON or CSV",
        ),
    )


def _tool_samples() -> tuple[Sample, ...]:
    observed = {"id": "o1", "traceId": "t1", "startTime": ISO, "type": "GENERATION", "model": MODEL}
    observed |= {"input": list(MESSAGES), "output": {"role": "assistant", "content": SAID}, "latency": 0.7}
    beside = {**observed, "id": "o2", "type": "SPAN", "input": {"query": ASKED}}
    traces = [{"id": "t1", "timestamp": ISO, "input": {"q": ASKED}, "output": SAID, "observations": [observed, beside]}]
    generation = {"text": SAID, "type": "ChatGeneration", "message": {"lc": 1, "kwargs": {"content": SAID}}}
    run = {"id": "l1", "run_type": "llm", "start_time": ISO, "inputs": {"messages": [list(MESSAGES)]}}
    bare = {"generations": [[{"text": SAID, "generation_info": None}]], "llm_output": {"model_name": MODEL}}
    span = {"id": "b1", "created": ISO, "input": list(MESSAGES), "output": chat_answer()["choices"]}
    span |= {"span_attributes": {"type": "llm"}, "root_span_id": "r1", "metadata": {"model": MODEL}, "expected": "late"}
    span["metrics"] = {"start": SECONDS, "end": SECONDS + 0.7, "prompt_tokens": 30, "completion_tokens": 2}
    task = {**span, "id": "b2", "span_attributes": {"type": "task"}}
    cloudflare = {"id": "c1", "created_at": ISO, "provider": "openai", "duration": 700, "success": True, "cost": 0.002}
    cloudflare |= {"tokens_in": 30, "tokens_out": 2, "request": json.dumps(chat_body()), "model": MODEL}
    cloudflare["response"] = json.dumps({"choices": chat_answer()["choices"]})
    weave = {"id": "w1", "op_name": "weave:///a/b/op/chat:x", "trace_id": "t1", "attributes": {}, "started_at": ISO}
    weave |= {"inputs": chat_body(), "output": chat_answer()}
    asked = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": json.dumps(chat_body())}
    mlflow: dict[str, Any] = {"trace_id": "x", "span_id": "m1", "start_time_unix_nano": SECONDS * 10**9}
    mlflow["attributes"] = {**asked, "mlflow.spanOutputs": json.dumps(chat_answer())}
    recorded = Wanted(tokens=None, latency_seconds=None)
    return (
        Sample(
            name="langfuse page of traces",
            files=(pretty({"data": traces, "meta": {"page": 1}}),),
            wanted=Wanted(format="langfuse", tokens=None, latency_seconds=0.7, metadata={"trace_id": "t1"}),
        ),
        Sample(
            name="langsmith generations",
            files=(lines({**run, "outputs": {"generations": [[generation]], "llm_output": {"model_name": MODEL}}}),),
            wanted=recorded,
        ),
        Sample(name="langsmith bare generations", files=(lines({**run, "outputs": bare}),), wanted=recorded),
        Sample(
            name="braintrust",
            files=(lines(span, task),),
            wanted=Wanted(label="late", latency_seconds=0.7, created=CREATED, metadata={"trace_id": "r1"}),
        ),
        Sample(name="weave", files=(lines(weave),), wanted=Wanted(metadata={"trace_id": "t1"})),
        Sample(name="mlflow", files=(pretty([{"info": {}, "data": {"spans": [mlflow]}}]),), wanted=Wanted()),
        Sample(
            name="spans of no call",
            files=(lines({"traceId": "t", "spanId": "s", "attributes": {"http.method": "GET"}}),),
            wanted="none of them is a call to a model",
        ),
        Sample(
            name="cloudflare", files=(lines(cloudflare),), wanted=Wanted(cost_usd=0.002, latency_seconds=0.7)
        ),
    )  # fmt: skip


SAMPLES = (*_stream_samples(), *_table_samples(), *_tool_samples())
