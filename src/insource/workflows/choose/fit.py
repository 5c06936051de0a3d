"""`insource fit`: does a model fit a machine, how fast is it there, and what to change when it does not fit.

Joins what the model is (`understand_model.py`), the machine, the formulas of `fit/`, and what the engine's own
exchanges say about its speed. Nothing is downloaded but headers, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, get_args

from insource.core.architecture import ModelSpec
from insource.core.errors import BadModelFile, InsourceError, UsageError
from insource.core.hardware import HERE, Machine
from insource.core.stored_models import StoredModel
from insource.core.stores import ExchangeStore, Registry
from insource.core.values import Task
from insource.engines.models.stores.headers import kind_of
from insource.fit.advice import Change, best_quantization, changes, experts_apart, largest_context, missing_bytes
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.memory import predict_memory
from insource.fit.quantization import QUANTIZATIONS, canonical_quantization
from insource.fit.speed import NO_CORRECTIONS, Corrections, predict_speed
from insource.fit.values import CacheType, MemoryPrediction, RunSettings, SpeedPrediction
from insource.fit.work import Load
from insource.workflows.choose.apart import NOTHING_APART, Apart, expert_layers
from insource.workflows.choose.carried_load import Demand, carried_load
from insource.workflows.choose.engine_speeds import corrections as learned_corrections
from insource.workflows.choose.stored_header import stored_header
from insource.workflows.choose.task_traffic import TaskTraffic, find_traffic
from insource.workflows.choose.understand_model import ModelFinder, Understood, understand

if TYPE_CHECKING:
    from insource.fit.capacity import Capacity

DEFAULT_LATENCY_SECONDS = 30.0
_ONE_PASS = "Speed: it is run in one pass, so it makes no tokens one after the other."
_NO_SPEED = (
    "Speed: the bandwidth of a device that would hold the model is not known "
    "(`insource machine --measure`, or state it in a machine file)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitQuestion:
    model: str
    run: RunSettings
    machine: str = "here"
    quantization: str = ""
    depth_tokens: int | None = None
    """Where in a slot's context speed is told; None: in its middle."""
    task: str = ""
    """Whose recorded lengths the load is told for; empty: no load is told."""
    latency_seconds: float = DEFAULT_LATENCY_SECONDS
    """Within which 95 of 100 of the task's requests must be answered."""
    extras: tuple[str, ...] = ()
    """References of what is loaded beside the model: a multimodal projector, LoRA adapters."""
    draft: str = ""
    """Reference of a smaller model that guesses ahead (`--model-draft`), with the same context."""
    apart: Apart = NOTHING_APART
    """Whose experts stay in the system's memory."""
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParts:
    """What a fit asks; `wiring.open_fit` joins them."""

    finder: ModelFinder
    find_machine: Callable[[str], Machine]
    exchanges: ExchangeStore | None
    """None: there is no store yet, so nothing was learned from this machine's own exchanges."""
    registry: Registry | None
    engine_run: RunSettings
    """How the engine that answered them runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoad:
    """What the machine carries of a task with this model."""

    task: Task
    traffic: TaskTraffic
    latency_seconds: float
    too_long_share: float
    """Of the task's requests, those that a slot's context can't hold."""
    capacity: Capacity | None
    """None: it does not fit, or its speed can't be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsApart:
    """The routed experts of the first layers with the CPU, all else on accelerators."""

    layers: int
    memory: MemoryPrediction
    speed: SpeedPrediction


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    spec: ModelSpec
    found: str
    """A sentence: where the model's facts are from."""
    machine: Machine
    run: RunSettings
    memory: MemoryPrediction
    measured: bool
    """The cache and the compute buffers are the engine's own figures, not the formulas'."""
    depth_tokens: int
    speed: SpeedPrediction | None
    largest_context_tokens: int | None
    """Over all slots, as everything else is set; None: none fits, or can't be said."""
    best_quantization: str | None
    """The one with the most bits that fits; None: none does, or the shape is not known well enough."""
    changes: tuple[Change, ...]
    apart: ExpertsApart | None
    """How it would run with experts in the system's memory, where that is faster; None: it is not, or can't be said."""
    load: TaskLoad | None
    """None: no task was named."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be determined, as sentences."""
        if self.speed is not None:
            return self.memory.unknown
        return (*self.memory.unknown, _NO_SPEED if self.spec.architecture.generates else _ONE_PASS)

    @property
    def missing_bytes(self) -> int:
        return missing_bytes(self.memory)


