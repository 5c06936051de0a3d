"""`insource scout` over the shipped catalogue: wall and processor time of the whole command, and where the time goes.

    python bench/scout.py [RUNS]        prints a table and writes bench/results/scout.txt

Every run is a new process from an empty home, so nothing is warm but the disk. Medians; the shares are of one process
each, measured from its inside, and hold on a busy machine too.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_RESULTS = Path(__file__).parent / "results" / "scout.txt"
_QUESTIONS: Sequence[tuple[str, Sequence[str]]] = (
    ("general chat, here", ()),
    ("general chat, rtx-4090", ("--machine", "rtx-4090")),
    ("every licence class, convertible too, here", ("--licenses", "permissive,copyleft,open-model,community,"
     "behavioural,non-commercial,unknown", "--admit", "convertible,specialised")),
)  # fmt: skip
_LIMIT_SECONDS = 2.0


def _command(arguments: Sequence[str], home: str) -> tuple[float, float, dict[str, Any]]:
    """Wall and processor seconds of one process, and its answer."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "insource.cli.main", "scout", "--json", *arguments],
        env={**os.environ, "INSOURCE_HOME": home},
        capture_output=True,
        check=True,
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, json.loads(done.stdout)


def phases() -> dict[str, float]:
    """Seconds by phase of one scout, in this process, which must be new."""
    marks: dict[str, float] = {}

    def timed(name: str, act: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = act()
        marks[name] = time.perf_counter() - started
        return result

    def imports() -> None:
        for name in ("cli.main", "wiring", "workflows.scout_fit", "workflows.scout_json"):
            importlib.import_module(f"insource.{name}")

    timed("imports", imports)
    from insource.cli.session import load_settings
    from insource.core.catalogue import Wanted
    from insource.hub.activity import group_copies, measure
    from insource.hub.purpose import TEXT_PIPELINES, Purposes
    from insource.wiring_choose import open_scout
    from insource.workflows.choose import scout as workflow
    from insource.workflows.choose.scout_fit import make_fits
    from insource.workflows.choose.scout_json import scout_json

    wanted = Wanted(pipelines=TEXT_PIPELINES, convertible=False)
    with open_scout(load_settings()) as parts:
        timed("this machine's probe", lambda: parts.find_machine("here"))
        models = timed("catalogue read and decoded", lambda: parts.catalogue.select(wanted).models)
        groups = timed("copies grouped", lambda: group_copies(models))
        timed("purposes", lambda: Purposes(models))
        timed("derivatives and percentiles", lambda: measure(groups, as_of=parts.catalogue.as_of))
        spent = 0.0

        def timed_fits(question: workflow.FitQuestion) -> Callable[[Any], Any]:
            fits = make_fits(question)

            def fit(model: Any) -> Any:
                nonlocal spent
                started = time.perf_counter()
                summary = fits(model)
                spent += time.perf_counter() - started
                return summary

            return fit

        report = timed("all", lambda: workflow.scout(workflow.ScoutQuestion(), parts, make_fits=timed_fits))
    marks["fit of what passed the cheap filters"] = spent
    repeated = sum(
        marks[name] for name in ("copies grouped", "purposes", "derivatives and percentiles", "this machine's probe")
    )
    marks["filters and ranking"] = max(0.0, marks.pop("all") - spent - repeated)
    timed("JSON", lambda: scout_json(report))
    return marks


def _measured_phases(runs: int, home: str) -> list[str]:
    found: list[dict[str, float]] = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, __file__, "--phases"],
            env={**os.environ, "INSOURCE_HOME": home},
            capture_output=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
    names = list(found[0])
    shares = {name: statistics.median(run[name] / sum(run.values()) for run in found) for name in names}
    seconds = {name: statistics.median(run[name] for run in found) for name in names}
    return [f"{name:<44}{shares[name]:>8.0%}{seconds[name]:>10.3f}" for name in sorted(names, key=lambda n: -shares[n])]


def main() -> None:
    if "--phases" in sys.argv:
        print(json.dumps(phases()))
        return
    runs = int(sys.argv[1]) if sys.argv[1:] else 11
    lines = [f"{'question':<44}{'passed':>8}{'wall s':>9}{'slowest':>9}{'cpu s':>8}   limit"]
    with tempfile.TemporaryDirectory() as home:
        for name, arguments in _QUESTIONS:
            measured = [_command(arguments, home) for _ in range(runs)]
            walls, cpus, passed = [m[0] for m in measured], [m[1] for m in measured], measured[0][2]["candidates"]
            wall = statistics.median(walls)
            verdict = "met" if wall <= _LIMIT_SECONDS else "MISSED"
            lines.append(
                f"{name:<44}{passed:>8}{wall:>9.2f}{max(walls):>9.2f}{statistics.median(cpus):>8.2f}"
                f"   {_LIMIT_SECONDS:g} s {verdict}"
            )
        lines += ["", f"{'where the time of the first goes':<44}{'share':>8}{'median s':>10}"]
        lines += _measured_phases(runs, home)
    load = os.getloadavg()[0]
    lines += ["", f"{runs} runs each, {os.cpu_count()} cores, load average {load:.1f} at the end: medians, beside what"
              " else ran."]  # fmt: skip
    text = "\n".join(lines) + "\n"
    print(text, end="")
    _RESULTS.write_text(text)


if __name__ == "__main__":
    main()
