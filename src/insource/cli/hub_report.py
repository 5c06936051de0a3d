"""`insource hub report`: the published reports' figures from a snapshot, as a page, pictures, tables and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption, parse_day
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.errors import UsageError

if TYPE_CHECKING:
    from insource.core.ecosystem_report import Taken

OutOption = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for report.html, SVG, PNG and CSV.")]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="PATH",
        help="hub-stats' models.parquet or API records; default: the newest local snapshot or the shipped catalogue.",
    ),
]
SinceOption = Annotated[
    str, typer.Option(metavar="YYYY-MM-DD", help="Also show changes since the last snapshot up to this day.")
]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", metavar="FIGURE", help="Make only this figure; repeatable.")
]
OrganisationsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml", help="Use your own table of account kinds and countries instead of the shipped one."
    ),
]


def report(  # noqa: PLR0913 - a command's parameters are its options
    out: OutOption = Path("hub-report"),
    file: FileOption = None,
    since: SinceOption = "",
    only: OnlyOption = None,
    organisations: OrganisationsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare figures of the Hub with published ones: definitions, charts, numbers. Uses no network."""
    from insource.wiring_choose import open_ecosystem
    from insource.workflows.ecosystem.report import report_json

    sink = Output(as_json=as_json, quiet=quiet)
    with sink.progress() as progress:
        progress("Reading the snapshot and counting", 0, 1)
        with open_ecosystem(load_settings(), file) as ecosystem:
            made = ecosystem.report(only=only or (), organisations=organisations, since=parse_day(since))
        progress("Reading the snapshot and counting", 1, 1)
        written = _write(made, out)
    if as_json:
        sink.data({**report_json(made), "page": str(written)})
        return
    _show(made, sink)
    sink.text(f"The page: {written}")


def _write(made: Taken, folder: Path) -> Path:
    from insource.adapt.extras import require

    require(("altair", "vl_convert"), extra="charts", purpose="The report")
    from insource.web import hub_figures

    try:
        return hub_figures.write(made, folder)
    except OSError as error:
        raise UsageError(
            f"The folder {str(folder)!r} can't be written ({error.strerror}).", next_step="Name another with --out."
        ) from error


def _show(made: Taken, sink: Output) -> None:
    from insource.workflows.ecosystem.report import compared

    sample = " (a sample of the Hub)" if made.ground.is_sample else ""
    sink.text(f"{made.ground.models:,} models of {made.source}{sample}. Uses: {made.ground.basis}.")
    rows = [
        (found.figure.id if at == 0 else "", f"{found.stated:,}" if at == 0 else "", line.published, line.ours)
        for found in made.drawn
        for at, line in enumerate(compared(found.figure, found.values))
    ]
    sink.table("Published and ours", ("figure", ">counted", "published", "ours"), rows)
    if made.missing:
        missing = [(item.figure.id, "; ".join(item.what)) for item in made.missing]
        sink.table("What this snapshot can't support", ("figure", "what is missing"), missing)
