"""The shipped table of devices (`devices.toml`): read, and searched by the names that people and drivers use.

A name means one row or nothing: a laptop part is never taken for the desktop part of the same number, nor 8 GB for 16.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from insource.core.errors import UsageError
from insource.core.hardware import Device, DeviceKind, Rate

GIB = 1 << 30
_NOISE = frozenset(
    ["nvidia", "geforce", "tesla", "amd", "radeon", "instinct", "intel", "apple", "gpu", "graphics", "generation"]
)
"""Words that drivers and people put around a name without changing its meaning."""
_SERIES = ("", "rtx", "rx", "gtx", "arc")
"""What people leave out: "4090", "7900 XTX"."""
_MEMORY = re.compile(r"(?i)^(?P<name>.*\S)[\s_-]*?[\s_-](?P<gb>\d+)\s?(?:gb|gib)$")
_SPELT_CORES = re.compile(r"(?i)\s+\d+P\+\d+E(?:\+(?P<gpu>\d+)GPU)?")
"""`Apple M1 Max 8P+2E+32GPU`: kinds of cores, as some benchmarks write a chip's name."""
_GRAPHICS_OF = re.compile(r"(?i)\s+(?:w/|with)\s+(?:AMD )?Radeon\b.*$")
"""`AMD Ryzen 7 7840U w/ Radeon 780M Graphics`: what the processor itself is called comes first."""
_DRIVER_CODE = re.compile(r"(?i)\((?:RADV )?(?P<code>\w+)\)")
"""`AMD Radeon Graphics (RADV GFX1151)`: a driver that knows no name gives the design's."""
_USABLE = 0.985
"""Share of a GPU's memory that its driver offers, without ECC in the memory itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """A row of the table."""

    name: str
    aliases: tuple[str, ...]
    base: str
    """The name without the variant; "" where there is one variant only."""
    default: bool
    kind: DeviceKind
    backend: str
    unified: bool
    memory_gb: tuple[int, ...]
    """What it is sold with, in GiB, ascending; several where the buyer chooses."""
    usable: float
    bandwidth_bytes_per_second: float
    fp16_flops: float | None
    """None for CPU platforms: it depends on the processor. Of a processor, in its best format."""
    int8_ratio: float | None
    """Int8 operations for each of fp16; None: no units for them."""
    generation: str
    dies: int
    cores: int | None
    host: str
    """Row of the CPU platform that it is assumed to sit in."""
    source: str
    features: tuple[str, ...] = ()
    """Of a processor: its vector units."""

    @property
    def largest_gb(self) -> int:
        return max(self.memory_gb)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A row, and the memory where the buyer chooses."""

    device: KnownDevice
    memory_gb: int
    assumed: tuple[str, ...]
    """What was chosen for the caller."""


@cache
def known_devices() -> tuple[KnownDevice, ...]:
    text = resources.files("insource.machine").joinpath("devices.toml").read_text(encoding="utf-8")
    return tuple(_row(family, row) for family in tomllib.loads(text)["family"] for row in family["devices"])


def plain(name: str) -> str:
    """A name without vendor words, case and punctuation: "NVIDIA GeForce RTX 4090" and "rtx-4090" are one."""
    bare = re.sub(r"\([^)]*\)", " ", name.casefold())
    return "".join(word for word in re.findall(r"[a-z0-9]+", bare) if word not in _NOISE)


def find_described(description: str, memory_bytes: int) -> KnownDevice | None:
    """The row of a device that a driver describes, or None. Variants of one name are told apart by their memory; for
    unified memory that is the system's."""
    for spelling in _spellings(description):
        exact, variants = _matches([plain(spelling)])
        if exact:
            return exact[0]
        near = [row for row in variants if any(abs(gb * GIB - memory_bytes) <= 0.15 * gb * GIB for gb in row.memory_gb)]
        figures = {row.bandwidth_bytes_per_second for row in near}
        if len(near) == 1 or len(figures) == 1:
            return _preferred(near)
    return None


def with_rates(device: Device, row: KnownDevice) -> Device:
    """With what the table says of its speed."""
    flops, ratio = row.fp16_flops, row.int8_ratio
    return replace(
        device,
        bandwidth_bytes_per_second=Rate(value=row.bandwidth_bytes_per_second, source="table"),
        matmul_flops=Rate(value=flops, source="table") if flops else None,
        int8_ops=Rate(value=flops * ratio, source="table") if flops and ratio else None,
        generation=row.generation,
    )


def choose(text: str) -> Choice:
    """The row that a person means. Raises UsageError, which names the nearest rows."""
    found = find_choice(text)
    if found is None:
        raise UsageError(
            f"There is no device {text!r} in the table.",
            next_step=f"Nearest: {', '.join(_nearest(text)) or 'none'}. "
            "Or describe it in a file: `--machine file.toml`.",
        )
    return found


