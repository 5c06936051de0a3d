"""Requests a minute within a latency target, for the lengths of recorded traffic, and how long it takes to find out.

The lengths are those of recorded traffic in the shared data (real requests of 2023), by data set. Speeds are
predicted, so the figures say what the simulation makes of them, not what a machine was seen to carry.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.recorded_log import build
from tests.fit_models import spec_named

from insource.core.architecture import ModelSpec
from insource.core.hardware import Machine
from insource.fit.capacity import LatencyTarget, Lengths, ServiceSpeed, capacity
from insource.fit.memory import predict_memory
from insource.fit.speed import predict_speed
from insource.fit.values import RunSettings, SpeedPrediction
from insource.fit.work import Load
from insource.machine.parse import parse_machine

OUT = Path(__file__).parent / "results" / "fit_capacity.txt"
TARGET = LatencyTarget(seconds=5.0)
ASKED = (
    ("ddr5-5600", "smollm2-135m"),
    ("rtx 3060", "qwen3-8b"),
    ("rtx 4090", "qwen3-8b"),
    ("rtx 4090", "qwen3-32b"),
    ("m4 max 64gb", "qwen3-30b-a3b"),
)


def lengths_by_set() -> dict[str, list[Lengths]]:
    found: defaultdict[str, list[Lengths]] = defaultdict(list)
    for line in build(Path(os.environ.get("INSOURCE_DATA") or "../shared/data")):
        usage = (line.get("response") or {}).get("usage") or {}
        prompt, answer = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        if prompt + answer:
            found["-".join(line["id"].split("-")[:-1])].append(Lengths(prompt, answer))
    return dict(found)


def service_speed(spec: ModelSpec, machine: Machine, run: RunSettings, lengths: Sequence[Lengths]) -> ServiceSpeed:
    """At the mean depth of the answers, with as many slots as `run` has."""
    prompt = sum(each.prompt_tokens for each in lengths) // len(lengths)
    depth = prompt + sum(each.answer_tokens for each in lengths) // len(lengths) // 2
    memory = predict_memory(spec, machine, run)

    def at(load: Load) -> SpeedPrediction:
        found = predict_speed(spec, machine, run, memory=memory, load=load)
        assert found is not None
        return found

    steps = [at(Load(depth_tokens=depth, concurrency=n)) for n in range(1, run.slots + 1)]
    return ServiceSpeed(
        prefill_tokens_per_second=at(Load(depth_tokens=max(1, prompt))).prefill_tokens_per_second.mid,
        step_seconds=tuple(1 / step.decode_tokens_per_second.mid for step in steps),
    )


def main() -> None:
    run = RunSettings(slots=4)
    lines = [
        f"95 % of requests within {TARGET.seconds:.0f} s, {run.slots} slots, Q4_K_M, speeds predicted",
        "",
        f"{'requests (mean prompt + answer)':<46}{'machine':<14}{'model':<16}"
        f"{'a minute':>9}{'busy':>7}{'took s':>8}  bound by",
    ]
    for name, lengths in sorted(lengths_by_set().items()):
        prompt = sum(each.prompt_tokens for each in lengths) / len(lengths)
        answer = sum(each.answer_tokens for each in lengths) / len(lengths)
        shown = f"{name}, {len(lengths):,} ({prompt:.0f} + {answer:.0f})"
        for where, model in ASKED:
            spec, machine = spec_named(model, "Q4_K_M"), parse_machine(where)
            speed = service_speed(spec, machine, run, lengths)
            began = time.perf_counter()
            found = capacity(lengths, speed, TARGET)
            took = time.perf_counter() - began
            lines.append(
                f"{shown:<46}{where:<14}{model:<16}{found.requests_per_minute:>9.1f}{found.utilisation:>7.0%}{took:>8.2f}"
                f"  {found.bottleneck}"
            )
            shown = ""
    text = "\n".join(lines) + "\n"
    print(text)
    OUT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
