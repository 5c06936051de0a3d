"""Every published speed in the shared data as one kind of question to `fit/`: runs by many users, a table by one
benchmark program, and one APU by its owner. What each source's engine was is part of the question.

* `fit/benchmark_runs_2026-08.json.gz`: engines of 2026; `fit_rows.py` says which runs can be asked.
* `fit/localscore_half.tsv.gz`: llamafile of early 2025. A figure is the mean of nine tests' tokens per second, with
  the prompts and answers below (Mozilla-Ocho/llamafile, localscore/).
* `fit/strix_halo_half.jsonl.gz`: llama-bench of August 2025 on a Ryzen AI Max+ 395 with 128 GB.

A device that the machine tables do not know, or a model that the shipped table does not, can't be asked; nothing is
left out for how far a prediction is off.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from insource.core.architecture import ModelSpec
from insource.core.errors import InsourceError
from insource.core.hardware import Device
from insource.fit.families import spec_of_family
from insource.fit.speed import Part, part_of
from insource.fit.values import RunSettings
from insource.fit.work import Load
from insource.machine.devices import GIB, find_described, with_rates
from insource.machine.parse import parse_machine
from insource.machine.processors import find_platform
from tests.fit_rows import Run, processor_device, read_runs, unusable, unusable_prefill

LOCALSCORE_TESTS = (
    (1024, 16), (4096, 256), (2048, 256), (2048, 768), (1024, 1024), (1280, 3072), (384, 1152), (64, 1024), (16, 1536),
)  # fmt: skip
"""Prompt and answer, in tokens."""
_QUANTIZATIONS: Mapping[str, str] = {
    "Q5_K - Medium": "Q5_K_M", "Q4_K - Medium": "Q4_K_M", "Q4_K - Small": "Q4_K_S", "Q3_K - Large": "Q3_K_L",
    "Q2_K - Medium": "Q2_K", "all F32": "F32",
}  # fmt: skip
_STRIX_MODELS: Mapping[str, tuple[str, str]] = {
    "llama-2-7b.Q4_K_M": ("meta-llama/Llama-2-7b-hf", "Q4_K_M"),
    "Llama-4-Scout-17B-16E-Instruct-UD-Q4_K_XL": ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "Q4_K_M"),
    "gpt-oss-20b-F16": ("openai/gpt-oss-20b", "F16"),
    "Qwen3-235B-A22B-Instruct-2507-UD-Q3_K_XL": ("Qwen/Qwen3-235B-A22B", "Q3_K_M"),
    "Qwen3-32B-Q8_0": ("Qwen/Qwen3-32B", "Q8_0"),
    "shisa-v2-llama3.3-70b.i1-Q4_K_M": ("meta-llama/Llama-3.1-70B", "Q4_K_M"),
    "gemma-3-27b-it-UD-Q4_K_XL": ("google/gemma-3-27b-it", "Q4_K_M"),
    "GLM-4.5-Air-UD-Q4_K_XL": ("zai-org/GLM-4.5-Air", "Q4_K_M"),
}
"""Unsloth's dynamic types lie within some 5 % of the static ones."""
_VENDORS: Mapping[str, str] = {"cuda": "NVIDIA", "rocm": "AMD", "vulkan": "AMD", "metal": "Apple", "sycl": "Intel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row: what was asked, and the tokens per second that somebody saw."""

    source: str
    device: str
    """What folds and weights are by: runs on one kind of device stand and fall together."""
    vendor: str
    """NVIDIA, AMD, Apple, Intel or CPU."""
    spec: ModelSpec
    hub_id: str
    settings: RunSettings
    part: Part
    decode_loads: tuple[Load, ...]
    """The figure is the mean over these."""
    decode: float | None
    prefill_loads: tuple[Load, ...]
    prefill: float | None
    engine: str
    """What ran, as far as the source says what set its speed apart."""
    repeats: object
    """Equal for rows that repeat another's user, device, model and figures."""

    @property
    def family(self) -> str:
        """Backend and engine."""
        return f"{self.part.device.backend}/{self.engine}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    rows: list[Measured]
    left_out: list[str]
    """Why, once for each row that can't be asked."""


def read_measured(data: Path) -> Read:
    rows: list[Measured] = []
    left_out: list[str] = []
    for found in (*_published(data), *_localscore(data), *_strix_halo(data)):
        if isinstance(found, str):
            left_out.append(found)
        else:
            rows.append(found)
    return Read(rows=rows, left_out=left_out)


def _published(data: Path) -> Iterator[Measured | str]:
    for run in read_runs(data):
        why = unusable(run)
        yield _of_run(run) if why is None else f"runs: {why}"


def _of_run(run: Run) -> Measured:
    assert run.spec is not None
    device = run.machine.devices[0]
    return Measured(
        source="runs",
        device=device.description,
        vendor="CPU" if device.kind == "cpu" else _VENDORS[device.backend],
        spec=run.spec,
        hub_id=(run.row["model"].get("baseModel") or run.row["model"])["hfId"],
        settings=run.settings,
        part=part_of(device),
        decode_loads=(run.load,),
        decode=run.decode,
        prefill_loads=(run.prompt_load,),
        prefill=run.prefill if unusable_prefill(run) is None else None,
        engine=run.load.engine,
        repeats=(
            run.gpu, run.row["user"]["id"], run.model, run.quantization, run.decode, run.prefill, run.depth_tokens
        ),
    )  # fmt: skip


def _localscore(data: Path) -> Iterator[Measured | str]:
    with gzip.open(data / "fit" / "localscore_half.tsv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            device, spec = localscore_device(row), _localscore_spec(row["model_name"], row["model_quant"])
            if spec is None:
                yield "localscore: model not known"
                continue
            if device is None:
                yield "localscore: device not known"
                continue
            yield Measured(
                source="localscore",
                device=device.description,
                vendor="CPU" if device.kind == "cpu" else _VENDORS[device.backend],
                spec=spec,
                hub_id=spec.name,
                settings=RunSettings(context_tokens=4352, slots=1, flash_attention=False),
                part=part_of(device),
                decode_loads=tuple(Load(depth_tokens=prompt + answer // 2) for prompt, answer in LOCALSCORE_TESTS),
                decode=float(row["gen_tps"]),
                prefill_loads=tuple(Load(depth_tokens=prompt) for prompt, _ in LOCALSCORE_TESTS),
                prefill=float(row["prompt_tps"]),
                engine=_llamafile(row),
                repeats=tuple(row[name] for name in ("accel_name", "model_name", "gen_tps", "prompt_tps")),
            )


def _llamafile(row: Mapping[str, str]) -> str:
    """llamafile 0.9 starts a GPU's kernels several times slower on Windows, and on processors with AVX512-BF16. An RTX
    3090 and 1B: 301 to 368 tokens/s on Linux, 105 to 186 on Windows, 115 on Linux with a Ryzen 9 9900X."""
    host = find_platform(row["system_cpu"])
    slow = host is not None and "avx512_bf16" in host.device.features and row["accel_type"] == "GPU"
    return f"llamafile{', Windows' if row['system_os'] == 'Windows' else ''}{', AVX512-BF16' if slow else ''}"


def localscore_device(row: Mapping[str, str]) -> Device | None:
    """The processor alone for what ran on it, as the machine tables have them."""
    if row["accel_type"] == "CPU":
        return processor_device(row["accel_name"]) if find_platform(row["accel_name"]) else None
    memory = float(row["accel_ram"])
    system = float(row["system_ram"])
    for size in (memory, system, memory * 1.06):
        known = find_described(row["accel_name"], round(size * GIB))
        if known is not None:
            empty = Device(
                name=known.backend, description=known.name, kind=known.kind, backend=known.backend,
                memory_total_bytes=round(memory * GIB), memory_free_bytes=round(memory * GIB), unified=known.unified,
            )  # fmt: skip
            return with_rates(empty, known)
    return None


def _localscore_spec(name: str, quantization: str) -> ModelSpec | None:
    plain = name.removeprefix("Meta ").replace(" ", "-")
    try:
        return spec_of_family(plain, quantization=_QUANTIZATIONS.get(quantization, quantization))
    except InsourceError:
        return None


def _strix_halo(data: Path) -> Iterator[Measured | str]:
    device = parse_machine("Ryzen AI Max+ 395").devices[0]
    with gzip.open(data / "fit" / "strix_halo_half.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            spec = _strix_spec(row["model"])
            if spec is None:
                yield "strix halo: model not known"
                continue
            yield _of_strix(row, spec, device)


def _of_strix(row: Mapping[str, Any], spec: ModelSpec, device: Device) -> Measured:
    backend = "vulkan" if "vulkan" in row["backend"] else "rocm"
    depth = row["depth"] + row["tokens"] // 2 if row["phase"] == "decode" else row["tokens"]
    load = Load(depth_tokens=depth)
    speed: float = row["tokens_per_second"]
    return Measured(
        source="strix halo",
        device=device.description,
        vendor="AMD",
        spec=spec,
        hub_id=spec.name,
        settings=RunSettings(
            context_tokens=max(256, row["tokens"]), slots=1, flash_attention=row["flash_attention"], output_tokens=512
        ),
        part=part_of(replace(device, backend=backend)),
        decode_loads=(load,),
        decode=speed if row["phase"] == "decode" else None,
        prefill_loads=(load,),
        prefill=speed if row["phase"] == "prefill" else None,
        engine="llama.cpp, August 2025",
        repeats=(*(row[name] for name in ("model", "backend", "flash_attention", "phase", "tokens")), speed),
    )


@cache
def _strix_spec(name: str) -> ModelSpec | None:
    model, quantization = _STRIX_MODELS.get(name, ("", ""))
    return spec_of_family(model, quantization=quantization) if model else None
