"""The published speed runs (`fit/benchmark_runs_2026-08.json.gz`) as questions to `fit/`: which of them can be asked
at all, and what exactly was asked. The rules look at what a run states, never at how far a prediction is off.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from insource.core.architecture import ModelSpec
from insource.core.errors import InsourceError, UsageError
from insource.core.hardware import Device, Machine
from insource.fit.speed import Part, part_of
from insource.fit.values import CacheType, RunSettings
from insource.fit.work import Engine, Load, cache_bytes_read, multiplied_parameters, weight_bytes_read
from insource.machine.devices import with_rates
from insource.machine.parse import parse_machine
from insource.machine.processors import find_platform
from tests.fit_models import model_name, spec_named

_ENGINES: Mapping[str, Engine] = {
    "llama.cpp": "llama.cpp", "ollama": "llama.cpp", "lmstudio": "llama.cpp", "vllm": "vllm", "sglang": "vllm",
    "mlx": "mlx",
}  # fmt: skip
_SPECULATION = re.compile(r"spec[-_ ]?(type|dec|ulative)|\bmtp\b|dflash|eagle|draft|dspark|ngram", re.IGNORECASE)
_NO_SPECULATION = re.compile(
    r"[\w./-]*[-_.]mtp[-_.][\w./-]*|[\w./-]+[-_]mtp\b|(no|without|disabled?) (mtp|spec\w*)|mtp (off|disabled)",
    re.IGNORECASE,
)
"""A model's name with MTP in it says that the weights hold a draft head, not that it was used."""
_OFFLOAD = re.compile(r"n-cpu-moe|-ncmoe|--cpu-moe|-ot |override-tensor|no-kv-offload|-nkvo")
_SIMULTANEOUS = re.compile(r"simultaneous|concurrent|-np (?!1\b)\d")
_SEVERAL = re.compile(r"(Vulkan|ROCm|CUDA)\d,")
_PARALLEL = re.compile(r"(-sm|split-mode) (row|tensor|graph)|tensor.parallel", re.IGNORECASE)
_CACHES: Mapping[str, CacheType] = {
    "f16": "f16", "fp16": "f16", "bf16": "bf16", "auto": "f16", "q8_0": "q8_0", "q8": "q8_0", "fp8": "q8_0",
    "fp8_e4m3": "q8_0", "q4_0": "q4_0", "q4_1": "q4_1", "q5_0": "q5_0", "q5_1": "q5_1", "f32": "f32",
    "iq4_nl": "iq4_nl",
}  # fmt: skip
"""fp8 is a byte a value; q8_0's 34 for 32 is the nearest."""
_DEFAULT_ANSWER = 128
_GIB = 2**30
_LEAST_PROMPT = 256
_MOST_THROUGHPUT = 4.2
"""Of the table's fp16 with fp32 accumulation: what int8 and fp8 units do beside it."""