def answer(question: FitQuestion, parts: FitParts) -> FitReport:
    """Raises UnknownModel, UsageError, BadModelFile, DownloadFailed."""
    quantization = canonical_quantization(question.quantization) if question.quantization else ""
    understood = understand(question.model, quantization=quantization, offline=question.offline, finder=parts.finder)
    machine = parts.find_machine(question.machine)
    spec = with_extras(understood.spec, question.extras, parts.finder)
    run = replace(question.run, cpu_expert_layers=expert_layers(spec, question.apart))
    if question.draft:
        draft = understand(question.draft, quantization="", offline=question.offline, finder=parts.finder).spec
        spec = with_draft(spec, draft, machine=machine, run=run)
    memory, measured = _memory(spec, machine, run, understood=understood, finder=parts.finder)
    slot_tokens = run.context_tokens // run.slots
    depth = slot_tokens // 2 if question.depth_tokens is None else question.depth_tokens
    if depth > slot_tokens:
        raise UsageError(
            f"A depth of {depth:,} tokens lies outside of a slot's context, which holds {slot_tokens:,}.",
            next_step="Raise --context, or lower --slots.",
        )
    learned = _learned(parts, spec, machine) if question.machine == HERE else NO_CORRECTIONS
    best = _best(understood, machine, run)
    speed = predict_speed(spec, machine, run, memory=memory, load=Load(depth_tokens=depth), corrections=learned)
    return FitReport(
        spec=spec,
        found=understood.found,
        machine=machine,
        run=run,
        memory=memory,
        measured=measured,
        depth_tokens=depth,
        speed=speed,
        apart=_apart(spec, machine, run, depth=depth, faster_than=speed),
        largest_context_tokens=None if measured else largest_context(spec, machine, run),
        best_quantization=best.weights.quantization if best is not None else None,
        changes=() if measured else changes(spec, machine, run, smaller=best),
        load=_load(question, parts, spec=spec, machine=machine, corrections=learned) if question.task else None,
    )


def _memory(
    spec: ModelSpec, machine: Machine, run: RunSettings, *, understood: Understood, finder: ModelFinder
) -> tuple[MemoryPrediction, bool]:
    """By the formulas; for an architecture that they don't know, by the engine, where it can say."""
    predicted = predict_memory(spec, machine, run)
    if predicted.fits is not None or not understood.header_files or finder.measure is None:
        return predicted, False
    found = finder.measure(understood.header_files, asdict(run))
    if isinstance(found, str):
        return replace(predicted, unknown=(*predicted.unknown, found)), False
    return predict_memory(spec, machine, run, measured=found), True


def with_draft(spec: ModelSpec, draft: ModelSpec, *, machine: Machine, run: RunSettings) -> ModelSpec:
    """With all that a draft model takes: it has a cache and compute buffers of its own."""
    alone = replace(machine, devices=(machine.cpu,))
    size = predict_memory(draft, alone, replace(run, cpu_expert_layers=())).total_bytes
    return replace(spec, extra_bytes=spec.extra_bytes + size)


def _apart(
    spec: ModelSpec, machine: Machine, run: RunSettings, *, depth: int, faster_than: SpeedPrediction | None
) -> ExpertsApart | None:
    chosen = experts_apart(spec, machine, run)
    if chosen is None:
        return None
    memory = predict_memory(spec, machine, chosen)
    speed = predict_speed(spec, machine, chosen, memory=memory, load=Load(depth_tokens=depth))
    if speed is None or faster_than is None:
        return None
    faster = speed.decode_tokens_per_second.mid > faster_than.decode_tokens_per_second.mid
    return ExpertsApart(layers=len(chosen.cpu_expert_layers), memory=memory, speed=speed) if faster else None


