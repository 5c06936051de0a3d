"""A machine out of words ("2x h100", "rtx-3090+rtx-3060", "m4-max-64gb") or out of a file's text. Pure.

A device's name says nothing of the computer around it, so that is assumed, and the assumptions are part of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from insource.core.errors import UsageError
from insource.core.hardware import Device, Machine
from insource.machine.devices import GIB, Choice, choose, find_choice, with_rates
from insource.machine.processors import find_platform

_COUNT = re.compile(r"(?i)^\s*(?P<count>\d{1,3})\s*[x×*]\s*(?P<name>\S.*)$")
_JOINED = re.compile(r"\+(?! ?(?:PRO )?\d{3}\b)", re.IGNORECASE)
MAX_DEVICES = 16
_SYSTEM_LEAST_BYTES = GIB // 2
_SYSTEM_MOST_BYTES = 4 * GIB
_SYSTEM_SHARE = 1 / 8
HOST_NOTE = "around it"
"""How the assumption about the rest of the computer begins."""
_NAMES: Mapping[str, str] = {"cuda": "CUDA", "rocm": "ROCm", "metal": "MTL", "sycl": "SYCL"}
"""ggml's names of a backend's devices, before their number."""


def parse_machine(text: str) -> Machine:
    """Devices joined by `+`, each with a count before it; a CPU platform of the table may be one of them. `here` and
    files are not words: see workflows/choose/machine.py. Raises UsageError."""
    chosen = [(count, _named(name)) for count, name in map(_counted, _parts(text))]
    platforms = [choice for _, choice in chosen if choice.device.kind == "cpu"]
    accelerators = [
        choice for count, choice in chosen for _ in range(count * choice.device.dies) if choice.device.kind != "cpu"
    ]
    if len(platforms) > 1 or any(count > 1 for count, choice in chosen if choice in platforms):
        raise UsageError(f"{text!r} names several CPU platforms.", next_step="Name one, for a machine of one socket.")
    return assemble(text.strip(), accelerators, platforms[0] if platforms else None)


def _parts(text: str) -> list[str]:
    """A `+` may be part of a name: `Ryzen AI Max+ 395`, `8P+2E`."""
    whole = _counted(text)[1]
    is_one = not whole.endswith("+") and find_choice(whole) is not None
    return [text] if is_one else _JOINED.split(text)


def _named(name: str) -> Choice:
    found = find_choice(name) or find_platform(name)
    return choose(name) if found is None else found


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
        cpu_features=host.device.features,
        assumed=tuple(assumed),
    )


def system_bytes(memory_bytes: int) -> int:
    """What the operating system and other programs keep: half a GiB and an eighth of the rest, 4 GiB at most."""
    rest = max(0, memory_bytes - _SYSTEM_LEAST_BYTES)
    return min(_SYSTEM_MOST_BYTES, round(_SYSTEM_LEAST_BYTES + _SYSTEM_SHARE * rest))


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
    device = Device(
        name=row.backend,
        description=row.name,
        kind=row.kind,
        backend=row.backend,
        memory_total_bytes=size,
        memory_free_bytes=size,
        unified=row.unified,
    )
    return with_rates(device, row)


def _cpu(choice: Choice) -> Device:
    device = Device(
        name="CPU",
        description=choice.device.name,
        kind="cpu",
        backend="cpu",
        memory_total_bytes=choice.memory_gb * GIB,
        memory_free_bytes=choice.memory_gb * GIB - system_bytes(choice.memory_gb * GIB),
    )
    return with_rates(device, choice.device)


def _unified(name: str, choice: Choice, assumed: list[str]) -> Machine:
    row = choice.device
    if row.backend == "metal":
        share = round(gpu_share_gib(choice.memory_gb) * GIB)
        assumed.append(f"macOS leaves {share / GIB:.1f} GiB of {choice.memory_gb} to the GPU, its default")
    else:
        share = choice.memory_gb * GIB - system_bytes(choice.memory_gb * GIB)
    assumed.append(f"the system and other programs take {_system_gib(choice.memory_gb)} GiB")
    processor = find_platform(f"Apple {row.name}" if row.backend == "metal" else row.name)
    plain = replace(row, fp16_flops=None, int8_ratio=None, generation="", name=row.base or row.name)
    host = replace(choice, device=processor.device if processor else plain)
    cpu = replace(_cpu(host), description=row.base or row.name)
    gpu = replace(_gpu(choice), memory_total_bytes=share, memory_free_bytes=min(share, cpu.memory_free_bytes))
    return Machine(
        name=name,
        devices=(numbered([gpu])[0], cpu),
        cores=row.cores or 1,
        cpu_features=host.device.features,
        assumed=tuple(assumed),
    )


def _system_gib(memory_gb: int) -> str:
    return f"{system_bytes(memory_gb * GIB) / GIB:.2g}"


def _host_note(host: Choice) -> str:
    return f"{HOST_NOTE} {host.device.name}, {_size_note(host)}"


def _size_note(host: Choice) -> str:
    return f"{host.memory_gb} GB of memory ({_system_gib(host.memory_gb)} of it in use) and {host.device.cores} cores"