@dataclass(frozen=True)
class Run:
    """One row, read."""

    row: Mapping[str, Any]

    @cached_property
    def gpu(self) -> str:
        return cast("str", self.row["hardwareGroupLabel"])

    @cached_property
    def engine(self) -> Engine | None:
        return _ENGINES.get(self.row["engine"]["engineName"])

    @cached_property
    def text(self) -> str:
        return f"{self.row['engineFlags']['commandSnippet'] or ''} | {self.row['notes'] or ''}"

    @cached_property
    def command(self) -> str:
        return self.row["engineFlags"]["commandSnippet"] or ""

    @cached_property
    def model(self) -> str | None:
        base = self.row["model"].get("baseModel")
        return model_name(self.row["model"]["hfId"], *([base["hfId"]] if base else []))

    @cached_property
    def quantization(self) -> str:
        return self.row["engine"]["quantization"]

    @cached_property
    def spec(self) -> ModelSpec | None:
        try:
            return spec_named(self.model, self.quantization) if self.model else None
        except InsourceError:
            return None

    @property
    def decode(self) -> float | None:
        return self.row["tokSOut"]

    @property
    def prefill(self) -> float | None:
        return self.row["tokSPrefill"]

    @cached_property
    def speculates(self) -> bool:
        flags = self.row["engineFlags"]
        return bool(
            flags["specDecoding"] or flags["mtpEnabled"] or _SPECULATION.search(_NO_SPECULATION.sub("", self.text))
        )

    @cached_property
    def layers_offloaded(self) -> int | None:
        """None: not stated, which means all."""
        found = re.search(r"-ngl (\d+)|n-gpu-layers (\d+)", self.command)
        number = int(found.group(1) or found.group(2)) if found else self.row["engineFlags"]["gpuLayers"]
        return None if number is None or number < 0 else number

    @cached_property
    def depth_tokens(self) -> int:
        """Filled when the middle token of the answer is made. llama-bench generates into an empty context unless -d
        says otherwise; but runs that state the prompt's length as the context's too, or a shorter context than their
        command has, are series over the depth: their speed falls with it."""
        answer, prompt, context = (
            self.row["outputTokens"] or _DEFAULT_ANSWER,
            self.row["promptTokens"] or 0,
            self.row["contextLength"],
        )
        depth = re.search(r"-d (\d+)", self.command)
        if depth:
            return int(depth.group(1)) + answer // 2
        stated = re.search(r"-c (\d+)", self.command)
        if prompt == context or (not prompt and stated and int(stated.group(1)) > context):
            return context + answer // 2
        return answer // 2 if "llama-bench" in self.text else prompt + answer // 2

    @cached_property
    def reads_into_context(self) -> bool:
        """The prompt was read behind others (llama-bench -d)."""
        return "-d " in self.command

    @cached_property
    def settings(self) -> RunSettings:
        def cache(flag: str) -> CacheType:
            found = re.search(rf"(?:-ct{flag}|cache-type-{flag}) (\w+)", self.command)
            stated = found.group(1) if found else self.row["engineFlags"]["kvCacheDtype"] or "f16"
            return _CACHES.get(stated.lower(), "f16")

        ubatch = re.search(r"-ub (\d+)|ubatch-size (\d+)", self.command)
        default = 512 if self.engine == "llama.cpp" else 2048
        return RunSettings(
            context_tokens=max(256, self.row["contextLength"]),
            slots=1,
            cache_type_k=cache("k"),
            cache_type_v=cache("v"),
            ubatch_tokens=int(ubatch.group(1) or ubatch.group(2)) if ubatch else default,
        )

    @cached_property
    def load(self) -> Load:
        return Load(depth_tokens=self.depth_tokens, engine=self.engine or "llama.cpp")

    @cached_property
    def machine(self) -> Machine:
        """From our table; the CPU beside the GPU is the table's assumption."""
        hardware = self.row["hardware"]
        if hardware["hwClass"] == "CPU_ONLY":
            return self._processor_machine
        memory = hardware["vramGb"] or hardware["unifiedMemoryGb"]
        count = f"{hardware['gpuCount']}x " if hardware["gpuCount"] > 1 else ""
        exact = f" {memory:.0f}GB" if hardware["unifiedMemoryGb"] or self.gpu == "RTX 3080" else ""
        return parse_machine(f"{count}{self.gpu}{exact}")

    @cached_property
    def _processor_machine(self) -> Machine:
        """Of a run that names a processor: that alone, or the graphics beside it. Raises UsageError."""
        name, backend = self.row["hardware"]["cpu"] or "", self.row["engine"]["backend"]
        if backend == "vulkan":
            machine = parse_machine(name)
            return replace(machine, devices=(replace(machine.devices[0], backend="vulkan"), machine.cpu))
        platform = find_platform(name)
        if platform is None or backend != "cpu":
            raise UsageError(f"{name!r} on {backend!r} is not known.", next_step="Leave the run out.")
        return replace(parse_machine("ddr5"), devices=(processor_device(name),))

    @property
    def prompt_load(self) -> Load:
        """For the speed of reading the prompt."""
        return Load(depth_tokens=self.row["promptTokens"] or 0, engine=self.load.engine)

    @property
    def memory_bytes(self) -> int:
        machine = self.machine
        return sum(device.memory_total_bytes for device in machine.accelerators or machine.devices)

    @property
    def bandwidth(self) -> float:
        rate = self.machine.devices[0].bandwidth_bytes_per_second
        assert rate is not None
        return rate.value

    @property
    def whole(self) -> Part:
        """The GPU with all layers; so is a layer split over equal ones, which work one after the other."""
        return part_of(self.machine.devices[0])


