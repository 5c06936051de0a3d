"""Samples of what promptfoo, inspect and TensorZero write."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

from insource.wire.zstd import zstd
from tests.logs.sample import (
    ASKED,
    CALLS,
    ISO,
    MESSAGES,
    MODEL,
    RULES,
    SAID,
    Sample,
    Wanted,
    chat_answer,
    chat_body,
    lines,
    pretty,
)


def _evaluation_samples() -> tuple[Sample, ...]:
    reference = "attachment://" + "0" * 32
    sample = {
        "id": 1,
        "epoch": 1,
        "uuid": "i1",
        "input": ASKED,
        "target": SAID,
        "messages": [
            {"role": "system", "content": RULES, "source": "input"},
            {"role": "user", "content": reference},
            {"role": "assistant", "content": SAID, "source": "generate"},
        ],
        "output": {
            "model": MODEL,
            "choices": [{"message": {"role": "assistant", "content": SAID}, "stop_reason": "stop"}],
            "usage": {"input_tokens": 20, "input_tokens_cache_read": 10, "output_tokens": 2},
            "time": 0.7,
        },
        "scores": {"match": {"value": "C"}},
        "started_at": ISO,
        "attachments": {"0" * 32: ASKED},
    }
    wanted = Wanted(label=SAID, correct=True, latency_seconds=0.7, format="inspect")
    document = {
        "version": 2,
        "eval": {"model": MODEL, "task": "parcels"},
        "plan": {"steps": [{"solver": "x"}]},
        "samples": [sample],
    }
    fooed = {
        "promptIdx": 0,
        "testIdx": 0,
        "prompt": {"raw": json.dumps(MESSAGES), "label": "p"},
        "vars": {"kind": SAID},
        "provider": {"id": f"openai:chat:{MODEL}"},
        "response": {"output": SAID, "tokenUsage": {"prompt": 30, "completion": 2, "total": 32}},
        "success": True,
        "latencyMs": 700,
        "cost": 0.002,
        "testCase": {"assert": [{"type": "equals", "value": "{{kind}}"}, {"type": "latency", "threshold": 9}]},
    }
    zero: dict[str, Any] = {
        "id": "z1",
        "function_name": "triage",
        "variant_name": MODEL,
        "episode_id": "e1",
        "input": json.dumps(
            {"system": RULES, "messages": [{"role": "user", "content": [{"type": "text", "value": ASKED}]}]}
        ),
        "output": json.dumps([{"type": "text", "text": SAID}]),
        "processing_time_ms": 700,
        "timestamp": ISO,
    }
    called = [{"type": "tool_call", "id": "c1", "raw_name": "weather", "raw_arguments": '{"city": "Quito"}'}]
    raw = {"raw_request": json.dumps(chat_body()), "raw_response": json.dumps(chat_answer()), "model_name": MODEL}
    timed = Wanted(tokens=None, latency_seconds=0.7)
    return (
        Sample(name="inspect", files=(pretty(document),), wanted=wanted),
        Sample(name="inspect archive", files=(_archive(sample, method=zipfile.ZIP_DEFLATED),), wanted=wanted),
        Sample(name="inspect zstandard", files=(_archive(sample, method=93),), wanted=wanted),
        Sample(
            name="promptfoo",
            files=(lines(fooed),),
            wanted=Wanted(label=SAID, cost_usd=0.002, latency_seconds=0.7, created=None),
        ),
        Sample(name="tensorzero", files=(lines(zero),), wanted=replace(timed, metadata={"session_id": "e1"})),
        Sample(name="tensorzero json", files=(lines({**zero, "output": {"raw": SAID, "parsed": None}}),), wanted=timed),
        Sample(name="tensorzero tool", files=(lines({**zero, "output": called}),), wanted=replace(timed, answer=CALLS)),
        Sample(
            name="tensorzero calls",
            files=(lines({**raw, "id": "m1", "response_time_ms": 700, "timestamp": ISO}),),
            wanted=Wanted(latency_seconds=0.7),
        ),
    )


def _archive(sample: dict[str, Any], *, method: int) -> bytes:
    """As inspect writes it; the standard library can't write Zstandard, so that is put in by hand."""
    out = io.BytesIO()
    data = json.dumps(sample).encode()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if method == 93 else method) as archive:
        archive.writestr("header.json", json.dumps({"version": 2}))
        archive.writestr("samples/1_epoch_1.json", zstd.compress(data) if method == 93 else data)
    if method != 93:
        return out.getvalue()
    written = bytearray(out.getvalue())
    for magic, name_at, method_at in ((b"PK\x03\x04", 30, 8), (b"PK\x01\x02", 46, 10)):
        at = -1
        while (at := written.find(magic, at + 1)) >= 0:
            if written[at + name_at :].startswith(b"samples/"):
                written[at + method_at] = 93
    return bytes(written)


SAMPLES = (*_evaluation_samples(),)
