"""What this computer is (`insource machine`), and which machine a name means (`--machine` of every command)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from insource.core.errors import BadInput, UsageError
from insource.core.hardware import HERE, Machine
from insource.core.ports import Clock
from insource.machine.file import machine_from_toml
from insource.machine.measure import BRIEF_SECONDS, FULL_SECONDS, Measurement, measure
from insource.machine.measured import Kept, load, save, with_measured
from insource.machine.parse import parse_machine
from insource.machine.probe import Probe, take_probe
from insource.machine.read import last_cache_bytes, read_probe


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFolders:
    home: Path
    """Where a measurement is kept."""
    models: Path
    """Whose disk must hold model files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    machine: Machine
    probe: Probe
    kept: Kept | None
    """The measurement behind the machine's measured figures; None: never measured, or on a machine that has changed."""


def describe(folders: MachineFolders, *, clock: Clock, measure_now: bool = False) -> Described:
    """This machine. Measuring takes some seconds of full load; what was measured is kept and used until the machine
    changes. Raises StorageError when it can't be kept."""
    probe = take_probe(folders.models)
    machine = read_probe(probe)
    kept = load(folders.home, probe)
    if measure_now:
        kept = Kept(measurement=_measure(machine, probe, FULL_SECONDS), measured_at=clock.now())
        save(folders.home, probe, kept)
    if kept is not None:
        machine = with_measured(machine, kept.measurement)
    return Described(machine=machine, probe=probe, kept=kept)


def find_machine(text: str, folders: MachineFolders, *, clock: Clock, brief: bool = False) -> Machine:
    """`here`, a file that ends in .toml, or devices by name ("2x h100"). `brief`: here, where nothing was measured yet,
    a fraction of a second is spent on it. Raises UsageError, BadInput."""
    name = text.strip()
    if name in ("", HERE):
        here = describe(folders, clock=clock)
        return _measured_briefly(here) if brief and here.kept is None else here.machine
    if name.casefold().endswith(".toml"):
        return machine_from_toml(_text(Path(name).expanduser()), name=name)
    return parse_machine(name)


def _measured_briefly(here: Described) -> Machine:
    measured = with_measured(here.machine, _measure(here.machine, here.probe, BRIEF_SECONDS))
    note = "bandwidth and matrix rate, measured briefly just now; `insource machine --measure` does it with care, once"
    return replace(measured, assumed=(*measured.assumed, note))


def _measure(machine: Machine, probe: Probe, time_seconds: float) -> Measurement:
    return measure(
        threads=probe.cores,
        cache_bytes=last_cache_bytes(probe),
        free_bytes=machine.cpu.memory_free_bytes,
        time_seconds=time_seconds,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"The machine file {str(file)!r} can't be read: {reason}.", next_step="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"The machine file {str(file)!r} is not text.", next_step="Give a TOML file.") from error
