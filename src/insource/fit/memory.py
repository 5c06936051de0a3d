"""What a model takes on each device of a machine: weights, KV cache and states, compute buffers, margins. Pure.

The parts follow llama.cpp (build b11549): `kv_cache.py`, `compute.py`, `placement.py` name their sources.
`tests/oracle` holds them against llama.cpp's own allocator.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from insource.core.architecture import ModelSpec
from insource.core.hardware import Device, Machine
from insource.core.remote import Allocation
from insource.fit.compute import compute_bytes, host_bytes, logits_bytes, mask_bytes
from insource.fit.kv_cache import cache_bytes, cells, checkpoint_bytes, distinct, refusal
from insource.fit.placement import ranges, usable_bytes
from insource.fit.values import DeviceMemory, MemoryPrediction, RunSettings

_MIB = 1 << 20
_PROCESS_BYTES = 96 * _MIB
"""The worker itself: Python, the engine's library, threads and the scratch of matrix products. Measured with the
default model, beyond its vocabulary: 23 MiB before a model is loaded, 30 to 40 MiB while it answers."""
_TOKEN_BYTES = 600
"""Of a vocabulary's entry with its merges in llama.cpp's maps: 529 measured for 49,152 tokens."""
_METAL_MARGIN_BYTES = 256 * _MIB
_CARD_MARGIN_BYTES = 640 * _MIB
"""For what a driver keeps beside the buffers: its context, kernels, and the pools that kernels work in. The least by
which published peaks exceed these formulas is, machine by machine, 0.1 to 0.65 GiB on CUDA and ROCm, 0.2 GiB on the one
Apple chip among them; for Vulkan and SYCL nobody published one, and they count as those."""
_COPIES_OF_INPUTS = 4
"""GGML_SCHED_MAX_COPIES: with several accelerators micro-batches overlap, and each keeps its own inputs."""
_HEAD_APART = frozenset(("gemma3n", "gemma4"))
"""Architectures whose tied output head is a second tensor even on the CPU: src/models/gemma3n.cpp and gemma4.cpp
create it before the embedding, so there is nothing yet to share."""


def predict_memory(
    spec: ModelSpec, machine: Machine, run: RunSettings, *, measured: Allocation | None = None
) -> MemoryPrediction:
    """`run.gpu_layers` None: all layers on accelerators if they fit, else as many as do. `measured`: what the engine
    would allocate with just these settings; it counts instead of the formulas, spread evenly over the layers."""
    plan = _Plan(spec, machine, run, measured)
    most = len(spec.architecture.layers) + 1 if sum(plan.free_bytes) else 0
    if run.gpu_layers is not None:
        return plan.with_layers(min(max(0, run.gpu_layers), most))
    best = plan.with_layers(most)
    if not most or _accelerators_fit(best):
        return best
    low, high = 0, most - 1
    best = plan.with_layers(low)
    while low < high:  # more layers take more of the accelerators, so the most that fit are found by halving
        middle = (low + high + 1) // 2
        tried = plan.with_layers(middle)
        if _accelerators_fit(tried):
            low, best = middle, tried
        else:
            high = middle - 1
    return best


def _accelerators_fit(prediction: MemoryPrediction) -> bool:
    return all(device.fits for device in prediction.devices[:-1])


class _Plan:
    """What does not depend on how many layers are offloaded, computed once."""

    def __init__(self, spec: ModelSpec, machine: Machine, run: RunSettings, measured: Allocation | None = None) -> None:
        self._spec, self._machine = spec, machine
        self.free_bytes = usable_bytes(machine)
        architecture = spec.architecture
        self._cells = cells(architecture, run)
        kinds = distinct(architecture.layers)
        widest = max((layer.value_width for layer in kinds), default=0)
        of_kind = {id(kind): cache_bytes(kind, self._cells, run, widest_value=widest) for kind in kinds}
        self._caches = [0, *accumulate([of_kind[id(layer)] for layer in architecture.layers])]
        copied = {id(kind): checkpoint_bytes(kind, self._cells, run) for kind in kinds}
        self._checkpoint_bytes = sum([copied[id(layer)] for layer in architecture.layers])
        self._weights = [0, *accumulate(spec.weights.layer_bytes)]
        count = len(architecture.layers)
        experts = spec.weights.layer_expert_bytes or (0,) * count
        apart = set(run.cpu_expert_layers)
        self._experts = [0, *accumulate(experts)]
        self._apart = [0, *accumulate(size if at in apart else 0 for at, size in enumerate(experts))]
        """Of the experts, those that stay with the CPU wherever their layer lies."""
        self._apart_layers = [at for at in range(count) if at in apart and experts[at]]
        self._compute_bytes = compute_bytes(architecture, self._cells, run, kinds=kinds)
        self._mask_bytes = mask_bytes(architecture, self._cells, run, kinds=kinds)
        refused = refusal(kinds, run)
        self._unknown = architecture.unknown if refused is None else (*architecture.unknown, refused)
        if measured is not None:
            layers = max(1, len(architecture.layers))
            self._caches = [measured.context_bytes * done // layers for done in range(layers + 1)]
            logits = logits_bytes(architecture, self._cells)
            self._compute_bytes = max(0, measured.compute_bytes - logits)
            self._unknown = ()

    def with_layers(self, gpu_layers: int) -> MemoryPrediction:
        places = ranges(len(self._weights) - 1, gpu_layers, self.free_bytes)
        below = places[-1].stop if places[-1] else 0  # those lie whole with the CPU
        copies = _COPIES_OF_INPUTS if sum(len(place) > 0 for place in places[:-1]) > 1 else 1
        devices = [
            self._accelerator(device, place, places[-1], copies=copies)
            for device, place in zip(self._machine.accelerators, places, strict=False)
        ]
        unified = sum(
            memory.total_bytes + memory.margin_bytes
            for memory, device in zip(devices, self._machine.accelerators, strict=True)
            if device.unified
        )
        moved = self._apart[-1] - self._apart[min(below, len(self._apart) - 1)]
        devices.append(self._cpu(places[-1], moved, free_bytes=self._machine.cpu.memory_free_bytes - unified))
        layers = sum(at >= below for at in self._apart_layers)
        return MemoryPrediction(
            devices=tuple(devices), gpu_layers=gpu_layers, apart_layers=layers, unknown=self._unknown
        )

    def _accelerator(self, device: Device, held: range, on_cpu: range, *, copies: int) -> DeviceMemory:
        weights = compute = margin = experts = 0
        if held:
            spec = self._spec
            away = _within(self._apart, held)
            weights = self._weights_of(held) - away
            experts = _within(self._experts, held) - away
            compute = self._compute_bytes + (copies - 1) * self._mask_bytes
            margin = _METAL_MARGIN_BYTES if device.backend == "metal" else _CARD_MARGIN_BYTES
            if held.start == on_cpu.stop:  # the first: it gets the projector, and helps the CPU with long prompts
                weights += spec.extra_bytes
                compute += spec.weights.largest_bytes if on_cpu or self._apart_layers else 0
        return DeviceMemory(
            device=device.name,
            weights_bytes=weights,
            kv_cache_bytes=self._caches_of(held),
            compute_bytes=compute,
            margin_bytes=margin,
            free_bytes=device.memory_free_bytes,
            expert_bytes=experts,
        )

    def _cpu(self, held: range, moved: int, *, free_bytes: int) -> DeviceMemory:
        """`moved`: bytes of the experts of layers that are on accelerators otherwise."""
        spec, architecture = self._spec, self._spec.architecture
        alone = len(held) == len(self._weights)
        weights = spec.weights.input_bytes + self._weights_of(held, tied=architecture.name in _HEAD_APART) + moved
        works = held or moved
        compute = self._compute_bytes if works else self._mask_bytes + host_bytes(architecture, self._cells)
        return DeviceMemory(
            device=self._machine.cpu.name,
            weights_bytes=weights + (spec.extra_bytes if alone else 0),
            kv_cache_bytes=self._caches_of(held),
            compute_bytes=compute + logits_bytes(architecture, self._cells),
            margin_bytes=_PROCESS_BYTES + _TOKEN_BYTES * architecture.vocabulary + self._checkpoint_bytes,
            free_bytes=max(0, free_bytes),
            expert_bytes=_within(self._experts, held) + moved,
        )

    def _weights_of(self, held: range, *, tied: bool = True) -> int:
        """`tied`: a tied output head is a copy here."""
        if not held:
            return 0
        weights = self._spec.weights
        layers = len(self._weights) - 1
        size = self._weights[min(held.stop, layers)] - self._weights[held.start]
        if held.stop > layers:
            size += weights.output_bytes
            if tied and self._spec.architecture.tied_embeddings:
                size += weights.embedding_bytes or weights.input_bytes
        return size

    def _caches_of(self, held: range) -> int:
        return _within(self._caches, held)


def _within(sums: Sequence[int], held: range) -> int:
    """Of running sums over the layers: those of the layers held, the output aside."""
    last = len(sums) - 1
    return sums[min(held.stop, last)] - sums[min(held.start, last)] if held else 0
