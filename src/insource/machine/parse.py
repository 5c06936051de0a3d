"""A machine out of words ("2x h100", "rtx-3090+rtx-3060", "m4-max-64gb") or out of a file's text. Pure.

A device's name says nothing of the computer around it, so that is assumed, and the assumptions are part of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from insource.core.errors import UsageError
from insource.core.hardware import Device, Machine, Rate
from insource.machine.devices import GIB, Choice, choose

_COUNT = re.compile(r"(?i)^\s*(?P<count>\d{1,3})\s*[x×*]\s*(?P<name>\S.*)$")
MAX_DEVICES = 16
_SYSTEM_GIB = 4
"""What the operating system and other programs keep of a system's memory."""
HOST_NOTE = "around it"
"""How the assumption about the rest of the computer begins."""
_NAMES: Mapping[str, str] = {"cuda": "CUDA", "rocm": "ROCm", "metal": "MTL", "sycl": "SYCL"}
"""ggml's names of a backend's devices, before their number."""


def parse_machine(text: str) -> Machine:
    """Devices joined by `+`, each with a count before it; a CPU platform of the table may be one of them. `here` and
    files are not words: see workflows/choose/machine.py. Raises UsageError."""
    chosen = [(count, choose(name)) for count, name in map(_counted, text.split("+"))]
    platforms = [choice for _, choice in chosen if choice.device.kind == "cpu"]
    accelerators = [
        choice for count, choice in chosen for _ in range(count * choice.device.dies) if choice.device.kind != "cpu"
    ]
    if len(platforms) > 1 or any(count > 1 for count, choice in chosen if choice in platforms):
        raise UsageError(f"{text!r} names several CPU platforms.", next_step="Name one, for a machine of one socket.")
    return assemble(text.strip(), accelerators, platforms[0] if platforms else None)


def assemble(name: str, accelerators: list[Choice], platform: Choice | None) -> Machine:
    """The accelerators in the platform, or in the one that the table gives them."""
    if len(accelerators) > MAX_DEVICES:
        raise UsageError(
            f"{name!r} has {len(accelerators)} devices; llama.cpp uses {MAX_DEVICES} at most.", next_step="Name fewer."
        )
    shared = [choice for choice in accelerators if choice.device.unified]
    if shared and (len(accelerators) > 1 or platform):
        raise UsageError(
            f"{name!r}: {shared[0].device.name} is a whole computer, whose memory is the system's.",
            next_step="Name it alone; several computers are not one machine.",
        )
    assumed = [note for choice in dict.fromkeys(accelerators) for note in choice.assumed]
    if shared:
        return _unified(name, shared[0], assumed)
    host = platform or choose(accelerators[0].device.host)
    assumed += [_host_note(host)] if platform is None else [*host.assumed, _size_note(host)]
    if accelerators:
        assumed.append("no display and no other program on the GPU")
    return Machine(
        name=name,
        devices=(*numbered([_gpu(choice) for choice in accelerators]), _cpu(host)),
        cores=host.device.cores or 1,
        assumed=tuple(assumed),
    )


def gpu_share_gib(memory_gb: int) -> float:
    """What macOS lets its GPU have by default of a Mac's memory (recommendedMaxWorkingSetSize, as llama.cpp's log shows
    it: 16 -> 10.67, 24 -> 16, 32 -> 21.33, 36 -> 27, 64 -> 48, 128 -> 96 GiB); `iogpu.wired_limit_mb` changes it."""
    return memory_gb * (2 / 3 if memory_gb < 36 else 3 / 4)


def _counted(part: str) -> tuple[int, str]:
    found = _COUNT.match(part)
    if not found:
        return 1, part.strip()
    if not int(found["count"]):
        raise UsageError(f"{part.strip()!r} names no device.", next_step="Count from 1.")
    return int(found["count"]), found["name"].strip()


def numbered(devices: list[Device]) -> list[Device]:
    """With ggml's names, which count the devices of each backend from 0."""
    seen: list[str] = []
    named: list[Device] = []
    for device in devices:
        prefix = _NAMES.get(device.backend, device.backend.capitalize())
        named.append(replace(device, name=f"{prefix}{seen.count(prefix)}"))
        seen.append(prefix)
    return named


def _gpu(choice: Choice) -> Device:
    row = choice.device
    size = round(choice.memory_gb * GIB * row.usable)
    return Device(
        name=row.backend,
        description=row.name,
        kind=row.kind,
        backend=row.backend,
        memory_total_bytes=size,
        memory_free_bytes=size,
        unified=row.unified,
        bandwidth_bytes_per_second=Rate(value=row.bandwidth_bytes_per_second, source="table"),
        matmul_flops=Rate(value=row.fp16_flops, source="table") if row.fp16_flops else None,
    )


def _cpu(choice: Choice) -> Device:
    row = choice.device
    return Device(
        name="CPU",
        description=row.name,
        kind="cpu",
        backend="cpu",
        memory_total_bytes=choice.memory_gb * GIB,
        memory_free_bytes=(choice.memory_gb - _SYSTEM_GIB) * GIB,
        bandwidth_bytes_per_second=Rate(value=row.bandwidth_bytes_per_second, source="table"),
    )


def _unified(name: str, choice: Choice, assumed: list[str]) -> Machine:
    row = choice.device
    if row.backend == "metal":
        share = round(gpu_share_gib(choice.memory_gb) * GIB)
        assumed.append(f"macOS leaves {share / GIB:.1f} GiB of {choice.memory_gb} to the GPU, its default")
    else:
        share = (choice.memory_gb - _SYSTEM_GIB) * GIB
    assumed.append(f"the system and other programs take {_SYSTEM_GIB} GiB")
    cpu = replace(_cpu(choice), description=row.base or row.name)
    gpu = replace(_gpu(choice), memory_total_bytes=share, memory_free_bytes=min(share, cpu.memory_free_bytes))
    device = numbered([gpu])[0]
    return Machine(name=name, devices=(device, cpu), cores=row.cores or 1, assumed=tuple(assumed))


def _host_note(host: Choice) -> str:
    return f"{HOST_NOTE} {host.device.name}, {_size_note(host)}"


def _size_note(host: Choice) -> str:
    return f"{host.memory_gb} GB of memory ({_SYSTEM_GIB} of it in use) and {host.device.cores} cores"
