"""What Linux says of a process."""

from __future__ import annotations

from pathlib import Path


def peak_resident_kb(pid: int | str) -> int:
    """VmHWM: the most pages that it ever had in memory, mapped files included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError(f"no VmHWM in /proc/{pid}/status")
