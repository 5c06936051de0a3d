"""`insource fit`: memory and speed of a model here, or on a machine that one names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, MachineOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.hardware import say_machine

if TYPE_CHECKING:
    from insource.fit.values import DeviceMemory
    from insource.workflows.choose.fit import FitReport

_GIB = 2**30
_BAR_CELLS = 56
_LEAST_CELLS = 16
"""Of a bar on a narrow terminal: beside its figures it must stay on one line."""
_FILLS = "█▓▒░·"
"""Weights, KV cache, compute, margin, free: told apart without colour."""

ContextOption = Annotated[int, typer.Option(min=256, metavar="TOKENS", help="Context length, shared by all slots.")]
SlotsOption = Annotated[int, typer.Option(min=1, max=256, help="Requests at the same time; each gets context / slots.")]
QuantizationOption = Annotated[
    str, typer.Option(help="Quantisation to assume where no file states one: Q4_K_M, Q8_0, ...")
]
LayersOption = Annotated[
    int | None, typer.Option(min=0, help="Layers to put on accelerators; default: as many as fit.")
]
DepthOption = Annotated[
    int | None, typer.Option(min=0, metavar="TOKENS", help="Context depth at which to estimate speed.")
]
TaskOption = Annotated[
    str, typer.Option(metavar="TASK", help="Also estimate how many requests of this task this machine can serve.")
]
LatencyOption = Annotated[
    float,
    typer.Option(
        min=0.001, metavar="SECONDS", help="With --task: time within which 95 of 100 requests must be answered."
    ),
]
BesideOption = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="REF", help="Also load this projector or LoRA adapter; repeatable."),
]
DraftOption = Annotated[str, typer.Option(metavar="REF", help="Also load this draft model, for speculative decoding.")]
FirstExpertsOption = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Keep the experts of the first N layers in system memory.")
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Use only local files and shipped tables, no network.")]
SvgOption = Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Also write the memory picture to this file.")]
ExpertsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override-tensor",
        "-ot",
        metavar="PATTERN=CPU",
        help="Keep experts whose tensor names match in system memory.",
    ),
]


def fit(  # noqa: PLR0913 - a command's parameters are its options
    model: Annotated[str, typer.Argument(help="A model file, a Hub id, or `org/name` of a known family.")],
    context: ContextOption = 8192,
    slots: SlotsOption = 4,
    cache_type: Annotated[str, typer.Option(help="Type of the KV cache: f16, q8_0, q4_0, ...")] = "f16",
    quantization: QuantizationOption = "",
    gpu_layers: LayersOption = None,
    depth: DepthOption = None,
    task: TaskOption = "",
    latency: LatencyOption = 30.0,
    beside: BesideOption = None,
    draft: DraftOption = "",
    n_cpu_moe: FirstExpertsOption = None,
    override_tensor: ExpertsOption = None,
    machine: MachineOption = "here",
    offline: OfflineOption = False,
    svg: SvgOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Estimate whether a model fits a machine, how fast it is there, and what to change if it does not fit."""
    from insource.wiring_choose import open_fit
    from insource.workflows.choose.apart import Apart
    from insource.workflows.choose.fit import FitQuestion, answer, parse_run
    from insource.workflows.choose.fit_report import fit_json, sentences

    question = FitQuestion(
        model=model,
        run=parse_run(context_tokens=context, slots=slots, cache_type=cache_type, gpu_layers=gpu_layers),
        machine=machine,
        quantization=quantization,
        depth_tokens=depth,
        task=task,
        latency_seconds=latency,
        extras=tuple(beside or ()),
        draft=draft,
        apart=Apart(first_layers=n_cpu_moe, patterns=tuple(override_tensor or ())),
        offline=offline,
    )
    out = Output(as_json=as_json, quiet=quiet)
    with open_fit(load_settings()) as parts:
        report = answer(question, parts)
    if svg is not None:
        _write_svg(report, svg)
    out.data(fit_json(report)) if as_json else show(report, sentences(report), out=out)


def show(report: FitReport, told: Sequence[str], *, out: Output) -> None:
    """One bar per device, then sentences."""
    spec, memory = report.spec, report.memory
    architecture = spec.architecture
    out.text(
        f"{spec.name} · {spec.weights.quantization or 'unknown quantisation'} · {architecture.name}, "
        f"{len(architecture.layers)} layers, {spec.parameters / 1e9:,.2f} B parameters"
        + (f" ({spec.active_parameters / 1e9:,.2f} B active)" if spec.active_parameters != spec.parameters else "")
        + f" · {spec.license or 'licence not stated'}"
    )
    out.text(
        f"{report.found} On {say_machine(report.machine.name)}: "
        f"{report.run.context_tokens:,} tokens, {report.run.slots} slots, KV cache in {report.run.cache_type_k}."
    )
    out.text(f"{_FILLS[0]} weights  {_FILLS[1]} KV cache  {_FILLS[2]} compute  {_FILLS[3]} margin  {_FILLS[4]} free")
    width = max(len(device.device) for device in memory.devices)
    sizes = [_sizes(device) for device in memory.devices]
    cells = min(_BAR_CELLS, max(_LEAST_CELLS, out.width - width - 2 - max(map(len, sizes))))
    for device, size in zip(memory.devices, sizes, strict=True):
        out.text(f"{device.device:<{width}} {bar(device, cells)} {size}")
    for sentence in told:
        out.text(sentence)


def bar(device: DeviceMemory, cells: int = _BAR_CELLS) -> str:
    """Every part that is not empty has a cell at least; a need beyond the free memory ends in `!`."""
    parts = device.part_bytes
    whole = sum(parts) or 1
    drawn = "".join(
        fill * max(1 if size else 0, round(cells * size / whole)) for fill, size in zip(_FILLS, parts, strict=True)
    )
    return drawn[: cells - 1] + ("!" if not device.fits else drawn[cells - 1 : cells] or _FILLS[4])


def _sizes(device: DeviceMemory) -> str:
    needed = device.total_bytes + device.margin_bytes
    return (
        f"{device.weights_bytes / _GIB:.2f} + {device.kv_cache_bytes / _GIB:.2f} + {device.compute_bytes / _GIB:.2f}"
        f" + {device.margin_bytes / _GIB:.2f} = {needed / _GIB:.2f} of {device.free_bytes / _GIB:.2f} GiB free"
    )


def _write_svg(report: FitReport, path: Path) -> None:
    from insource.adapt.extras import require
    from insource.core.errors import StorageError

    require(("altair", "vl_convert"), extra="charts", purpose="The picture")
    from insource.web.fit_chart import memory_svg

    title = f"{report.spec.name} {report.spec.weights.quantization} on {report.machine.name}"
    try:
        path.write_text(memory_svg(report.memory, title=title), "utf-8")
    except OSError as error:
        raise StorageError(
            f"The picture can't be written to {str(path)!r}: {error.strerror}.", next_step="Name another file."
        ) from error
