"""Predicted against measured decode speed of the default model on this machine, at three depths of the context.

One run, so that both see the same machine: the probe (`insource machine --measure`) and short answers of the real
engine take turns, and what is reported is their ratio. Each depth has a slot of its own, whose prompt is read once;
the engine's own `timings` are the truth. Probes and answers that did not get the cores to themselves (by their
processes' CPU time) are counted and left out. Two predictions: from the probe alone, and after a correction that
learned from answers at the smallest depth only.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil

from insource.cli.session import load_settings
from insource.core.architecture import ModelSpec
from insource.core.hardware import Machine, Rate
from insource.core.headers import JSON
from insource.core.ports import Call
from insource.core.values import EngineSettings
from insource.engines.llamacpp import LlamaCppEngine
from insource.engines.models.cache import ModelCache
from insource.engines.models.gguf import read_header
from insource.fit.calibration import NO_CORRECTION, update
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.memory import predict_memory
from insource.fit.speed import Corrections, predict_speed
from insource.fit.values import RunSettings
from insource.fit.work import Load
from insource.machine.measure import Measurement, measure
from insource.machine.parse import parse_machine
from insource.workflows.files.models import find

OUT = Path(__file__).parent / "results" / "fit_speed_here.txt"
DEPTHS = (256, 2048, 6144)
ANSWER = 24
ENOUGH = 5
"""Quiet probes, and quiet answers at each depth."""
MOST_SECONDS = 240.0
QUIET = 0.86
"""Of the cores' time that a process must have got; an answer at a small depth gets 0.9 on a machine that does nothing
else, because some of it is not shared by the threads."""


THREADS = 2
CONTEXT = 8192
RUN = RunSettings(context_tokens=CONTEXT * len(DEPTHS), slots=len(DEPTHS))


@dataclass(slots=True, kw_only=True)
class Seen:
    """Quiet figures, and how many there were in all."""

    probes: list[Measurement]
    answers: dict[int, list[float]]
    """Tokens per second by depth."""
    tried: int = 0

    @property
    def enough(self) -> bool:
        return min(len(self.probes), *(len(speeds) for speeds in self.answers.values())) >= ENOUGH


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def answer(engine: LlamaCppEngine, slot: int) -> tuple[float, float]:
    """Tokens per second, and the share of its threads' time that the engine got."""
    body = {
        "prompt": [100 + n % 4000 for n in range(DEPTHS[slot])],
        "n_predict": ANSWER,
        "id_slot": slot,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": True,
    }
    assert engine.pid is not None
    process = psutil.Process(engine.pid)
    before, began = cpu_seconds(process), time.perf_counter()
    reply = await engine.send(Call(path="/completion", body=json.dumps(body).encode(), headers=JSON))
    timings = json.loads(await reply.read())["timings"]
    share = (cpu_seconds(process) - before) / (time.perf_counter() - began) / THREADS
    assert timings["predicted_n"] == ANSWER, timings
    return timings["predicted_per_second"], share


def probe() -> tuple[Measurement, float]:
    process = psutil.Process()
    before, began = cpu_seconds(process), time.perf_counter()
    measured = measure(threads=THREADS, cache_bytes=32 << 20, free_bytes=8 << 30)
    return measured, (cpu_seconds(process) - before) / (time.perf_counter() - began) / THREADS


def machine_of(probes: list[Measurement]) -> Machine:
    """This machine's CPU with the rates of the probes; its other figures do not matter for the speed."""
    machine = parse_machine("ddr5-5600")
    bandwidth = median(each.bandwidth_bytes_per_second.median for each in probes)
    flops = median(each.matmul_flops.median for each in probes)
    cpu = replace(
        machine.cpu,
        bandwidth_bytes_per_second=Rate(value=bandwidth, source="measured"),
        matmul_flops=Rate(value=flops, source="measured"),
    )
    return replace(machine, devices=(cpu,), cores=THREADS)


def predicted(spec: ModelSpec, machine: Machine, depth: int, corrections: Corrections) -> float:
    memory = predict_memory(spec, machine, RUN)
    found = predict_speed(spec, machine, RUN, memory=memory, load=Load(depth_tokens=depth), corrections=corrections)
    assert found is not None
    return found.decode_tokens_per_second.mid


async def watch(engine: LlamaCppEngine, most_seconds: float) -> Seen:
    seen = Seen(probes=[], answers={depth: [] for depth in DEPTHS})
    for slot in range(len(DEPTHS)):
        await answer(engine, slot)  # reads the prompt, which then lies in the slot's cache
    end = time.monotonic() + most_seconds
    while not seen.enough and time.monotonic() < end:
        if len(seen.probes) < ENOUGH:
            measured, share = probe()
            seen.tried += 1
            if share >= QUIET:
                seen.probes.append(measured)
        for slot, depth in enumerate(DEPTHS):
            speed, share = await answer(engine, slot)
            seen.tried += 1
            if share >= QUIET:
                seen.answers[depth].append(speed)
    return seen


def report(seen: Seen, spec: ModelSpec) -> list[str]:
    machine = machine_of(seen.probes)
    bandwidth, flops = machine.cpu.bandwidth_bytes_per_second, machine.cpu.matmul_flops
    assert bandwidth is not None
    assert flops is not None
    quiet = len(seen.probes) + sum(len(speeds) for speeds in seen.answers.values())
    lines = [
        f"SmolLM2-135M Q4_1 on {THREADS} threads; {quiet} of {seen.tried} probes and answers had the cores alone",
        f"probe: {bandwidth.value / 1e9:.1f} GB/s, {flops.value / 1e9:.0f} GFLOPS fp32 (median of {len(seen.probes)})",
        "",
        f"{'':>32}{'predicted / measured':>34}",
        f"{'depth':>7}{'measured tokens/s':>25}{'from the probe alone':>22}{'corrected at depth 256':>25}",
    ]
    correction = NO_CORRECTION
    for speed in seen.answers[DEPTHS[0]]:
        correction = update(correction, speed, predicted(spec, machine, DEPTHS[0], Corrections()))
    for depth, speeds in seen.answers.items():
        measured, middle = median(speeds), depth + ANSWER // 2
        plain = predicted(spec, machine, middle, Corrections()) / measured
        corrected = predicted(spec, machine, middle, Corrections(decode=correction)) / measured
        shown = f"{measured:.1f} ({min(speeds):.1f}-{max(speeds):.1f}, n={len(speeds)})"
        lines.append(f"{depth:>7}{shown:>28}{plain:>19.2f}{corrected:>25.2f}")
    return lines


async def main() -> None:
    model = find("", cache=ModelCache(load_settings().model_cache))
    spec = spec_of_gguf(read_header(model.path), name=model.ref)
    settings = EngineSettings(context_tokens=RUN.context_tokens, slots=RUN.slots, threads=THREADS)
    engine = LlamaCppEngine(model, settings)
    await engine.start()
    try:
        seen = await watch(engine, float(sys.argv[1]) if len(sys.argv) > 1 else MOST_SECONDS)
    finally:
        await engine.close()
    if not seen.probes or not all(seen.answers.values()):
        print("the machine was never quiet: no figure is worth anything")
        return
    text = "\n".join(report(seen, spec)) + "\n"
    print(text)
    OUT.write_text(text, "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
