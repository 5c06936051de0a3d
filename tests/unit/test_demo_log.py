"""The shipped traffic is what the builder makes of the shared data, and says nothing that discovery should find out."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pytest
from bench.build_demo_log import build, compress

from insource.core.values import JsonObject
from insource.demo_data import traffic_path
from insource.wire import chat


@lru_cache(maxsize=1)
def _lines() -> tuple[JsonObject, ...]:
    with gzip.open(traffic_path(), "rt", encoding="utf-8") as file:
        return tuple(json.loads(line) for line in file)


@pytest.mark.data
def test_rebuilt_from_the_shared_data_it_is_the_same(shared_data: Path) -> None:
    rebuilt = build(shared_data)
    with gzip.open(traffic_path()) as file:
        assert rebuilt == file.read()  # what is inside: another zlib may pack the same lines into other bytes
    assert compress(rebuilt) == compress(rebuilt)
    assert compress(rebuilt)[4:8] == b"\0\0\0\0", "no time of building in the header"


def test_size_and_sources() -> None:
    assert traffic_path().stat().st_size < 3_000_000
    folders = Counter(line["metadata"]["source"].split("/")[0] for line in _lines())
    assert folders == {"banking77": 1_827, "routellm": 1_319, "llmdrift": 6_112, "presidio": 1_251}
    assert len({line["id"] for line in _lines()}) == len(_lines()) >= 3_000


def test_no_task_is_named() -> None:
    keys: set[str] = set()
    for line in _lines():
        keys |= line["metadata"].keys()
        assert "metadata" not in line["request"]
    assert keys == {"source", "row", "created", "directly_usable"}


def test_in_time_order_and_mixed() -> None:
    times = [datetime.fromisoformat(line["created"]) for line in _lines()]
    assert times == sorted(times)
    timeless = [
        line["metadata"]["source"].split("/")[0] for line in _lines() if line["metadata"].get("created") == "assigned"
    ]
    assert len(timeless) == 1_827 + 1_319 + 1_251
    for quarter in range(4):
        part = Counter(timeless[quarter * len(timeless) // 4 : (quarter + 1) * len(timeless) // 4])
        for folder, count in part.items():
            assert count == pytest.approx(timeless.count(folder) / 4, rel=0.2)


def test_only_what_was_recorded_stands_in_a_response() -> None:
    for line in _lines():
        folder = line["metadata"]["source"].split("/")[0]
        assert ("response" in line) == (folder in ("llmdrift", "routellm"))
        assert ("cost_usd" in line) == ("latency_seconds" in line) == (folder == "llmdrift")
        if folder == "llmdrift":
            tokens = chat.usage_tokens(line["response"])
            assert tokens is not None
            assert line["cost_usd"] == pytest.approx(tokens[0] * 3e-5 + tokens[1] * 6e-5)


def test_references_are_labels_or_the_hosted_answer_alone() -> None:
    for line in _lines():
        name = line["metadata"]["source"].split("/")[1].split(".")[0]
        if name in ("opinionqa", "leetcode_easy"):
            assert "reference" not in line
            assert line["reference_kind"] == "hosted"
        elif "reference" in line:
            assert line["reference_kind"] == "label"
        else:
            assert name == "gsm8k"


def test_primes_are_as_published() -> None:
    """LLMDrift reports 84.0 % and 51.1 % for March's and June's GPT-4 on these thousand numbers."""
    right: Counter[str] = Counter()
    for line in _lines():
        if line["metadata"]["source"] == "llmdrift/prime_full.csv.gz":
            right[line["request"]["model"]] += line["reference_correct"]
    assert right == {"gpt-4-0314": 840, "gpt-4-0613": 511}


def test_the_asked_field_is_in_the_message_once() -> None:
    for line in _lines():
        if line["metadata"]["source"].startswith("presidio/"):
            assert line["reference"] in chat.user_text(line["request"])
