"""Discovery on the recorded traffic of LLMDrift, GSM8K and Banking77, labels hidden."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from random import Random

import pytest

from insource.core.values import OutputKind, Task
from insource.stats.agreement import v_measure
from insource.traffic.discovery import DiscoveryInput, discover

Rows = list[tuple[DiscoveryInput, str]]


def _row(id: str, text: str, answer: str, reference: str | None = None) -> DiscoveryInput:
    request = {"messages": [{"role": "user", "content": text}]}
    return DiscoveryInput(id=id, request=request, answer=answer, reference=reference)


@pytest.fixture(scope="module")
def gpt4(shared_data: Path) -> Rows:
    """The label is the file: prime and composite numbers are asked about in the same words."""
    found: Rows = []
    for name in ("prime_full", "countahappynumber", "opinionqa", "leetcode_easy"):
        with gzip.open(shared_data / "llmdrift" / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            for number, record in enumerate(csv.DictReader(file)):
                if "gpt-4" in record["model"]:
                    item = _row(f"{name}-{number}", record["query"], record["answer"], record["ref_answer"] or None)
                    found.append((item, name))
    return found


@pytest.mark.data
def test_gpt4_rows(gpt4: Rows) -> None:
    found = discover([item for item, _ in gpt4])
    assert v_measure([label for _, label in gpt4], [found.task_of[item.id] for item, _ in gpt4]).v >= 0.97
    shuffled = [item for item, _ in gpt4]
    for seed in range(3):
        Random(seed).shuffle(shuffled)
        assert discover(shuffled) == found
    task_of = {task.id: task for task in found.tasks}
    by_label: dict[str, Task] = {label: task_of[found.task_of[item.id]] for item, label in gpt4}
    assert by_label["prime_full"].output.labels == ("[No]", "[Yes]")
    assert by_label["prime_full"].name == "Is … a prime number?"
    assert by_label["countahappynumber"].output.kind is OutputKind.NUMBER
    assert {"(A)", "(B)", "(C)", "(D)"} <= set(by_label["opinionqa"].output.labels)
    assert by_label["leetcode_easy"].output.kind is OutputKind.TEXT


@pytest.mark.data
def test_a_mix_without_system_prompts_comes_apart_into_its_kinds_of_work(gpt4: Rows, shared_data: Path) -> None:
    rows = Random(0).sample(gpt4, 1_500)
    with gzip.open(shared_data / "routellm" / "gsm8k.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            record = json.loads(line)
            rows.append((_row(f"gsm-{number}", record["prompt"], record["gpt_4_1106_answer"]), "gsm8k"))
    with gzip.open(shared_data / "banking77" / "test.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for number, record in enumerate(list(csv.DictReader(file))[::3]):
            rows.append((_row(f"bank-{number}", record["text"], record["category"]), "banking77"))
    found = discover([item for item, _ in rows])
    labels = [label for _, label in rows]
    assert v_measure(labels, [found.task_of[item.id] for item, _ in rows]).v >= 0.97
    maths = {found.task_of[item.id] for item, label in rows if label == "gsm8k"}
    assert len(maths) == 1
    assert next(task for task in found.tasks if task.id in maths).output.kind is OutputKind.NUMBER
