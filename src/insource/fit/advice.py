"""What else would fit, and what would make a model fit: each change tried with the same formulas, the mildest first.
Pure.

Where there are accelerators, a model *fits whole* when all of it lies on them: what spills to the CPU's memory fits
too, but at a speed that nobody wants who has a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from insource.core.architecture import ModelSpec
from insource.core.hardware import Machine
from insource.fit.memory import predict_memory
from insource.fit.values import CacheType, MemoryPrediction, RunSettings

_CONTEXT_STEP = 256
"""llama.cpp pads the context to it."""
_SMALLEST_CONTEXT = 512
"""Of one slot that is worth offering."""
_CACHES: tuple[CacheType, ...] = ("q8_0", "q4_0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change that alone makes the model fit."""

    what: str
    option: str
    """Of `insource fit`."""
    memory: MemoryPrediction


def is_whole(spec: ModelSpec, machine: Machine, memory: MemoryPrediction) -> bool:
    """Whether nothing of it had to stay behind in the CPU's memory; true of a machine without accelerators."""
    return not machine.accelerators or memory.gpu_layers > len(spec.architecture.layers)


def largest_context(spec: ModelSpec, machine: Machine, run: RunSettings) -> int | None:
    """Tokens over all slots, at most what the model was trained for in each. Whole, if it is whole as `run` says. None:
    not even the smallest fits, or the model is not known well enough to say."""
    trained = spec.architecture.context_tokens
    if trained is None:
        return None
    whole = _fits(spec, machine, run, whole=True)

    def fits(steps: int) -> bool:
        return _fits(spec, machine, replace(run, context_tokens=steps * _CONTEXT_STEP), whole=whole)

    low, high = _SMALLEST_CONTEXT * run.slots // _CONTEXT_STEP, trained * run.slots // _CONTEXT_STEP
    if high < low or not fits(low):
        return None
    while low < high:  # memory grows with the context, so the last one that fits is found by halving
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low * _CONTEXT_STEP


def best_quantization(
    quantizations: Sequence[str], requantize: Callable[[str], ModelSpec], *, machine: Machine, run: RunSettings
) -> ModelSpec | None:
    """The first that fits whole, else the first that fits; `quantizations` from the largest to the smallest."""
    specs = [requantize(name) for name in quantizations]
    whole = (spec for spec in specs if _fits(spec, machine, run, whole=True))
    spilled = (spec for spec in specs if _fits(spec, machine, run, whole=False))
    return next(whole, None) or next(spilled, None)


def changes(spec: ModelSpec, machine: Machine, run: RunSettings, *, smaller: ModelSpec | None) -> tuple[Change, ...]:
    """Every single change that makes it fit, from the one that costs least quality. Empty: none does, or it fits."""
    if predict_memory(spec, machine, run).fits is not False:
        return ()
    tried: list[Change] = []

    def attempt(what: str, option: str, *, run: RunSettings = run, spec: ModelSpec = spec) -> None:
        tried.append(Change(what=what, option=option, memory=predict_memory(spec, machine, run)))

    if run.gpu_layers is not None:
        attempt("as many layers on accelerators as fit", "no --gpu-layers", run=replace(run, gpu_layers=None))
    if run.slots > 1:
        attempt("one request at a time", "--slots 1", run=replace(run, slots=1))
    context = largest_context(spec, machine, run)
    if context is not None:
        shorter = replace(run, context_tokens=context)
        attempt(f"a context of {context:,} tokens", f"--context {context}", run=shorter)
    for cache in _CACHES:
        packed = replace(run, cache_type_k=cache, cache_type_v=cache)
        attempt(f"a KV cache in {cache}", f"--cache-type {cache}", run=packed)
    if smaller is not None:
        name = smaller.weights.quantization
        attempt(f"the weights in {name}", f"--quantization {name}", spec=smaller)
    return tuple(change for change in tried if change.memory.fits)


def experts_apart(spec: ModelSpec, machine: Machine, run: RunSettings) -> RunSettings | None:
    """With the routed experts of as few layers as possible left in the system's memory, so that all else lies on the
    accelerators. None: the model has none, it lies there whole, it would not fit so either, or memory is one."""
    layers = len(spec.architecture.layers)
    apart = any(not device.unified for device in machine.accelerators) and spec.weights.expert_bytes
    if not apart or run.gpu_layers is not None or run.cpu_expert_layers or _fits(spec, machine, run, whole=True):
        return None

    def with_layers(count: int) -> RunSettings:
        return replace(run, cpu_expert_layers=tuple(range(count)), gpu_layers=layers + 1)

    if not predict_memory(spec, machine, with_layers(layers)).fits:
        return None
    low, high = 1, layers
    while low < high:  # what lies with the CPU grows with the count, what lies on accelerators falls
        middle = (low + high) // 2
        if all(device.fits for device in predict_memory(spec, machine, with_layers(middle)).devices[:-1]):
            high = middle
        else:
            low = middle + 1
    chosen = with_layers(low)
    return chosen if predict_memory(spec, machine, chosen).fits else None


def missing_bytes(memory: MemoryPrediction) -> int:
    """How much more memory it needs, over all devices; 0 when it fits."""
    return sum(max(0, d.total_bytes + d.margin_bytes - d.free_bytes) for d in memory.devices)


def _fits(spec: ModelSpec, machine: Machine, run: RunSettings, *, whole: bool) -> bool:
    memory = predict_memory(spec, machine, run)
    return bool(memory.fits) and (not whole or is_whole(spec, machine, memory))