def processor_device(name: str) -> Device:
    """A processor alone, as the machine tables have it. Raises UsageError."""
    found = find_platform(name)
    if found is None:
        raise UsageError(f"The processor {name!r} is not known.", next_step="Leave it out.")
    return with_rates(replace(parse_machine("ddr5").cpu, description=found.device.name), found.device)


def read_runs(shared_data: Path) -> list[Run]:
    """Distinct by id: a run stands under every preset that its hardware matches."""
    with gzip.open(shared_data / "fit" / "benchmark_runs_2026-08.json.gz", "rt", encoding="utf-8") as file:
        presets = json.load(file)["presets"]
    rows = {row["id"]: row for preset in presets.values() for row in preset["rows"]}
    return [Run(row) for row in rows.values()]


def unusable(run: Run) -> str | None:
    """Why a run's decode speed can't be asked for; None: it can. In this order, so that every run has one reason."""
    return next(_reasons(run), None)


def unusable_prefill(run: Run) -> str | None:
    """The same for the speed of reading a prompt, of a run whose decode speed is usable."""
    prompt = run.row["promptTokens"] or 0
    if not run.prefill:
        return "states no prefill speed"
    if prompt < _LEAST_PROMPT:
        return "a prompt too short to time"
    if run.reads_into_context or run.row["hardware"]["gpuCount"] > 1:
        return "prompt behind others, or on several GPUs"
    assert run.spec is not None
    if 2 * multiplied_parameters(run.spec) * run.prefill > _MOST_THROUGHPUT * run.whole.flops:
        return "faster than the GPU can multiply: read from a cache"
    return None


def _reasons(run: Run) -> Iterator[str]:
    row, hardware = run.row, run.row["hardware"]
    if hardware["hwClass"] == "CPU_ONLY" and not _is_known(run):
        yield "a processor that insource does not know, or an engine elsewhere"
        return
    if hardware["hwClass"] == "CPU_ONLY" and _SIMULTANEOUS.search(run.text):
        yield "several requests at once"
    if not run.decode:
        yield "states no decode speed"
        return
    if _works_in_parallel(run):
        yield "several GPUs at the same time"
    if run.engine is None:
        yield "an engine that insource does not know"
    if "diffusion" in row["model"]["hfId"].lower():
        yield "does not generate token by token"
    if run.speculates:
        yield "speculative decoding"
    if row["batchSize"] and 1 < row["batchSize"] < 32:
        yield "several requests at once"  # from 32 on it is llama.cpp's -b, tokens of a prompt batch
    spec = run.spec
    if spec is None:
        yield "model or quantisation not known"
        return
    offloaded = run.layers_offloaded
    if _OFFLOAD.search(run.text) or (offloaded is not None and offloaded < len(spec.architecture.layers)):
        yield "not all layers on the GPU"
    weights = sum(spec.weights.layer_bytes) + spec.weights.output_bytes
    cache = cache_bytes_read(spec, run.settings, run.depth_tokens)
    if weights + cache > run.memory_bytes:
        yield "more than the GPU's memory: partly elsewhere"
    peak = row["peakVramGb"]
    if peak and 0.5 < peak < 500 and peak * _GIB < 0.95 * weights:
        yield "a peak below the weights: partly elsewhere"
    if _includes_prefill(row):
        yield "prompt reading counted into the decode speed"
    if weight_bytes_read(spec) * run.decode > 1.05 * run.bandwidth:
        yield "faster than the memory can be read: another model than stated"


def _is_known(run: Run) -> bool:
    try:
        return bool(run.machine.devices)
    except InsourceError:
        return False


def _works_in_parallel(run: Run) -> bool:
    """llama.cpp's layer split does not: equal GPUs work one after the other, and each token takes as long as on one."""
    hardware, flags = run.row["hardware"], run.row["engineFlags"]
    if hardware["gpuCount"] == 1:
        return bool(_SEVERAL.search(run.text))  # the notes name more devices than the row
    return run.engine != "llama.cpp" or bool(flags["tensorParallel"]) or bool(_PARALLEL.search(run.text))


def _includes_prefill(row: Mapping[str, Any]) -> bool:
    """The stated total shows that the answer's time is the whole request's, and the prompt is much longer than it."""
    prompt, answer, total = row["promptTokens"] or 0, row["outputTokens"], row["tokSTotal"]
    if not answer or not total or prompt <= 8 * answer:
        return False
    return abs(answer / row["tokSOut"] / ((prompt + answer) / total) - 1) < 0.03
