"""`insource machine`: what this computer has, or one that a name means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.errors import UsageError

if TYPE_CHECKING:
    from insource.core.hardware import Device, Machine, Rate
    from insource.workflows.choose.machine import Described

_GIB = 1 << 30


def machine(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="here; a device (rtx-4090, m4-max-64gb); several (2x h100, rtx-3090+rtx-3060); or a file.toml.",
        ),
    ] = "here",
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure memory and processor speed now: a few seconds at full load.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print what ggml and the system report, unprocessed.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what a computer offers for running models: devices, memory, speed. Default: this one."""
    from insource.wiring import SystemClock
    from insource.workflows.choose.machine import HERE, MachineFolders, describe, find_machine

    settings, clock, out = load_settings(), SystemClock(), Output(as_json=as_json, quiet=quiet)
    folders = MachineFolders(home=settings.home, models=settings.model_cache)
    if name != HERE:
        if measure or raw:
            raise UsageError(
                f"{name!r} can't be measured or probed from here.",
                next_step="Leave the name out to measure this machine: `insource machine --measure`.",
            )
        _show(find_machine(name, folders, clock=clock), None, out)
        return
    if measure:
        out.say("Measuring for a few seconds …")
    described = describe(folders, clock=clock, measure_now=measure)
    if raw:
        out.data(described.probe.json())
    else:
        _show(described.machine, described, out)


def _show(shown: Machine, described: Described | None, out: Output) -> None:
    if out.as_json:
        out.data(machine_json(shown, described))
        return
    rows = [_device_row(device) for device in shown.devices]
    columns = ["device", "what", ">free GiB", ">total GiB", ">reads GB/s", ">TFLOPS", "figures"]
    out.table(f"Machine: {shown.name}", columns, rows)
    for what, fact in _facts(shown, described):
        out.text(f"{what:<16} {fact}")
    if described is not None:
        _advise(described, out)


def machine_json(shown: Machine, described: Described | None) -> dict[str, object]:
    document: dict[str, object] = {**asdict(shown), "measured": None, "engine_error": None}
    if described is not None:
        document["engine_error"] = described.probe.engine_error or None
        if described.kept is not None:
            measurement = asdict(described.kept.measurement)
            document["measured"] = {"at": described.kept.measured_at.isoformat(), **measurement}
    return document


def _device_row(device: Device) -> tuple[str, ...]:
    sources = dict.fromkeys(
        rate.source for rate in (device.bandwidth_bytes_per_second, device.matmul_flops) if rate is not None
    )
    return (
        device.name,
        device.description + (" (shares the system's memory)" if device.unified else ""),
        f"{device.memory_free_bytes / _GIB:,.1f}",
        f"{device.memory_total_bytes / _GIB:,.1f}",
        _rate(device.bandwidth_bytes_per_second, 1e9),
        _rate(device.matmul_flops, 1e12),
        ", ".join(sources) or "not measured",
    )


def _rate(rate: Rate | None, unit: float) -> str:
    return (
        "?" if rate is None else f"{rate.value / unit:,.3g}" if rate.value < 100 * unit else f"{rate.value / unit:,.0f}"
    )


def _facts(shown: Machine, described: Described | None) -> Iterator[tuple[str, str]]:
    yield "cores", f"{shown.cores} physical" + (" that this process may use" if described else "")
    if described is not None:
        bound = {"physical": "what is built in", "cgroup": "the limit of a control group (container or service)"}
        yield "memory bound by", bound[shown.memory_limit]
    if shown.cpu_features:
        yield "processor", " ".join(shown.cpu_features)
    if shown.disk_free_bytes is not None:
        yield "disk", f"{shown.disk_free_bytes / 1e9:,.1f} GB free for models"
    if described is not None and described.kept is not None:
        found = described.kept.measurement.bandwidth_bytes_per_second
        yield (
            "measured",
            f"{described.kept.measured_at:%Y-%m-%d %H:%M} UTC, {described.kept.measurement.threads} threads; reading"
            f" {found.low / 1e9:,.1f} to {found.high / 1e9:,.1f} GB/s in 8 of 10 rounds",
        )
    for note in shown.assumed:
        yield "assumed", note


def _advise(described: Described, out: Output) -> None:
    if described.probe.engine_error:
        out.say(f"The engine names no devices: {described.probe.engine_error}. Next: insource machine --raw")
    if described.kept is None:
        out.say("Not measured yet. Next: insource machine --measure")
    elif not described.kept.measurement.undisturbed:
        share = described.kept.measurement.cpu_share
        out.say(f"Other programs had {1 - share:.0%} of the cores: measure again when the machine is idle.")
