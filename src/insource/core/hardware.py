"""What a computer is, as values. `machine/` makes them (from a probe, a table or a file); `fit/` and the workflows read
them. Sizes are bytes; rates say where they come from, because a figure out of a table is not a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceKind = Literal["cpu", "gpu", "igpu", "accelerator"]
"""As ggml names them; an `igpu` shares the system's memory."""
FigureSource = Literal["measured", "table", "stated"]
"""measured: by the probe, on this machine; table: our sourced table; stated: by the user's machine file."""


HERE = "here"
"""The name of the machine that insource runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A speed of the hardware with its origin."""

    value: float
    source: FigureSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One place where a model's bytes can lie and be worked on."""

    name: str
    """`CPU`, `CUDA0`, ...: ggml's own name where ggml saw it."""
    description: str
    kind: DeviceKind
    backend: str
    """`cpu`, `cuda`, `metal`, `rocm`, `vulkan`, `sycl`."""
    memory_total_bytes: int
    """What a model may use at most: VRAM, or the system's memory within the cgroup's limit."""
    memory_free_bytes: int
    """Now. For a machine that one does not have: what such a device usually leaves free."""
    unified: bool = False
    """Its memory is the system's: bytes used here are missing there."""
    bandwidth_bytes_per_second: Rate | None = None
    """Of reading this device's memory."""
    matmul_flops: Rate | None = None
    """Dense fp16 operations per second (2 per multiply-add), or what the CPU reaches in its best format."""
    int8_ops: Rate | None = None
    """Dense int8 operations per second, where the device has units for them: quantised prompts are read with those."""
    generation: str = ""
    """Of its design, which sets the share of those rates that kernels reach: `ampere`, `rdna3`, `m1`, ...; of a CPU,
    its widest vector units. Empty: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A computer: accelerators first, the CPU last."""

    name: str
    """`here`, a name from the table, or a file's."""
    devices: tuple[Device, ...]
    cores: int
    """Physical cores that this process may use."""
    cpu_features: tuple[str, ...] = ()
    """Those that matter for inference and training: `avx2`, `avx512f`, `avx512_bf16`, `amx_bf16`, `neon`, ..."""
    memory_limit: Literal["physical", "cgroup"] = "physical"
    """What bounds the CPU's memory."""
    disk_free_bytes: int | None = None
    """Of the disk that model files lie on."""
    assumed: tuple[str, ...] = ()
    """What was taken for granted about a machine that one does not have; shown wherever it is used."""

    @property
    def cpu(self) -> Device:
        return self.devices[-1]

    @property
    def accelerators(self) -> tuple[Device, ...]:
        return self.devices[:-1]


def say_machine(name: str, *, begins: bool = False) -> str:
    """A machine's name in a sentence, or at its beginning."""
    return name if name != HERE else "This machine" if begins else "this machine"
