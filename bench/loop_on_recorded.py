"""The whole loop on real recorded traffic: import, tasks and plan, and beside each verdict what is known of the work.

    python bench/loop_on_recorded.py [DATA_FOLDER]

The demo's log is written for it; this is the measure. The recorded log is built by recorded_log.py, which says what was
added to the records. Takes minutes: the default model answers here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from bench.recorded_log import build

from insource.cli.session import load_settings
from insource.core.values import JsonObject
from insource.wiring import open_services
from insource.workflows.plan import make_plan, plan_json
from insource.workflows.prove.import_traffic import import_traffic

OUT = Path(__file__).parent / "results" / "loop_on_recorded.txt"
KNOWN: Mapping[str, str] = {
    "banking77": "ten intents, human labels; a linear head is right on 98 %, so most of it can move",
    "gsm8k": "maths in words; GPT-4 is right on 94 %, a model of 135M on almost none: it must stay",
    "presidio": "personal data to copy out of texts; human labels; a model of 135M rarely copies the right field",
    "prime_full": "prime or not; GPT-4 went from 84 % right in March to 51 % in June: compared with June only",
    "countahappynumber": "counting by rules; GPT-4 was right on 84 % in March, 35 % in June",
    "opinionqa": "a survey's questions; only the hosted answers are known, and they agree with themselves now and then",
    "leetcode_easy": "100 programs; too few, and text that no scorer here can judge",
    "restaurant8k": "slots as JSON, human labels; a third of the messages state none, few-shot on 135M is 23 % exact",
    "clinc150": "150 intents and out-of-scope; labels; few texts an intent, so a part can move at most",
    "bfcl": "tool calls of GPT-4, 90 % right by a public checker; a model of 135M can't make them",
}


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("INSOURCE_DATA") or Path("../shared/data"))
    if not data.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return
    lines = build(data)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "recorded.jsonl"
        log.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
        started = time.monotonic()
        made, assigned = _plan(log, Path(folder) / "home")
        seconds = time.monotonic() - started
    text = _table(lines, made, assigned) + f"\n{len(lines):,} exchanges in {seconds:.0f} s\n"
    OUT.write_text(text, "utf-8")
    print(text)


def _plan(log: Path, home: Path) -> tuple[JsonObject, Mapping[str, str]]:
    settings = load_settings(home=home, database_url="", provider_replay=True)
    with open_services(settings) as services:
        import_traffic(services, log)
        made = plan_json(asyncio.run(make_plan(services)))
        return made, services.exchanges.assignments()


def _table(lines: list[JsonObject], made: JsonObject, assigned: Mapping[str, str]) -> str:
    sources: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        sources[assigned[line["id"]]][_source(line)] += 1
    rows: list[str] = []
    for task in made["tasks"]:
        held = sources[task["id"]]
        bound = "" if task["loss_upper"] is None else f", loses at most {task['loss_upper']:.2%}"
        quality = "" if task["quality"] is None else f", {task['quality']:.1%} right (n {task['n_test']:,})"
        rows.append(f"{task['verdict']:<10} {task['exchanges']:>6,}  {task['name']}")
        rows.append(f"           covered {task['coverage']:.0%}{quality}{bound}")
        rows.append(f"           made of: {', '.join(f'{name} {count:,}' for name, count in held.most_common())}")
        rows.append(f"           known:   {KNOWN.get(held.most_common(1)[0][0], '')}")
        rows.append(f"           said:    {task['reason']}")
    return "\n".join(rows) + "\n"


def _source(line: JsonObject) -> str:
    """The file of LLMDrift and RouteLLM, the folder of the others."""
    folder, name = line["metadata"]["source"].split("/")
    return name.split(".")[0] if folder in ("llmdrift", "routellm") else folder


if __name__ == "__main__":
    main()
