"""A machine out of a TOML file's text. Pure.

name = "workstation"          # optional: the file's name
cores = 16                    # all of the system's figures are optional, and assumed where they are missing
memory_gb = 128
memory_free_gb = 120          # of the system's memory; else what such a system usually leaves
bandwidth_gbs = 89.6
matmul_tflops = 1.5
cpu_features = ["avx2"]

[[device]]                    # by its name in the table, with whatever is known better
name = "rtx-4090"
count = 2
memory_free_gb = 22

[[device]]                    # or by its own figures; only memory_gb is needed
description = "Prototype"
backend = "vulkan"
memory_gb = 20
bandwidth_gbs = 700
fp16_tflops = 60
unified = false
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from insource.core.errors import BadInput
from insource.core.hardware import Device, Machine, Rate
from insource.machine.devices import GIB
from insource.machine.parse import HOST_NOTE, MAX_DEVICES, numbered, parse_machine, system_bytes
from insource.machine.processors import vector_units

_DEFAULT_HOST = "DDR5-5600"
_SYSTEM_KEYS = frozenset(
    ["name", "cores", "memory_gb", "memory_free_gb", "bandwidth_gbs", "matmul_tflops", "cpu_features", "device"]
)
_DEVICE_KEYS = frozenset(
    [
        "name",
        "count",
        "description",
        "backend",
        "memory_gb",
        "memory_free_gb",
        "bandwidth_gbs",
        "fp16_tflops",
        "unified",
    ]
)
_BACKENDS = ("cuda", "rocm", "metal", "vulkan", "sycl")

Value = TypeVar("Value")


def machine_from_toml(text: str, *, name: str) -> Machine:
    """Raises BadInput with the place in the file, or UsageError for a device that the table does not know."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"The machine file {name!r} is not valid TOML: {error}.", next_step="Correct it.") from error
    top = _Section(given, where=f"the machine file {name!r}", known=_SYSTEM_KEYS)
    listed = given.get("device", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise top.error("device", "is a list of tables", listed)
    found = [
        _devices(_Section(item, where=f"device {number} of {name!r}", known=_DEVICE_KEYS))
        for number, item in enumerate(listed, 1)
    ]
    devices = [device for some, _ in found for device in some]
    if len(devices) > 1 and any(device.unified for device in devices):
        raise top.error("device", "has a unified one beside others; its memory is the system's", len(devices))
    tables = [table for _, table in found if table]
    system = tables[0] if tables else parse_machine(_DEFAULT_HOST)
    notes = [note for table in tables for note in table.assumed if not note.startswith(HOST_NOTE)]
    machine = replace(system, name=name, devices=(*numbered(devices), system.cpu), assumed=tuple(dict.fromkeys(notes)))
    return _stated_system(top, machine)


def _stated_system(top: _Section, machine: Machine) -> Machine:
    """What the file says of the system, over what is assumed; what it does not say is noted."""
    cpu = machine.cpu
    memory = top.positive("memory_gb")
    if memory:
        size = round(memory * GIB)
        cpu = replace(cpu, memory_total_bytes=size, memory_free_bytes=size - system_bytes(size))
    free = top.positive("memory_free_gb")
    if free:
        if round(free * GIB) > cpu.memory_total_bytes:
            raise top.error("memory_free_gb", f"is more than its {cpu.memory_total_bytes / GIB:.1f}", free)
        cpu = replace(cpu, memory_free_bytes=round(free * GIB))
    bandwidth, flops, cores = top.positive("bandwidth_gbs"), top.positive("matmul_tflops"), top.whole("cores")
    if bandwidth:
        cpu = replace(cpu, bandwidth_bytes_per_second=Rate(value=bandwidth * 1e9, source="stated"))
    if flops:
        cpu = replace(cpu, matmul_flops=Rate(value=flops * 1e12, source="stated"))
    features = tuple(top.texts("cpu_features"))
    if bandwidth:
        cpu = replace(cpu, description="CPU")
    if features:
        cpu = replace(cpu, generation=vector_units(features))
    missing = [
        "" if memory else f"{cpu.memory_total_bytes / GIB:g} GB of memory",
        "" if bandwidth else f"its bandwidth that of {cpu.description}",
        "" if cores else f"{machine.cores} cores",
    ]
    return replace(
        machine,
        name=top.text("name") or machine.name,
        devices=(*machine.accelerators, cpu),
        cores=cores or machine.cores,
        cpu_features=features or machine.cpu_features,
        assumed=(*machine.assumed, *(note for note in missing if note)),
    )


def _devices(section: _Section) -> tuple[list[Device], Machine | None]:
    """The devices of one entry, and the machine that the table sees around them."""
    count = section.whole("count") or 1
    if count > MAX_DEVICES:
        raise section.error("count", f"is {MAX_DEVICES} at most, as in llama.cpp", count)
    name = section.text("name")
    memory = section.positive("memory_gb")
    if name:
        size = f"-{memory:g}gb" if memory else ""
        machine = parse_machine(f"{count}x {name}{size}" if count > 1 else name + size)
        if not machine.accelerators:
            raise section.error("name", "is not an accelerator; put the system's figures at the top of the file", name)
        return [_stated(section, device) for device in machine.accelerators], machine
    if not memory:
        raise section.error("memory_gb", "is required unless a name from the table is given", memory)
    backend = section.text("backend") or "cuda"
    if backend not in _BACKENDS:
        raise section.error("backend", f"is one of {', '.join(_BACKENDS)}", backend)
    unified = section.flag("unified")
    device = Device(
        name=backend,
        description=section.text("description") or "stated device",
        kind="igpu" if unified else "gpu",
        backend=backend,
        memory_total_bytes=round(memory * GIB),
        memory_free_bytes=round(memory * GIB),
        unified=unified,
    )
    return [_stated(section, device)] * count, None


def _stated(section: _Section, device: Device) -> Device:
    """What the file says of a device, over what the table says."""
    free, bandwidth, flops = map(section.positive, ("memory_free_gb", "bandwidth_gbs", "fp16_tflops"))
    if free:
        if round(free * GIB) > device.memory_total_bytes:
            raise section.error("memory_free_gb", f"is more than its {device.memory_total_bytes / GIB:.1f}", free)
        device = replace(device, memory_free_bytes=round(free * GIB))
    if bandwidth:
        device = replace(device, bandwidth_bytes_per_second=Rate(value=bandwidth * 1e9, source="stated"))
    if flops:
        device = replace(device, matmul_flops=Rate(value=flops * 1e12, source="stated"))
    return device


class _Section:
    """One table of the file: typed reading with errors that name the place."""

    def __init__(self, given: Mapping[str, Any], *, where: str, known: frozenset[str]) -> None:
        self._given = given
        self._where = where
        unknown = sorted(set(given) - known)
        if unknown:
            raise self.error(unknown[0], f"is not known; known are {', '.join(sorted(known))}", given[unknown[0]])

    def error(self, key: str, problem: str, value: object) -> BadInput:
        return BadInput(f"In {self._where}: {key!r} {problem}; it says {value!r}.", next_step="Correct the file.")

    def text(self, key: str) -> str:
        return self._read(key, str, default="", problem="is text")

    def flag(self, key: str) -> bool:
        return self._read(key, bool, default=False, problem="is true or false")

    def texts(self, key: str) -> list[str]:
        values = self._read(key, list, default=[], problem="is a list of texts")
        return [str(value) for value in values]

    def whole(self, key: str) -> int | None:
        value = self.positive(key)
        if value is not None and value != int(value):
            raise self.error(key, "is a whole number", value)
        return None if value is None else int(value)

    def positive(self, key: str) -> float | None:
        value = self._given.get(key)
        if value is None:
            return None
        # A boolean is a number to Python; infinity and not-a-number are numbers to TOML.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise self.error(key, "is a number above 0", value)
        return float(value)

    def _read(self, key: str, kind: type[Value], *, default: Value, problem: str) -> Value:
        value = self._given.get(key, default)
        if not isinstance(value, kind):
            raise self.error(key, problem, value)
        return value
