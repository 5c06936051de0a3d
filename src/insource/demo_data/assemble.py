"""The demo's log, assembled from the desk's text files: the same lines on every run.

Texts, labels and hosted answers are in the files. What is added here is what a log has around them: the request's
settings, times spread over six weeks as a shop's days go, token counts by the rule of thumb, list prices, latencies.
README.md says which of these mean something.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

from insource.core.hashing import sha256_hex, unit_interval
from insource.core.values import JsonObject
from insource.demo_data.schedule import iso, moment
from insource.demo_data.texts import FOLDER, Text, read_all
from insource.wire import chat

_BYTES_PER_TOKEN = 4
_FIRST_TOKEN_SECONDS, _TOKEN_SECONDS, _LATENCY_SPREAD = 0.45, 0.012, 0.35
"""Invented: a hosted model's usual pace, with a log-normal spread."""


def assemble() -> list[JsonObject]:
    """The log's lines in time order."""
    tasks: Mapping[str, Any] = tomllib.loads((FOLDER / "tasks.toml").read_text("utf-8"))
    lines = [_line(id, text, tasks[text.task]) for id, text in _named(read_all())]
    return sorted(lines, key=lambda line: (line["created"], line["id"]))


def _named(texts: Iterator[Text]) -> Iterator[tuple[str, Text]]:
    """With ids that name no task and stay the same when texts are added elsewhere."""
    seen: dict[str, int] = {}
    for text in texts:
        key = sha256_hex(f"{text.task}\n{text.message}".encode())[:16]
        seen[key] = seen.get(key, 0) + 1
        yield f"desk-{key}-{seen[key]}", text


def _line(id: str, text: Text, task: Mapping[str, Any]) -> JsonObject:
    asked = [{"role": "system", "content": task["system"].strip()}, {"role": "user", "content": text.message}]
    created = moment(id)
    usage = _usage(asked, text.hosted)
    response = chat.completion(
        id=f"chatcmpl-{id.removeprefix('desk-')}",
        created=int(created.timestamp()),
        model=task["model"],
        text=text.hosted,
        usage=usage,
    )
    line: JsonObject = {
        "id": id,
        "created": iso(created),
        "request": {"model": task["model"], "messages": asked, **task["settings"]},
        "response": response,
        "latency_seconds": _latency_seconds(id, usage["completion_tokens"]),
        "cost_usd": _cost_usd(usage, task),
    }
    if text.label is not None:
        line |= {"reference": text.label, "reference_kind": "label"}
    else:
        line["reference_kind"] = "hosted"
    if text.correct is not None:
        line["reference_correct"] = text.correct
    return {**line, "metadata": {"app": "desk"}}


def _usage(asked: list[dict[str, str]], answer: str) -> JsonObject:
    prompt = sum(_tokens(message["content"]) + 4 for message in asked) + 3  # the chat format's own tokens
    completion = _tokens(answer)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def _cost_usd(usage: JsonObject, task: Mapping[str, Any]) -> float:
    paid = usage["prompt_tokens"] * task["usd_per_million_input"]
    return round((paid + usage["completion_tokens"] * task["usd_per_million_output"]) / 1e6, 9)


def _latency_seconds(id: str, tokens: int) -> float:
    drawn = NormalDist().inv_cdf(min(max(unit_interval("demo latency", id), 1e-6), 1 - 1e-6))
    return round((_FIRST_TOKEN_SECONDS + _TOKEN_SECONDS * tokens) * math.exp(_LATENCY_SPREAD * drawn), 3)
