"""Physical cores that this process may use: what the engine's worker takes as threads, and what `machine` reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from insource.core.cgroup import Read, cpu_quota, read_file


def usable_cores() -> int:
    """Physical cores within this process's CPU affinity and control groups. More threads than that make llama.cpp
    slower, not faster."""
    cpus = os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)
    return cores_within(cpus, read_file)


def cores_within(cpus: Iterable[int], read: Read) -> int:
    """Hyper-threads of one core count once. Half a processor of quota is still one thread's work."""
    cores = len({read(siblings_file(cpu)) or str(cpu) for cpu in cpus})
    quota = cpu_quota(read)
    return max(1, cores if quota is None else min(cores, int(quota)))


def siblings_file(cpu: int) -> str:
    return f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
