"""`insource plan`: tasks x candidates -> verdicts, as a table, as JSON, and as one HTML file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.candidates import AnswersOption, MinutesOption, ModelOption, StatedOption, wanted
from insource.cli.options import JsonOption, MachineOption, QuietOption
from insource.cli.output import Output, counted
from insource.cli.session import session
from insource.cli.show_plan import show_plan

if TYPE_CHECKING:
    from insource.workflows.plan import Plan
    from insource.workflows.services import Services

_NOTHING_MOVES = 3
"""Exit status of `--check`, for CI."""


def plan(  # noqa: PLR0913 - a command's parameters are its options
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Where the report goes too.")] = None,
    model: ModelOption = None,
    answers: AnswersOption = None,
    stated: StatedOption = None,
    minutes: MinutesOption = None,
    machine: MachineOption = "here",
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="MODEL=IN/OUT",
            help="Take a hosted model to cost this, in USD per million tokens; may be given again.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 0 if something can move, with 3 if nothing can yet.")
    ] = False,
    export_requests: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only write the requests, for a batch service or another machine."),
    ] = None,
    include_private: Annotated[
        bool, typer.Option("--include-private", help="With --export-requests: private ones too.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the tasks, measure what can be measured, and say for each what to do with it, and why."""
    from insource.wiring_choose import open_fit
    from insource.workflows.choose.money import parse_price
    from insource.workflows.plan import make_plan, plan_json
    from insource.workflows.prove.evaluate import budget_of
    from insource.workflows.weigh import weigh

    prices = [parse_price(text) for text in price or ()]
    with session(as_json=as_json, quiet=quiet) as (services, out), open_fit(services.settings) as fit:
        if export_requests is not None:
            _export(services, export_requests, out, include_private=include_private)
            return
        if machine != "here":
            fit.find_machine(machine)  # a wrong name is told before anything is measured
        candidates = wanted(services, models=model, answers=answers, stated=stated)
        with out.progress() as progress:
            budget = budget_of(services, minutes)
            made = asyncio.run(
                make_plan(services, candidates=candidates, budget=budget, prices=prices, progress=progress)
            )
        made = weigh(made, services, fit, machine=machine)
        report = write_report(made, services.settings.home / "plan.html")
        if html is not None:
            write_report(made, html)
        if as_json:
            out.data(plan_json(made))
        else:
            show_plan(made, out)
            out.say(f"Report: {html or report}")
    if check and not made.can_move:
        raise typer.Exit(_NOTHING_MOVES)


def _export(services: Services, path: Path, out: Output, *, include_private: bool) -> None:
    from insource.workflows.prove.export_log import export_requests
    from insource.workflows.prove.find_tasks import find_tasks

    find_tasks(services)
    report = export_requests(services, path, include_private=include_private)
    withheld = f"; {report.withheld_private:,} private ones were withheld" if report.withheld_private else ""
    out.text(f"{counted(report.written, 'request')} written to {path}{withheld}.")
    out.say("Next: have them answered, then insource plan --answers FILE --stated model=NAME")


def write_report(made: Plan, path: Path) -> Path:
    """The page, and beside it the same plan as JSON: what the dashboard shows of it."""
    from insource.core.errors import StorageError
    from insource.web.report import render
    from insource.workflows.plan import plan_json
    from insource.workflows.saved_plan import save_plan

    try:
        # For its owner's eyes: the report quotes requests.
        path.touch()
        path.chmod(0o600)
        path.write_text(render(made), "utf-8")
    except OSError as error:
        raise StorageError(
            f"The report can't be written to {str(path)!r}: {error.strerror}.",
            next_step="Name another file with --html; `--json` prints the plan.",
        ) from error
    save_plan(plan_json(made), path.with_suffix(".json"))
    return path
