"""`insource quantize`: a model in fewer bits, with what that costs on a task's own requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.workflows.prove.quantize import Quants


def quantize(  # noqa: PLR0913 - a command's parameters are its options
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file; '' is the default model.")],
    task: Annotated[str, typer.Option(help="Compare on this task's requests: its id or name.")],
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Try this type, such as Q4_K_M; repeatable.")
    ] = None,
    requests: Annotated[int, typer.Option(min=20, help="Compare on at most this many requests.")] = 200,
    importance: Annotated[
        str | None,
        typer.Option(
            metavar="measure|FILE",
            help="Keep the weights that matter precise: measured on the task's requests (extra adapt), or from "
            "llama.cpp's file.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files; default: in the data folder.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Quantise a model and recommend the smallest file that loses little on a task."""
    from insource.traffic.resolve import resolve_task
    from insource.workflows.prove.quantize import TYPES, Smaller, quantize_model, quants_json
    from insource.workflows.services import model_file

    with session(as_json=as_json, quiet=quiet) as (services, shown):
        named = resolve_task(services.registry.tasks(), task)
        folder = out or services.settings.home / "quantized"
        matrix = Path(importance) if importance not in (None, "measure") else importance
        wanted = Smaller(folder=folder, types=type_ or TYPES, requests=requests, importance=matrix)
        with shown.progress() as progress:
            file = model_file(services, model)
            found = asyncio.run(quantize_model(services, named, file, wanted=wanted, progress=progress))
        if as_json:
            shown.data(quants_json(found))
        else:
            _show(found, named.name, margin=services.settings.margin, out=shown)


def _show(found: Quants, name: str, *, margin: float, out: Output) -> None:
    columns = ["type", ">MB", ">same answer", ">worse / better", ">McNemar p", ">loss at most", ">KL", ">same top"]
    out.table(
        name,
        columns,
        [
            (
                row.type_name,
                f"{row.file.size_bytes / 1e6:.1f}",
                f"{row.flips.same / max(row.flips.n, 1):.1%}",
                f"{row.flips.worse} / {row.flips.better}",
                f"{row.flips.mcnemar_p:.2g}",
                f"{row.loss_upper:.1%}",
                f"{row.divergence.mean:.4f}",
                f"{row.divergence.same_top / max(row.divergence.positions, 1):.1%}",
            )
            for row in found.rows
        ],
    )
    if found.recommended is None:
        out.text(f"No file was shown to lose at most {margin:.1%} here; more requests of this task may change that.")
    else:
        out.text(f"Recommended: {found.recommended}, the smallest shown to lose at most {margin:.1%} on this task.")
