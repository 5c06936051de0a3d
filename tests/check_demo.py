"""Checks what `insource demo --no-serve --json` concluded: `python tests/check_demo.py FILE [FILE …]`.

With several files it also checks that their verdicts are the same. The tasks are told apart by how many records of
each source the demo log holds (src/insource/demo_data/README.md): a task that is not whole fails here too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TRIAGE, MATHS, PERSONAL = 1_827, 1_319, 1_251
"""Exchanges from Banking77, GSM8K and presidio-research."""


def check(plan: dict[str, Any]) -> dict[str, str]:
    """Raises AssertionError where a conclusion is missing; returns verdicts by task."""
    by_size = {task["exchanges"]: task for task in plan["tasks"]}
    assert sum(by_size) >= 3_000
    assert {TRIAGE, MATHS, PERSONAL} <= set(by_size), sorted(by_size)

    triage = by_size[TRIAGE]
    assert triage["verdict"] in ("MOVE", "MOVE PART"), triage
    assert triage["quality"] >= 0.95, triage
    assert triage["certificate"], triage
    assert triage["loss_upper"] <= triage["margin"], triage
    assert triage["n_test"] >= 100, triage

    maths = by_size[MATHS]
    assert maths["verdict"] == "KEEP", maths
    assert maths["certificate"] is None, maths
    assert maths["difference_interval"][0] > maths["margin"], maths

    assert by_size[PERSONAL]["verdict"] == "PIN", by_size[PERSONAL]

    assert 0 < plan["private_share"] < 1, plan["private_share"]
    assert 0 < plan["moved_share"] < 1, plan["moved_share"]
    assert plan["spend_after_usd"] < plan["spend_usd"], plan
    return {task["id"]: task["verdict"] for task in plan["tasks"]}


def main() -> int:
    verdicts = [check(json.loads(Path(name).read_text())) for name in sys.argv[1:]]
    assert verdicts, "name at least one file"
    assert all(each == verdicts[0] for each in verdicts), verdicts
    sys.stdout.write("\n".join(f"{task}: {verdict}" for task, verdict in verdicts[0].items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
