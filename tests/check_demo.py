"""Checks what `insource demo --no-serve --json` concluded: `python tests/check_demo.py FILE [FILE …]`.

With several files it also checks that their verdicts are the same. The tasks are told apart by how many requests the
demo's log holds of each (src/insource/demo_data/README.md): a task that is not found whole fails here too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TRIAGE, SLOTS, POLICY, SUMS, REPLIES, PERSONAL, THREADS = 3_876, 800, 640, 520, 420, 330, 165
DESK = (TRIAGE, SLOTS, POLICY, SUMS, REPLIES, PERSONAL, THREADS)
MOST_WRONG = 0.1
"""Of the requests whose answer is one label, so many may be answered here and wrong."""


def check(plan: dict[str, Any]) -> dict[str, str]:
    """Raises AssertionError where a conclusion is missing; returns verdicts by task."""
    by_size = {task["exchanges"]: task for task in plan["tasks"]}
    assert set(DESK) <= set(by_size), sorted(by_size)
    for task in plan["tasks"]:
        _is_consistent(task)
    triage = by_size[TRIAGE]
    assert triage["verdict"] in ("MOVE", "MOVE PART"), triage
    assert triage["recipe"] == "head", triage
    assert triage["coverage"] >= 0.5, triage
    assert triage["n_test"] >= 1_000, triage
    assert len(triage["labels"]) == 12, triage
    policy = by_size[POLICY]
    assert policy["criterion"]["kind"] == "label", policy
    assert policy["verdict"] in ("MOVE PART", "MORE DATA"), "the rare answer keeps it from moving whole"
    kinds = {size: by_size[size]["criterion"]["kind"] for size in (SLOTS, SUMS)}
    assert kinds == {SLOTS: "json", SUMS: "number"}, kinds
    for size in (REPLIES, PERSONAL, THREADS):
        assert by_size[size]["verdict"] == "SAY WHAT COUNTS", by_size[size]
    assert 0 < plan["private_share"] < 1, plan["private_share"]
    assert 0 < plan["moved_share"] < 1, plan["moved_share"]
    assert plan["spend_after_usd"] < plan["spend_usd"], plan
    return {by_size[size]["id"]: by_size[size]["verdict"] for size in DESK}


def _is_consistent(task: dict[str, Any]) -> None:
    """What every verdict promises, whatever the task."""
    moves = task["verdict"] in ("MOVE", "MOVE PART")
    assert moves == (task["certificate"] is not None), task
    assert moves == (task["coverage"] > 0), task
    if moves:
        assert task["loss_upper"] <= task["margin"], task
        assert task["quality"] >= task["hosted_quality"] - task["margin"], task
        assert all(label["wrong"] <= MOST_WRONG for label in task["labels"] if label["n"] >= 30), task
    if task["verdict"] == "MORE DATA" and task["n_needed"] is not None:
        assert task["n_needed"] > task["exchanges"], task
    if task["verdict"] == "SAY WHAT COUNTS":
        assert task["criterion"]["kind"] is None, task
        assert task["n_test"] == 0, "nothing is measured by a rule that nobody chose"


def main() -> int:
    verdicts = [check(json.loads(Path(name).read_text("utf-8"))) for name in sys.argv[1:]]
    assert verdicts, "name at least one file"
    assert all(each == verdicts[0] for each in verdicts), verdicts
    sys.stdout.write("\n".join(f"{task}: {verdict}" for task, verdict in verdicts[0].items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
