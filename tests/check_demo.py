"""Checks what `insource demo --no-serve --json` concluded: `python tests/check_demo.py FILE [FILE …]`.

With several files it also checks that their verdicts are the same. The tasks are recognised by their
examples' words, as a person would; nothing in the product knows these words.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def _task(plan: dict[str, Any], *words: str) -> dict[str, Any]:
    found = [task for task in plan["tasks"] if any(word in " ".join(task["examples"]).casefold() for word in words)]
    assert len(found) >= 1, f"no task with any of {words}"
    return max(found, key=lambda task: task["exchanges"])


def check(plan: dict[str, Any]) -> dict[str, str]:
    """Raises AssertionError where a conclusion is missing; returns verdicts by task."""
    assert sum(task["exchanges"] for task in plan["tasks"]) >= 3_000

    triage = _task(plan, "card_arrival")
    assert triage["verdict"] in ("MOVE", "MOVE PART"), triage
    assert triage["quality"] >= 0.95, triage
    assert triage["certificate"], triage
    assert triage["loss_upper"] <= triage["margin"], triage
    assert triage["n_test"] >= 100, triage

    maths = _task(plan, "how many", "how much")
    maths = _task(plan, "janet", "apples", "eggs", "miles", "dollars", "$") if maths is triage else maths
    assert maths["verdict"] == "KEEP", maths
    assert maths["certificate"] is None, maths

    personal = _task(plan, "[card]", "[email]", "[phone]", "extract")
    assert personal["verdict"] == "PIN", personal

    assert 0 < plan["private_share"] < 1, plan["private_share"]
    assert 0 < plan["moved_share"] < 1, plan["moved_share"]
    assert plan["spend_after_usd"] <= plan["spend_usd"], plan
    return {task["id"]: task["verdict"] for task in plan["tasks"]}


def main() -> int:
    verdicts = [check(json.loads(Path(name).read_text())) for name in sys.argv[1:]]
    assert verdicts, "name at least one file"
    assert all(each == verdicts[0] for each in verdicts), verdicts
    sys.stdout.write("\n".join(f"{task}: {verdict}" for task, verdict in verdicts[0].items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