def _load(
    question: FitQuestion, parts: FitParts, *, spec: ModelSpec, machine: Machine, corrections: Corrections
) -> TaskLoad:
    task, traffic = find_traffic(question.task, registry=parts.registry, exchanges=parts.exchanges)
    run = question.run
    demand = Demand(
        prompt_tokens=traffic.prompt_tokens,
        answer_tokens=traffic.answer_tokens,
        latency_seconds=question.latency_seconds,
    )
    fits = predict_memory(spec, machine, run).fits
    too_long = sum(tokens > run.context_tokens // run.slots for tokens in traffic.total_tokens)
    return TaskLoad(
        task=task,
        traffic=traffic,
        latency_seconds=question.latency_seconds,
        too_long_share=too_long / traffic.exchanges,
        capacity=carried_load(spec, machine, run, demand=demand, corrections=corrections) if fits else None,
    )


def with_extras(spec: ModelSpec, refs: Sequence[str], finder: ModelFinder) -> ModelSpec:
    """With the bytes of projectors and adapters. Raises UnknownModel, BadModelFile, UsageError for a second model."""
    size_bytes = spec.extra_bytes
    for ref in refs:
        header = finder.read_header(finder.find_stored(ref))
        if kind_of(header) == "model":
            raise UsageError(
                f"{ref!r} is a model of its own, not a projector or an adapter.",
                next_step="Size it separately: a second model runs in a process of its own.",
            )
        size_bytes += sum(tensor.size_bytes or 0 for tensor in header.tensors)
    return replace(spec, extra_bytes=size_bytes)


def fits_of(machine: Machine, run: RunSettings) -> Callable[[StoredModel], bool | None]:
    """Whether models on disk fit; None: can't be said, or there is no language model to load."""

    def fits(stored: StoredModel) -> bool | None:
        if stored.problem is not None or stored.kind != "model":
            return None
        try:
            return predict_memory(spec_of_gguf(stored_header(stored), name=stored.ref), machine, run).fits
        except BadModelFile:
            return None

    return fits


def _learned(parts: FitParts, spec: ModelSpec, machine: Machine) -> Corrections:
    if parts.exchanges is None:
        return NO_CORRECTIONS

    def spec_of(ref: str) -> ModelSpec | None:
        try:
            stored = parts.finder.find_stored(ref)
            return spec_of_gguf(parts.finder.read_header(stored), name=ref)
        except InsourceError:
            return None  # the file is gone, so its exchanges tell nothing any more

    family = spec.architecture.name
    return learned_corrections(parts.exchanges, spec_of=spec_of, family=family, machine=machine, run=parts.engine_run)


def _best(understood: Understood, machine: Machine, run: RunSettings) -> ModelSpec | None:
    if understood.requantize is None:
        return None
    return best_quantization(QUANTIZATIONS, understood.requantize, machine=machine, run=run)


def parse_run(*, context_tokens: int, slots: int, cache_type: str, gpu_layers: int | None) -> RunSettings:
    """Raises UsageError for an unknown cache type, or more slots than the context can hold."""
    known: tuple[CacheType, ...] = get_args(CacheType)
    chosen: CacheType | None = next((name for name in known if name == cache_type.lower()), None)
    if chosen is None:
        raise UsageError(f"{cache_type!r} is not a type of KV cache.", next_step=f"Choose one of {', '.join(known)}.")
    if context_tokens // slots < 1:
        raise UsageError(
            f"A context of {context_tokens:,} tokens can't be divided among {slots} slots.",
            next_step="Raise --context, or lower --slots.",
        )
    return RunSettings(
        context_tokens=context_tokens,
        slots=slots,
        cache_type_k=chosen,
        cache_type_v=chosen,
        gpu_layers=gpu_layers,
    )
