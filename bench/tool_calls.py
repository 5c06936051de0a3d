"""Tool calls of a hosted and of an open model, recorded: what the criterion `tools` says beside a public checker, and
which verdict the whole product reaches through its own commands.

    python -m bench.tool_calls     writes bench/results/tool_calls.txt

The 900 requests, both models' calls and the checker's verdicts are bfcl/pair of the shared data. The hosted calls are
the log, the open model's an answers file. "Reviewed": a person's work, done here by the checker's verdicts on all
disagreements. "Shuffled": the open calls, exchanged among the requests of their category.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.adapt_data import data_folder

from insource.core.values import JsonObject
from insource.evals.scorers import ToolsScorer
from insource.stats.intervals import clopper_pearson

START = datetime(2026, 10, 1, tzinfo=UTC)
RESULTS = Path(__file__).parent / "results" / "tool_calls.txt"
Calls = list[JsonObject]


def main() -> None:
    folder = data_folder()
    if folder is None:
        sys.exit("skipped: shared data not found (set INSOURCE_DATA)")
    with gzip.open(folder / "bfcl" / "pair_2024-08-11.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    lines = [f"bench/tool_calls.py, {len(rows)} requests of bfcl/pair_2024-08-11, margin 2 %", ""]
    lines += criterion_beside_checker(rows)
    open_calls = [calls_of(row["open_calls"]) for row in rows]
    for name, before, calls in (
        ("first candidate", [], open_calls),
        ("third candidate", [shuffled(rows, open_calls, seed=n) for n in (1, 2)], open_calls),
        ("shuffled within each category", [], shuffled(rows, open_calls, seed=0)),
    ):
        print(name, file=sys.stderr)
        lines += ["", f"{name}:", *loop(rows, before, calls)]
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


# ----------------------------------------------------------------------------------------------------- criterion


def criterion_beside_checker(rows: Sequence[JsonObject]) -> list[str]:
    """Where the hosted call was right: does the open one count as right exactly where the checker says so?"""
    right = [row for row in rows if row["hosted_right"]]
    accepted = [same(row) for row in right]
    exact = [calls_of(row["open_calls"]) == calls_of(row["hosted_calls"]) for row in right]
    checker = [bool(row["open_right"]) for row in right]
    n = len(right)
    wrongly = sum(ours and not theirs for ours, theirs in zip(accepted, checker, strict=True))
    return [
        f"Where the hosted call was right ({n}):",
        f"  agrees with the checker     {rate(sum(map(agree, accepted, checker)), n)}",
        f"  accepts what it refuses     {rate(wrongly, n)}",
        f"  exact comparison agrees     {rate(sum(map(agree, exact, checker)), n)}",
    ]


def same(row: JsonObject) -> bool:
    ours, hosted = (json.dumps(calls_of(row[side])) for side in ("open_calls", "hosted_calls"))
    return ToolsScorer().loss(ours, hosted, request={"tools": row["tools"]}, arguments={}) == 0


def agree(ours: bool, theirs: bool) -> bool:
    return ours == theirs


def rate(hits: int, n: int) -> str:
    interval = clopper_pearson(hits, n, confidence=0.95)
    return f"{hits / n:.1%} ({interval.low:.1%} to {interval.high:.1%}, n {n})"


def calls_of(recorded: Any) -> Calls:
    def value(arguments: Any) -> Any:
        return json.loads(arguments) if isinstance(arguments, str) else arguments

    return [{"name": call["name"], "arguments": value(call["arguments"])} for call in recorded or []]


# ---------------------------------------------------------------------------------------------------------- loop


def loop(rows: Sequence[JsonObject], before: Sequence[Sequence[Calls]], calls: Sequence[Calls]) -> list[str]:
    """Import, evaluate (other candidates first), review by the checker, evaluate again."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write(home / "log.jsonl", [logged(row, n) for n, row in enumerate(rows)])
        run(home, "import", "log.jsonl")
        task = json.loads(run(home, "tasks", "--json"))["tasks"][0]["id"]
        for n, others in enumerate(before):
            evaluate(home, task, rows, others, name=f"other-{n}")
        unread = evaluate(home, task, rows, calls, name="open")
        reviewed = review(home, task, rows, calls)
        verdict = evaluate(home, task, rows, calls, name="open")
    said = [f"  before a review: {unread['verdict']}: {unread['reason']}"]
    said.append(
        f"  after {reviewed} reviews: {verdict['verdict']}, n_needed {verdict['n_needed']}: {verdict['reason']}"
    )
    return said


def evaluate(home: Path, task: str, rows: Sequence[JsonObject], calls: Sequence[Calls], *, name: str) -> JsonObject:
    answers = [{"id": row["id"], "answer": json.dumps(call)} for row, call in zip(rows, calls, strict=True)]
    write(home / f"{name}.jsonl", answers)
    given = ("--answers", f"{name}.jsonl", "--stated", f"model={name}")
    return json.loads(run(home, "evaluate", task, *given, "--json"))


def review(home: Path, task: str, rows: Sequence[JsonObject], calls: Sequence[Calls]) -> int:
    """By the checker's verdicts, or where the calls were shuffled, as it would judge another request's: wrong."""
    run(home, "review", task, "--out", "review.csv")
    by_id = {row["id"]: (row, call) for row, call in zip(rows, calls, strict=True)}
    with (home / "review.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        row, call = by_id[line["exchange_id"]]
        local = bool(row["open_right"]) and call == calls_of(row["open_calls"])
        line["verdict"] = {
            (True, True): "both",
            (True, False): "hosted",
            (False, True): "local",
            (False, False): "neither",
        }[bool(row["hosted_right"]), local]
    with (home / "review.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(lines[0]))
        out.writeheader()
        out.writerows(lines)
    run(home, "review", task, "--in", "review.csv")
    return len(lines)


def shuffled(rows: Sequence[JsonObject], calls: Sequence[Calls], *, seed: int) -> list[Calls]:
    drawn, places = random.Random(seed), defaultdict[str, list[int]](list)
    for n, row in enumerate(rows):
        places[row["id"].rpartition("-")[0]].append(n)
    found = list(calls)
    for members in places.values():
        others = drawn.sample(members, len(members))
        for at, other in zip(members, others, strict=True):
            found[at] = calls[other]
    return found


def logged(row: JsonObject, number: int) -> JsonObject:
    question = row["question"]
    made = [
        {"id": f"c{n}", "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for n, c in enumerate(calls_of(row["hosted_calls"]))
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    return {
        "id": row["id"],
        "created": (START + timedelta(minutes=45 * number)).isoformat(),
        "request": {
            "model": "gpt-4-1106-preview",
            "messages": [{"role": "user", "content": question if isinstance(question, str) else json.dumps(question)}],
            "tools": row["tools"],
        },
        "response": {
            "id": "r",
            "object": "chat.completion",
            "created": 0,
            "model": "gpt-4-1106-preview",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        },
        "reference_kind": "hosted",
    }


def write(path: Path, lines: Sequence[JsonObject]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def run(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "insource"), *arguments],
        cwd=home,
        env={**os.environ, "INSOURCE_HOME": str(home / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"insource {' '.join(arguments)}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
