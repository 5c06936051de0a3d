"""Asks the allocator: one process a model, any number of settings each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from insource.core.architecture import ModelSpec
from insource.core.hardware import Device, Machine
from insource.engines.models.gguf import read_header
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.memory import predict_memory
from insource.fit.values import CacheType, MemoryPrediction, RunSettings
from tests.oracle.facts import Case

_SECONDS = 120

CONTEXTS = (4096, 32_768, 131_072)
CACHES: tuple[CacheType, ...] = ("f16", "q8_0", "q4_0")
SLOTS = (1, 4)
RUNS = tuple(
    RunSettings(context_tokens=context, cache_type_k=cache, cache_type_v=cache, slots=slots)
    for context in CONTEXTS
    for cache in CACHES
    for slots in SLOTS
)
"""The settings that every model is asked about by `make promises`."""
HALF_OF_THE_RUNS = tuple(
    RunSettings(context_tokens=context, cache_type_k=cache, cache_type_v=cache, slots=SLOTS[(i + j) % 2])
    for i, context in enumerate(CONTEXTS)
    for j, cache in enumerate(CACHES)
)
"""Every context with every cache, and each of them with both numbers of slots."""
ODD_RUNS = (
    RunSettings(context_tokens=5000, slots=3, cache_type_k="q5_1", cache_type_v="q5_1"),
    RunSettings(context_tokens=300, slots=1, cache_type_k="f32", cache_type_v="f32"),
    RunSettings(context_tokens=10_000, slots=8, ubatch_tokens=256, cache_type_k="bf16", cache_type_v="bf16"),
    RunSettings(context_tokens=8192, slots=2, flash_attention=False),
    RunSettings(context_tokens=4096, slots=1, output_tokens=512),
    RunSettings(context_tokens=16_384, slots=1, flash_attention=False, ubatch_tokens=1024),
)
"""What padding, small batches, other cache types, attention without the flash kernel and all tokens' logits do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What llama.cpp would allocate on a machine with a CPU alone."""

    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    case: Case
    run: RunSettings
    truth: Truth
    predicted: MemoryPrediction

    @property
    def total_error(self) -> float:
        return self.predicted.total_bytes / self.truth.total_bytes - 1

    @property
    def kv_error(self) -> float:
        return self.predicted.kv_cache_bytes / self.truth.kv_cache_bytes - 1

    @property
    def label(self) -> str:
        kind = f"{self.run.cache_type_k}/{self.run.cache_type_v}"
        return f"{self.case.name}, {self.run.context_tokens} tokens, {kind}, {self.run.slots} slots"


def truths(path: Path, runs: Sequence[RunSettings]) -> list[Truth]:
    requests: list[dict[str, Any]] = [{"path": str(path)}, *(asdict(run) for run in runs)]
    done = subprocess.run(
        [sys.executable, "-m", "insource.engines.allocator_process"],
        input="\n".join(map(json.dumps, requests)),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{path.name}: {done.stderr.strip()[-500:] or f'exit code {done.returncode}'}")
    return [
        Truth(weights_bytes=found["model"], kv_cache_bytes=found["context"], compute_bytes=found["compute"])
        for found in map(json.loads, done.stdout.splitlines())
    ]


def compare(case: Case, folder: Path, runs: Sequence[RunSettings]) -> list[Compared]:
    """Writes the model's header to the folder; both sides read it from there."""
    path = case.write(folder)
    spec = spec_of_header(case, path)
    machine = cpu_machine()
    return [
        Compared(case=case, run=run, truth=truth, predicted=predict_memory(spec, machine, run))
        for run, truth in zip(runs, truths(path, runs), strict=True)
    ]


def compare_all(cases: Sequence[Case], folder: Path, runs: Sequence[RunSettings]) -> list[Compared]:
    with ThreadPoolExecutor(2) as pool:
        return [row for rows in pool.map(lambda case: compare(case, folder, runs), cases) for row in rows]


def spec_of_header(case: Case, path: Path) -> ModelSpec:
    return spec_of_gguf(read_header(path), name=case.name)


def cpu_machine() -> Machine:
    """With more memory than any case needs."""
    plenty = 1 << 42
    cpu = Device(
        name="CPU",
        description="",
        kind="cpu",
        backend="cpu",
        memory_total_bytes=plenty,
        memory_free_bytes=plenty,
    )
    return Machine(name="plenty", devices=(cpu,), cores=2)
