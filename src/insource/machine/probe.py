"""Takes the probe: everything that this machine says of itself, untouched. What it means is decided in `read.py`, so
that the probe of a bug report can be read again anywhere.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insource.config import child_environment
from insource.core import cgroup
from insource.core.cores import usable_cores

VERSION = 1
"""Of the probe's form and of how it measures; a cached measurement of another version is measured again."""
_ENGINE_SECONDS = 30.0
"""A driver that needs longer to say what it has hangs."""
_CACHES = "/sys/devices/system/cpu/cpu0/cache"
_MAC_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "sysctl": ("/usr/sbin/sysctl", "hw", "machdep.cpu"),
    "vm_stat": ("/usr/bin/vm_stat",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was found. Every field is as its source gave it."""

    version: int = VERSION
    system: str
    """`Linux`, `Darwin`, `Windows`."""
    architecture: str
    devices: tuple[Mapping[str, Any], ...]
    """ggml's."""
    system_info: str
    """ggml's list of the CPU features that its build uses."""
    engine_error: str
    """Why ggml said nothing; "" when it did."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Linux: those of /proc and /sys that were there, by path. /proc/cpuinfo only up to its second processor, and of
    the mounts only those of control groups."""
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    """macOS: output of sysctl and vm_stat."""
    cores: int
    disk_free_bytes: int | None

    def json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def probe_from_json(text: str) -> Probe:
    given: dict[str, Any] = json.loads(text)
    given["devices"] = tuple(given["devices"])
    return Probe(**given)


def take_probe(model_folder: Path) -> Probe:
    """Within a second; needs no network and never raises for what a machine lacks."""
    found, error = _ask_engine()
    system = platform.system()
    return Probe(
        system=system,
        architecture=platform.machine(),
        devices=tuple(found.get("devices", ())),
        system_info=found.get("system_info", ""),
        engine_error=error,
        files=dict(_linux_files()) if system == "Linux" else {},
        commands=dict(_mac_outputs()) if system == "Darwin" else {},
        cores=usable_cores(),
        disk_free_bytes=_disk_free(model_folder),
    )


def _ask_engine() -> tuple[dict[str, Any], str]:
    # -P: a file in the working folder must not pass for a module of the standard library.
    argv = (sys.executable, "-P", "-m", "insource.machine.ggml_devices")
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_ENGINE_SECONDS, env=child_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        return {}, f"ggml named no devices within {_ENGINE_SECONDS:.0f} seconds"
    except OSError as error:
        return {}, str(error)
    try:
        return json.loads(done.stdout), ""
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return {}, f"the process that asks ggml ended with {done.returncode}: {last}"


def _linux_files() -> Iterator[tuple[str, str]]:
    names = ["/proc/meminfo", cgroup.SELF]
    for controller, of_versions in (("memory", cgroup.MEMORY_FILES), ("cpu", cgroup.CPU_FILES)):
        for group in cgroup.groups(controller, cgroup.read_file):
            names += [f"{group.folder}/{name}" for name in of_versions[0 if group.version == 2 else 1]]
    names += [f"{_CACHES}/index{level}/{name}" for level in range(5) for name in ("level", "type", "size")]
    for name in dict.fromkeys(names):
        text = cgroup.read_file(name)
        if text is not None:
            yield name, text
    # One processor of many; and where a user mounts what is nobody's business in a bug report.
    yield "/proc/cpuinfo", (cgroup.read_file("/proc/cpuinfo") or "").partition("\n\n")[0]
    mounts = (cgroup.read_file(cgroup.MOUNTS) or "").splitlines()
    yield cgroup.MOUNTS, "\n".join(line for line in mounts if " - cgroup" in line)


def _mac_outputs() -> Iterator[tuple[str, str]]:
    for name, argv in _MAC_COMMANDS.items():
        try:
            yield name, subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue


def _disk_free(folder: Path) -> int | None:
    """Of the nearest folder that exists: the cache is made with the first model."""
    for existing in (folder, *folder.absolute().parents):
        if existing.exists():
            try:
                return shutil.disk_usage(existing).free
            except OSError:
                return None
    return None
