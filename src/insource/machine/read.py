"""What a probe means. Pure: a probe of any machine is read on any other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from insource.core.cgroup import memory_bound
from insource.core.hardware import HERE, Device, DeviceKind, Machine
from insource.machine.devices import find_described, with_rates
from insource.machine.probe import Probe
from insource.machine.processors import vector_units

FEATURES: Mapping[str, str] = {
    # as Linux spells them (x86, then arm), and as we do
    **{
        name: name
        for name in ("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16")
    },
    **{name: name for name in ("amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "sve", "sve2", "sme", "i8mm")},
    "asimd": "neon",
    "asimddp": "dotprod",
    "bf16": "bf16",
    # as ggml spells them; the last resort, where the system does not say
    "neon": "neon",
    "dotprod": "dotprod",
    "avx512": "avx512f",
    "avx512_vbmi": "avx512_vbmi",
    "matmul_int8": "i8mm",
}
_KINDS: Mapping[str, DeviceKind] = {"gpu": "gpu", "igpu": "igpu", "accel": "accelerator"}
_BACKENDS: Mapping[str, str] = {"cuda": "cuda", "rocm": "rocm", "hip": "rocm", "mtl": "metal", "metal": "metal"}
_UNIFIED_BACKENDS = frozenset(["metal"])
"""ggml calls Apple's GPU a GPU; its memory is the system's all the same."""
_MAC_FREE = ("free", "inactive", "speculative", "purgeable")
"""Pages that macOS gives away without writing anything out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMemory:
    total_bytes: int
    free_bytes: int
    bound: Literal["physical", "cgroup"]


def read_probe(probe: Probe) -> Machine:
    """Bandwidth of accelerators comes from the table where it knows them; nothing of the CPU's speed is guessed."""
    memory = system_memory(probe)
    return Machine(
        name=HERE,
        devices=(*_accelerators(probe, memory), _cpu(probe, memory)),
        cores=probe.cores,
        cpu_features=tuple(dict.fromkeys(_features(probe))),
        memory_limit=memory.bound,
        disk_free_bytes=probe.disk_free_bytes,
    )


def system_memory(probe: Probe) -> SystemMemory:
    total, free = _physical_memory(probe)
    bound = memory_bound(probe.files.get)
    if bound.limit_bytes is None or bound.limit_bytes >= total:
        least = free if bound.free_bytes is None else min(free, bound.free_bytes)
        return SystemMemory(total_bytes=total, free_bytes=least, bound="physical")
    within = bound.limit_bytes if bound.free_bytes is None else bound.free_bytes
    return SystemMemory(total_bytes=bound.limit_bytes, free_bytes=min(free, within), bound="cgroup")


def cpu_name(probe: Probe) -> str:
    named = _fields(probe.files.get("/proc/cpuinfo", "")).get("model name") or _sysctl(
        probe, "machdep.cpu.brand_string"
    )
    engine = next((str(device.get("description", "")) for device in probe.devices if device.get("type") == "cpu"), "")
    return named or engine or probe.architecture


def last_cache_bytes(probe: Probe) -> int:
    """Of the largest cache that one core sees; 0 when the system does not say."""
    sizes = [text for path, text in probe.files.items() if "/cache/index" in path and path.endswith("/size")]
    found = [
        int(size[:-1]) << (10 if size.endswith("K") else 20) for size in map(str.strip, sizes) if size[:-1].isdigit()
    ]
    return max([*found, int(_sysctl(probe, "hw.l2cachesize") or 0)])


def _accelerators(probe: Probe, memory: SystemMemory) -> Iterator[Device]:
    seen: set[str] = set()
    for raw in probe.devices:
        kind = _KINDS.get(str(raw.get("type")))
        card = str(raw.get("device_id") or "")
        # BLAS is an "accelerator" without memory. Where two backends see one card, llama.cpp uses the first.
        if kind is None or not raw.get("memory_total") or card in seen:
            continue
        seen |= {card} - {""}
        yield _accelerator(raw, kind, memory)


def _accelerator(raw: Mapping[str, Any], kind: DeviceKind, memory: SystemMemory) -> Device:
    name, description = str(raw.get("name", "")), str(raw.get("description", ""))
    prefix = re.sub(r"\d+$", "", name).casefold()
    backend = _BACKENDS.get(prefix, prefix)
    unified = kind == "igpu" or backend in _UNIFIED_BACKENDS
    total = int(raw["memory_total"])
    known = find_described(description, memory.total_bytes if unified else total)
    device = Device(
        name=name,
        description=description,
        kind=kind,
        backend=backend,
        memory_total_bytes=total,
        memory_free_bytes=min(int(raw.get("memory_free", total)), total),
        unified=unified or (known is not None and known.unified),
    )
    if device.unified:  # a driver knows nothing of the control group that binds us, nor of what others hold
        device = replace(device, memory_free_bytes=min(device.memory_free_bytes, memory.free_bytes))
    return device if known is None else with_rates(device, known)


def _cpu(probe: Probe, memory: SystemMemory) -> Device:
    return Device(
        name="CPU",
        description=cpu_name(probe),
        kind="cpu",
        backend="cpu",
        memory_total_bytes=memory.total_bytes,
        memory_free_bytes=memory.free_bytes,
        generation=vector_units(tuple(_features(probe))),
    )


def _physical_memory(probe: Probe) -> tuple[int, int]:
    """Total and free. ggml's own figures are the last resort: on Linux and macOS it calls all of it free."""
    meminfo = _fields(probe.files.get("/proc/meminfo", ""))
    if "MemTotal" in meminfo:
        total = _kib(meminfo["MemTotal"])
        return total, _kib(meminfo.get("MemAvailable", meminfo.get("MemFree", "0")))
    engine = next((device for device in probe.devices if device.get("type") == "cpu"), {})
    total = int(_sysctl(probe, "hw.memsize") or engine.get("memory_total", 0))
    return total, min(_mac_free(probe) or int(engine.get("memory_free", total)), total)


def _mac_free(probe: Probe) -> int:
    text = probe.commands.get("vm_stat", "")
    page = re.search(r"page size of (\d+) bytes", text)
    pages = [re.search(rf"^Pages {name}:\s+(\d+)", text, re.MULTILINE) for name in _MAC_FREE]
    return sum(int(found[1]) for found in pages if found) * int(page[1]) if page else 0


def _features(probe: Probe) -> Iterator[str]:
    fields = _fields(probe.files.get("/proc/cpuinfo", ""))
    words = (fields.get("flags") or fields.get("Features") or "").split()
    if probe.system == "Darwin":
        words = list(_mac_features(probe))
    if not words:
        words = [name.casefold() for name in re.findall(r"(\w+) = 1", probe.system_info)]
    for word in words:
        if word in FEATURES:
            yield FEATURES[word]


def _mac_features(probe: Probe) -> Iterator[str]:
    if probe.architecture == "arm64":
        yield "asimd"  # every Apple chip has it, and no sysctl says so
    for name in re.findall(r"^hw\.optional\.arm\.FEAT_(\w+): 1", probe.commands.get("sysctl", ""), re.MULTILINE):
        yield name.casefold()
    for name in ("machdep.cpu.features", "machdep.cpu.leaf7_features"):
        yield from _sysctl(probe, name).casefold().split()


def _sysctl(probe: Probe, name: str) -> str:
    return _fields(probe.commands.get("sysctl", "")).get(name, "")


def _fields(text: str) -> dict[str, str]:
    """Lines of `name: value`, the first of each name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _kib(text: str) -> int:
    digits = text.split()[0] if text.split() else ""
    return int(digits) << 10 if digits.isdigit() else 0