def find_choice(text: str) -> Choice | None:
    """The same; None where the table has no such name. Raises UsageError for a name that means several rows."""
    with_memory = _MEMORY.match(text.strip())
    for spelling in _spellings(text):
        exact, variants = _matches([prefix + plain(spelling) for prefix in _SERIES])
        if exact or variants:
            return _choice(exact or variants, None, text)
    for spelling in _spellings(with_memory["name"]) if with_memory else ():
        exact, variants = _matches([prefix + plain(spelling) for prefix in _SERIES])
        if exact or variants:
            return _choice(exact or variants, int((with_memory or {})["gb"]), text)
    return None


def _spellings(text: str) -> Iterator[str]:
    """The name, then what people, drivers and benchmarks add to it taken away or put as the table does."""
    yield text
    yield _SPELT_CORES.sub(lambda cores: f" {cores['gpu']}-core GPU" if cores["gpu"] else "", text)
    yield _SPELT_CORES.sub("", text)
    yield _GRAPHICS_OF.sub("", text)
    code = _DRIVER_CODE.search(text)
    if code and not plain(text):
        yield code["code"]


def _choice(rows: Sequence[KnownDevice], memory_gb: int | None, text: str) -> Choice:
    """Rows are variants of one name."""
    if memory_gb is not None and rows[0].kind != "cpu":  # a board takes what one puts into it
        fitting = [row for row in rows if memory_gb in row.memory_gb]
        if not fitting:
            sizes = sorted({gb for row in rows for gb in row.memory_gb})
            raise UsageError(
                f"{text!r}: it comes with {_list(sizes)} GB, not {memory_gb}.", next_step="Name one of these sizes."
            )
        rows = fitting
    row = _preferred(rows)
    if row is None:
        if rows[0].unified:  # the larger part is the one that has the most memory
            row = max(rows, key=lambda one: (one.largest_gb, one.bandwidth_bytes_per_second))
        else:
            raise UsageError(f"{text!r} can mean {_list([one.name for one in rows])}.", next_step="Name one of these.")
    others = [one.name for one in rows if one is not row]
    assumed = [f"{text!r} is {row.name}, not {_list(others, 'or')}"] if others else []
    if memory_gb is None and len(row.memory_gb) > 1:
        assumed.append(f"{row.name} with its largest memory, {row.largest_gb} GB")
    return Choice(device=row, memory_gb=memory_gb or row.largest_gb, assumed=tuple(assumed))


def _preferred(rows: Sequence[KnownDevice]) -> KnownDevice | None:
    """The only row, or the only one marked as the default."""
    if len(rows) == 1:
        return rows[0]
    marked = [row for row in rows if row.default]
    return marked[0] if len(marked) == 1 else None


def _matches(wanted: Iterable[str]) -> tuple[list[KnownDevice], list[KnownDevice]]:
    """Rows with one of these plain names, and rows that are variants of one."""
    keys = set(wanted) - {"", *_SERIES}
    exact = [row for row in known_devices() if keys & {plain(name) for name in row.names}]
    variants = [row for row in known_devices() if plain(row.base) in keys]
    return exact, variants


def _nearest(text: str) -> list[str]:
    """Names of rows that share the longest run with it or are spelt nearly like it."""
    wanted = plain(text)
    shown = {plain(name): row.name for row in known_devices() for name in (*row.names, row.base) if name}
    inside = [key for key in shown if len(wanted) >= 3 and (wanted in key or (len(key) >= 3 and key in wanted))]
    keys = [*sorted(inside, key=lambda key: abs(len(key) - len(wanted))), *get_close_matches(wanted, shown, n=5)]
    return list(dict.fromkeys(shown[key] for key in keys))[:5]


def _list(items: Iterable[object], word: str = "and") -> str:
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {word} {words[-1]}"


def _row(family: dict[str, Any], row: dict[str, Any]) -> KnownDevice:
    memory = row["memory_gb"]
    kind: DeviceKind = family.get("kind", "gpu")
    unified: bool = family.get("unified", False)
    return KnownDevice(
        name=row["name"],
        aliases=tuple(row.get("aliases", ())),
        base=row.get("base", ""),
        default=row.get("default", False),
        kind=kind,
        backend=family["backend"],
        unified=unified,
        memory_gb=tuple(memory) if isinstance(memory, list) else (memory,),
        usable=row.get("usable", family.get("usable", _USABLE)),
        bandwidth_bytes_per_second=row["bandwidth_gbs"] * 1e9,
        fp16_flops=row["fp16_tflops"] * 1e12 if "fp16_tflops" in row else None,
        int8_ratio=row.get("int8", family.get("int8")),
        generation=row.get("generation", family.get("generation", "")),
        dies=row.get("dies", 1),
        cores=row.get("cores"),
        host=family.get("host", "DDR5-5600"),
        source=row.get("source", family["source"]),
    )
