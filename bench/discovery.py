"""Task discovery on real recorded traffic with its labels hidden: V-measure and rows a second.

The label of an LLMDrift row is its file. The `dataset` column says `prime` or `composite` within prime_full, which is
the answer to the question and can't be told from it (one template for both); V against that column is shown for
completeness."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from sklearn.metrics import v_measure_score

from insource.core.values import JsonObject, Matcher, OutputKind, OutputProfile, Task
from insource.stats.agreement import v_measure
from insource.traffic.discovery import DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers

DATA = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
OUT = Path(__file__).parent / "results" / "discovery.txt"
DRIFT = ("prime_full", "countahappynumber", "opinionqa", "leetcode_easy")
Rows = list[tuple[DiscoveryInput, str]]
"""(input, hidden label)"""


def read(name: str) -> list[str]:
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return list(file)


def row(id: str, text: str, answer: str | None) -> DiscoveryInput:
    return DiscoveryInput(id=id, request={"messages": [{"role": "user", "content": text}]}, answer=answer)


def drift(models: str, *, label: str = "file") -> Rows:
    found: Rows = []
    for name in DRIFT:
        for number, record in enumerate(csv.DictReader(read(f"llmdrift/{name}.csv.gz"))):
            if models in record["model"]:
                hidden = name if label == "file" else record["dataset"]
                found.append((row(f"{name}-{number}", record["query"], record["answer"]), hidden))
    return found


def words_problems(*, answered: bool) -> Rows:
    records: list[dict[str, Any]] = [json.loads(line) for line in read("routellm/gsm8k.jsonl.gz")]
    return [
        (row(f"gsm-{number}", record["prompt"], record["gpt_4_1106_answer"] if answered else None), "gsm8k")
        for number, record in enumerate(records)
    ]


def bank(*, answered: bool) -> Rows:
    records = list(csv.DictReader(read("banking77/test.csv.gz")))
    return [
        (row(f"bank-{number}", record["text"], record["category"] if answered else None), "banking77")
        for number, record in enumerate(records)
    ]


def line(name: str, rows: Rows) -> str:
    """One run; the second run, on shuffled rows, must give the same."""
    inputs, labels = [item for item, _ in rows], [label for _, label in rows]
    started = time.process_time()
    found = discover(inputs)
    seconds = time.process_time() - started
    shuffled = inputs[:]
    Random(1).shuffle(shuffled)
    same = discover(shuffled) == found
    predicted = [found.task_of[item.id] for item in inputs]
    ours, theirs = v_measure(labels, predicted).v, float(v_measure_score(labels, predicted))
    return (
        f"{name:<44}{len(rows):>7}{len(set(labels)):>7}{len(found.tasks):>6}{ours:>8.4f}{theirs:>8.4f}"
        f"{len(rows) / seconds:>10,.0f}  {'yes' if same else 'NO'}"
    )


def matching() -> str:
    """The gateway's share: one look-up among 100 tasks of each kind."""
    tasks = [
        Task(
            id=f"task-{number:08x}",
            name=str(number),
            matchers=(Matcher(kind="prefix", value=f"Please do the piece of work number {number} on this: "),),
            output=OutputProfile(kind=OutputKind.TEXT),
        )
        for number in range(100)
    ]
    match = compile_matchers(tasks)
    bodies: list[JsonObject] = [
        {"messages": [{"role": "user", "content": f"Please do the piece of work number {n} on this: {'x' * 500}"}]}
        for n in range(100)
    ]
    rounds = 100
    started = time.process_time()
    for _ in range(rounds):
        for body in bodies:
            match(body, None)
    micros = (time.process_time() - started) / (rounds * len(bodies)) * 1e6
    return f"one look-up among 100 templates: {micros:.1f} microseconds"


def main() -> int:
    if not DATA.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return 0
    discover([row(str(number), f"warm up {number}", None) for number in range(50)])  # loads scikit-learn
    gpt4, everything = drift("gpt-4"), drift("")
    answered = words_problems(answered=True) + bank(answered=True) + gpt4
    bare = words_problems(answered=False) + bank(answered=False) + [(row(i.id, _text(i), None), x) for i, x in gpt4]
    small = Random(7).sample(answered, 1_000)
    heading = f"{'traffic':<44}{'rows':>7}{'labels':>7}{'tasks':>6}{'V':>8}{'V skl':>8}{'rows/s':>10}  same shuffled"
    lines = [
        heading,
        line("LLMDrift, GPT-4", gpt4),
        line("LLMDrift, GPT-4, label: dataset column", drift("gpt-4", label="dataset")),
        line("LLMDrift, all models", everything),
        line("GSM8K alone", words_problems(answered=True)),
        line("Banking77 alone", bank(answered=True)),
        line("GSM8K + Banking77 + LLMDrift GPT-4", answered),
        line("the same, no answers known", bare),
        line("1,000 of the mix", small),
        matching(),
    ]
    report = "\n".join([*lines, "", "tasks of the mix:", *_tasks(answered)]) + "\n"
    print(report)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(report, encoding="utf-8")
    return 0


def _text(item: DiscoveryInput) -> str:
    return str(item.request["messages"][0]["content"])


def _tasks(rows: Rows) -> list[str]:
    found = discover([item for item, _ in rows])
    sizes = Counter(found.task_of.values())
    return [
        f"{sizes[task.id]:>7}  {task.name:<52}{task.output.kind.value:<8}{len(task.output.labels)} labels"
        for task in found.tasks
    ]


if __name__ == "__main__":
    sys.exit(main())
