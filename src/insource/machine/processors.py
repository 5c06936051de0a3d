"""What a processor's or a memory's name says of the machine around it: the shipped table of processors
(`processors.toml`), and arithmetic for plain memory ("DDR4-3200 quad channel"). Pure but for reading the table.

A name tells the family, and the family its memory channels, vector units and usual clock; how many of the channels are
filled, and with what, it does not tell. The figures are those of a machine as it is usually built.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from insource.machine.devices import Choice, KnownDevice

_REACHED = 5 / 6
"""Of the arithmetic that the vector units could do, what a good matrix product reaches; the probe's does."""
_AROUND = re.compile(r"\(r\)|\(tm\)|\bcpu\b|\bprocessor\b|@ ?[\d.]+ ?ghz")
_WORDS: Mapping[str, int] = {
    "single": 1, "one": 1, "dual": 2, "two": 2, "triple": 3, "quad": 4, "four": 4, "six": 6, "eight": 8, "twelve": 12,
}  # fmt: skip
_CORES = re.compile(rf"\b(?P<count>\d{{1,3}}|{'|'.join(_WORDS)})-core|\b(?P<fast>\d{{1,2}})p\+\d{{1,2}}e")
_MEMORY = re.compile(r"\b(?P<low>lp)?ddr(?P<kind>[345])x?(?:[- ](?P<speed>\d{4,5}))?\b")
_CHANNELS = re.compile(rf"\b(?P<count>\d{{1,2}}|{'|'.join(_WORDS)})[- ]?ch(?:annels?)?\b")
_USUAL_SPEED: Mapping[str, int] = {"3": 1600, "4": 3200, "5": 5600}
"""Transfers a second, in millions, where a name does not say it."""
_CHANNEL_GB = 32
"""That a platform of so many channels is taken to hold in each."""
_UNITS = ("amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "avx", "dotprod", "neon")
"""From the widest: the kernels that llama.cpp would take."""


def vector_units(features: Sequence[str]) -> str:
    """A processor's `generation`; empty: not known."""
    return next((unit for unit in _UNITS if unit in features), "")


def find_platform(text: str) -> Choice | None:
    """A processor by its name, or memory by kind, speed and channels. None: neither is named."""
    words = " ".join(_AROUND.sub(" ", text.casefold().replace("_", " ")).split())
    device = _memory_platform(words) or _processor(words, " ".join(text.split()))
    if device is None:
        return None
    bandwidth = f"{device.bandwidth_bytes_per_second / 1e9:.0f} GB/s"
    note = [f"memory of {bandwidth} beside {device.name}, as it is usually built"] if device.features else []
    return Choice(device=device, memory_gb=device.largest_gb, assumed=tuple(note))


def _memory_platform(words: str) -> KnownDevice | None:
    """Of `DDR4-3200 quad channel`: 8 bytes a channel and transfer."""
    memory, channels = _MEMORY.search(words), _CHANNELS.search(words)
    rest = _CHANNELS.sub("", _MEMORY.sub("", words)).strip(" ,-")
    if memory is None or rest:
        return None
    count = _number(channels["count"]) if channels else 2
    speed = int(memory["speed"] or _USUAL_SPEED[memory["kind"]])
    return _device(
        f"DDR{memory['kind']}-{speed} {count}-channel",
        bandwidth=count * 8 * speed * 1e6,
        cores=4 * count,
        memory_gb=_CHANNEL_GB * count // 2,
        source="transfer rate x 8 bytes x channels",
    )


def _processor(words: str, name: str) -> KnownDevice | None:
    row = next((row for row in _rows() if row.pattern.search(words)), None)
    if row is None:
        return None
    stated = _CORES.search(words)
    cores = (_number(stated["count"] or stated["fast"]) if stated else 0) or row.cores
    return _device(
        name,
        bandwidth=row.bandwidth_bytes_per_second,
        cores=cores,
        memory_gb=row.memory_gb,
        source=row.source,
        units=_Units(flops=cores * row.flops_per_core, features=row.features),
    )


def _number(text: str) -> int:
    return _WORDS.get(text) or int(text)


def _device(
    name: str, *, bandwidth: float, cores: int, memory_gb: int, source: str, units: _Units | None = None
) -> KnownDevice:
    features = units.features if units else ()
    return KnownDevice(
        name=name,
        aliases=(),
        base="",
        default=False,
        kind="cpu",
        backend="cpu",
        unified=False,
        memory_gb=(memory_gb,),
        usable=1.0,
        bandwidth_bytes_per_second=bandwidth,
        fp16_flops=units.flops if units else None,
        int8_ratio=None,
        generation=vector_units(features) or ("sse" if units else ""),
        dies=1,
        cores=cores,
        host="",
        source=source,
        features=features,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    flops: float
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    pattern: re.Pattern[str]
    cores: int
    """Of the faster kind, where there are two: llama.cpp leaves the others alone."""
    bandwidth_bytes_per_second: float
    flops_per_core: float
    memory_gb: int
    features: tuple[str, ...]
    source: str


@cache
def _rows() -> tuple[_Row, ...]:
    text = resources.files("insource.machine").joinpath("processors.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return tuple(
        _row(row, table["simd"][row["simd"]], part["source"]) for part in table["family"] for row in part["processors"]
    )


def _row(row: Mapping[str, Any], units: Mapping[str, Any], source: str) -> _Row:
    return _Row(
        pattern=re.compile(row["pattern"]),
        cores=row["cores"],
        bandwidth_bytes_per_second=row["bandwidth_gbs"] * 1e9,
        flops_per_core=row["ghz"] * 1e9 * units["flops_per_cycle"] * _REACHED,
        memory_gb=row["memory_gb"],
        features=tuple(units["features"]),
        source=source,
    )
