"""What `fit/` is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How the engine is run, in llama.cpp's terms; the defaults are our worker's (`engines/worker.py`)."""

    context_tokens: int = 8192
    """Over all slots."""
    slots: int = 4
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    batch_tokens: int = 2048
    ubatch_tokens: int = 512
    flash_attention: bool = True
    """llama.cpp's `auto` turns it on wherever the backend can."""
    output_tokens: int | None = None
    """Whose logits the engine makes room for at once. None: one a slot, as our worker asks; llama-bench, and servers
    that do not limit it (`n_outputs_max`), take a whole micro-batch."""
    gpu_layers: int | None = None
    """Layers on accelerators, the output counted as one; None: as many as fit."""
    cpu_expert_layers: tuple[int, ...] = ()
    """Layers whose routed experts stay in the system's memory while the rest of them is on an accelerator
    (`--n-cpu-moe`, `--override-tensor`)."""
    checkpoints: int = 1
    """That each slot keeps in the system's memory of sliding windows and recurrent states."""


PARTS = ("weights", "KV cache", "compute", "margin", "free")
"""Of a device's memory, as every picture shows them; free is what is left after the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """What a model takes on one device."""

    device: str
    weights_bytes: int
    kv_cache_bytes: int
    """KV cache and recurrent states."""
    compute_bytes: int
    margin_bytes: int
    """Left over for what the formula does not see (driver, allocator), by backend; part of the need."""
    free_bytes: int
    expert_bytes: int = 0
    """Of the weights, those of routed experts."""

    @property
    def total_bytes(self) -> int:
        """Predicted, without the margin."""
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes

    @property
    def fits(self) -> bool:
        return self.total_bytes + self.margin_bytes <= self.free_bytes

    @property
    def part_bytes(self) -> tuple[int, ...]:
        """In the order of `PARTS`."""
        used = (self.weights_bytes, self.kv_cache_bytes, self.compute_bytes, self.margin_bytes)
        return (*used, max(0, self.free_bytes - sum(used)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPrediction:
    devices: tuple[DeviceMemory, ...]
    """Accelerators first, the CPU last, as in the machine."""
    gpu_layers: int
    """Layers placed on accelerators, the output counted as one."""
    apart_layers: int = 0
    """Of those, the layers whose routed experts stay in the CPU's memory."""
    unknown: tuple[str, ...] = ()
    """What could not be determined; not empty: the figures are a lower bound or a guess, and `fits` can't be said."""

    @property
    def weights_bytes(self) -> int:
        return sum(device.weights_bytes for device in self.devices)

    @property
    def kv_cache_bytes(self) -> int:
        return sum(device.kv_cache_bytes for device in self.devices)

    @property
    def compute_bytes(self) -> int:
        return sum(device.compute_bytes for device in self.devices)

    @property
    def total_bytes(self) -> int:
        return sum(device.total_bytes for device in self.devices)

    @property
    def fits(self) -> bool | None:
        """None: cannot say."""
        return None if self.unknown else all(device.fits for device in self.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its 80 % interval."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedPrediction:
    """Of one request at a given depth beside others; tokens per second."""

    decode_tokens_per_second: Estimate
    prefill_tokens_per_second: Estimate
    basis: str
    """A sentence: which bandwidth, whose efficiency, measured or from a table."""
