"""The measurement that is kept: a JSON file with the fingerprint of the machine that it was taken on."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from insource.core.errors import StorageError
from insource.core.hardware import Machine, Rate
from insource.core.hashing import content_address
from insource.machine.measure import Measurement, Spread
from insource.machine.probe import Probe
from insource.machine.read import cpu_name, system_memory

FILE = "machine.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    measurement: Measurement
    measured_at: datetime


def fingerprint(probe: Probe) -> str:
    """Changes with whatever the figures depend on: processor, memory, cores, devices, and how we measure."""
    devices = sorted(f"{device.get('name')} {device.get('description')}" for device in probe.devices)
    facts = [probe.version, cpu_name(probe), system_memory(probe).total_bytes, probe.cores, devices]
    return content_address(facts)


def load(folder: Path, probe: Probe) -> Kept | None:
    """None when there is none, when it is another machine's, or when the file is no longer what we wrote."""
    try:
        given: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if given["fingerprint"] != fingerprint(probe):
            return None
        values: dict[str, Any] = given["measurement"]
        for name in ("bandwidth_bytes_per_second", "matmul_flops"):
            values[name] = Spread(**values[name])
        measurement = Measurement(**values)
        return Kept(measurement=measurement, measured_at=datetime.fromisoformat(given["measured_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(folder: Path, probe: Probe, kept: Kept) -> None:
    """Raises StorageError. Another process sees the former file or this one, never a part."""
    document = {
        "fingerprint": fingerprint(probe),
        "measured_at": kept.measured_at.isoformat(),
        "measurement": asdict(kept.measurement),
    }
    written = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, written = tempfile.mkstemp(dir=folder, prefix=FILE)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=2)
        Path(written).replace(folder / FILE)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(written).unlink()
        raise StorageError(
            f"The measurement can't be kept in {str(folder)!r}: {error}.", next_step="Set INSOURCE_HOME to a folder."
        ) from error


def with_measured(machine: Machine, measurement: Measurement) -> Machine:
    """The CPU's figures, and the bandwidth of devices that share its memory and that the table does not know."""
    bandwidth = Rate(value=measurement.bandwidth_bytes_per_second.median, source="measured")
    flops = Rate(value=measurement.matmul_flops.median, source="measured")
    accelerators = tuple(
        replace(device, bandwidth_bytes_per_second=bandwidth)
        if device.unified and device.bandwidth_bytes_per_second is None
        else device
        for device in machine.accelerators
    )
    cpu = replace(machine.cpu, bandwidth_bytes_per_second=bandwidth, matmul_flops=flops)
    return replace(machine, devices=(*accelerators, cpu))
