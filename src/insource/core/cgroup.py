"""What Linux control groups allow this process: memory and CPU time, cgroup v1 and v2. Pure over the texts of files;
`read` gives a file's text, or None where there is none (`read_file` for the real ones).

A limit may stand on any group between the root of the hierarchy and our own, so the smallest one along the path holds.
In a container the path that /proc/self/cgroup names may lie outside what is mounted; then the mount itself is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Read = Callable[[str], str | None]

SELF = "/proc/self/cgroup"
MOUNTS = "/proc/self/mountinfo"
MEMORY_FILES = (
    ("memory.max", "memory.high", "memory.current", "memory.stat"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
)
"""Of cgroup v2, and of v1."""
CPU_FILES = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
_NO_LIMIT_BYTES = 1 << 60
"""v1 says "no limit" with the largest number of pages that it can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group's folder, on the way from the root to our own."""

    folder: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBound:
    """What the groups leave to us; None: no limit."""

    limit_bytes: int | None
    free_bytes: int | None


def read_file(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def groups(controller: str, read: Read) -> list[Group]:
    """From the root of the hierarchy to our own group. A controller lives in v1 or in v2, never in both."""
    version, path = _own_path(controller, read(SELF) or "")
    mount = _mount(controller, version, read(MOUNTS) or "")
    if path is None or mount is None:
        return []
    root, point = mount
    try:
        inside = PurePosixPath(path).relative_to(root).parts
    except ValueError:
        inside = ()
    if ".." in inside:
        inside = ()
    folders = [str(PurePosixPath(point, *inside[:depth])) for depth in range(len(inside) + 1)]
    return [Group(folder=folder, version=version) for folder in folders]


def memory_bound(read: Read) -> MemoryBound:
    limits: list[int] = []
    frees: list[int] = []
    for group in groups("memory", read):
        limit = _memory_limit(group, read)
        if limit is None:
            continue
        limits.append(limit)
        used = _number(read(f"{group.folder}/{'memory.current' if group.version == 2 else 'memory.usage_in_bytes'}"))
        # Cached file pages count as used, but are given back when memory is asked for.
        frees.append(max(0, limit - max(0, (used or 0) - _reclaimable(group, read))))
    return MemoryBound(limit_bytes=min(limits, default=None), free_bytes=min(frees, default=None))


def cpu_quota(read: Read) -> float | None:
    """Processors' worth of time; None: no limit."""
    quotas = [quota for group in groups("cpu", read) if (quota := _cpu_quota(group, read)) is not None]
    return min(quotas, default=None)


def _own_path(controller: str, own: str) -> tuple[int, str | None]:
    unified: str | None = None
    for line in own.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller in names.split(","):
            return 1, path
        if number == "0" and not names:
            unified = path
    return 2, unified


def _mount(controller: str, version: int, mounts: str) -> tuple[str, str] | None:
    """Which group is mounted (its path in the hierarchy), and where."""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        wanted = kind[0] == "cgroup2" if version == 2 else kind[0] == "cgroup" and controller in kind[2].split(",")
        if wanted:
            return fields[3], fields[4]
    return None


def _memory_limit(group: Group, read: Read) -> int | None:
    # Above memory.high the kernel slows a process down until it gives memory back: no place for a model.
    names = ("memory.max", "memory.high") if group.version == 2 else ("memory.limit_in_bytes",)
    found = list(_limits(group.folder, names, read))
    return min(found, default=None)


def _limits(folder: str, names: tuple[str, ...], read: Read) -> Iterator[int]:
    for name in names:
        limit = _number(read(f"{folder}/{name}"))
        if limit is not None and limit < _NO_LIMIT_BYTES:
            yield limit


def _reclaimable(group: Group, read: Read) -> int:
    wanted = "inactive_file" if group.version == 2 else "total_inactive_file"
    for line in (read(f"{group.folder}/memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == wanted:
            return _number(value) or 0
    return 0


def _cpu_quota(group: Group, read: Read) -> float | None:
    if group.version == 2:
        quota, _, period = (read(f"{group.folder}/cpu.max") or "").strip().partition(" ")
    else:
        quota = read(f"{group.folder}/cpu.cfs_quota_us") or ""
        period = read(f"{group.folder}/cpu.cfs_period_us") or ""
    allowed, of = _number(quota), _number(period)
    return allowed / of if allowed is not None and allowed > 0 and of else None


def _number(text: str | None) -> int | None:
    try:
        return int((text or "").strip())
    except ValueError:  # "max", or nothing
        return None
