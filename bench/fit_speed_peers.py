"""Decode speeds by insource, by llmfit and by the rule "0.7 x bandwidth", on the same published rows.

    PYTHONPATH=. python bench/fit_speed_peers.py [FOLDER]   prints a table, writes bench/results/fit_speed_peers.txt

llmfit 1.1.17 comes from the package index into an environment of its own (in FOLDER, else a temporary one) and runs as
it is. It is given each row's device as a hardware profile with the very bandwidth and throughput of our table, so that
what is compared is what the tools make of them. insource's figures are those of devices left out (five folds);
llmfit's constants are its own. Rows whose model or quantisation it does not know count for nobody.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import exp, log
from pathlib import Path
from statistics import median

from bench.fit_peers import environment
from bench.fit_speed import DECODE, Scored, cross_validate, samples_of
from tests.fit_measured import Measured, read_measured

OUT = Path(__file__).parent / "results" / "fit_speed_peers.txt"
Asked = tuple[str, str, str]
"""Device, model and quantisation."""


def asked(row: Measured) -> Asked:
    return row.device, row.hub_id, row.spec.weights.quantization


def llmfit(rows: Sequence[Measured], programs: Path, folder: Path) -> dict[Asked, float]:
    """Tokens per second; what it does not answer is left out."""
    first: dict[Asked, Measured] = {}
    for row in rows:
        first.setdefault(asked(row), row)

    def ask(item: tuple[int, Measured]) -> float | None:
        number, row = item
        profile = folder / f"profile-{number}.json"
        profile.write_text(json.dumps(_profile(row, profile.stem)), "utf-8")
        command = ["--profile", str(profile), "plan", row.hub_id, "--context", "4096", "--json"]
        quantization = ["--quant", row.spec.weights.quantization]
        done = subprocess.run(
            [str(programs / "llmfit"), *command, *quantization], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            return None
        path = "cpu_only" if row.vendor == "CPU" else "gpu"
        paths = {found["path"]: found["estimated_tps"] for found in json.loads(done.stdout)["run_paths"]}
        return paths.get(path) or None

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(ask, enumerate(first.values())))
    return {key: answer for key, answer in zip(first, answers, strict=True) if answer}


def _profile(row: Measured, name: str) -> dict[str, object]:
    bandwidth = row.part.bandwidth / 1e9
    hardware = {
        "total_ram_gb": 512.0,
        "unified_memory": row.part.device.unified,
        "gpu_memory_bandwidth_gbps": bandwidth,
        "ddr_bandwidth_gbps": bandwidth if row.vendor == "CPU" or row.part.device.unified else 89.6,
        "gpu_compute_tflops_fp16": row.part.flops / 1e12,
    }
    return {"name": name, "schema_version": 1, "match": {"gpu_name_contains": row.device}, "hardware": hardware}


def table(scored: Sequence[Scored], answers: Mapping[Asked, float]) -> list[str]:
    def line(name: str, part: Sequence[Scored]) -> str:
        errors = [
            [each.error for each in part],
            [log(answers[asked(each.row)]) - log(each.row.decode or 1) for each in part],
            [each.rule_error for each in part],
        ]
        figures = "".join(f"{median(abs(exp(error) - 1) for error in of):>14.1%}" for of in errors)
        return f"{name:<28}{len(part):>6}{figures}"

    both = [each for each in scored if asked(each.row) in answers]
    lines = [f"{'median error':<28}{'rows':>6}{'insource':>14}{'llmfit 1.1.17':>14}{'0.7 x bw':>14}", line("all", both)]
    groups: defaultdict[str, list[Scored]] = defaultdict(list)
    for each in both:
        groups[each.row.vendor].append(each)
        groups[f"{each.row.source}, {each.row.vendor}"].append(each)
    return [*lines, *(line(f"  {name}", groups[name]) for name in sorted(groups, key=lambda name: -len(groups[name])))]


def main() -> None:
    data = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not data.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return
    scored = cross_validate(samples_of(read_measured(data).rows, "decode"), DECODE)
    with tempfile.TemporaryDirectory() as temporary:
        programs = environment(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary))
        answers = llmfit([each.row for each in scored], programs, Path(temporary))
    lines = [
        f"Decode speed of {len(scored):,} published rows; llmfit answers for those below.",
        "insource: devices that its constants were not fitted on. llmfit: the same bandwidth as a hardware profile.",
        "",
        *table(scored, answers),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    OUT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
