"""`insource plan`: tasks x candidates -> verdicts, as a table, as JSON, and as one HTML file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.candidates import AnswersOption, MinutesOption, ModelOption, StatedOption, wanted
from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.workflows.plan import Plan, PlanRow
    from insource.workflows.services import Services


def plan(  # noqa: PLR0913 - a command's parameters are its options
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Where the report goes too.")] = None,
    model: ModelOption = None,
    answers: AnswersOption = None,
    stated: StatedOption = None,
    minutes: MinutesOption = None,
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
    from insource.workflows.plan import make_plan, plan_json
    from insource.workflows.prove.evaluate import budget_of

    with session(as_json=as_json, quiet=quiet) as (services, out):
        if export_requests is not None:
            _export(services, export_requests, out, include_private=include_private)
            return
        candidates = wanted(services, models=model, answers=answers, stated=stated)
        with out.progress() as progress:
            budget = budget_of(services, minutes)
            made = asyncio.run(make_plan(services, candidates=candidates, budget=budget, progress=progress))
        report = write_report(made, services.settings.home / "plan.html")
        if html is not None:
            write_report(made, html)
        if as_json:
            out.data(plan_json(made))
        else:
            show_plan(made, out)
            out.say(f"Report: {html or report}")


def _export(services: Services, path: Path, out: Output, *, include_private: bool) -> None:
    from insource.workflows.prove.export_log import export_requests
    from insource.workflows.prove.find_tasks import find_tasks

    find_tasks(services)
    report = export_requests(services, path, include_private=include_private)
    withheld = f"; {report.withheld_private:,} private ones were withheld" if report.withheld_private else ""
    out.text(f"{report.written:,} requests written to {path}{withheld}.")
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


def show_plan(made: Plan, out: Output) -> None:
    columns = ["task", ">exchanges", "verdict", "recipe", ">covers", ">quality (n)", ">loses at most", "why"]
    out.table(f"{made.exchanges:,} exchanges, {len(made.rows)} tasks", columns, map(_cells, made.rows))
    estimated = f" (${made.spend_estimated_usd:,.2f} of it at list price)" if made.spend_estimated_usd else ""
    out.text(
        f"Spent on hosted calls ${made.spend_usd:,.2f}{estimated}; after the moves ${made.spend_after_usd:,.2f}. "
        f"{made.moved_share:.1%} of the requests can be answered here with a certificate."
    )
    if made.private_share > 0:
        out.text(
            f"{made.private_share:.1%} of the requests hold private data. They go where all others go; "
            "INSOURCE_PRIVACY=enforce would keep them on this machine."
        )
    for row in made.rows:
        if row.coverage > 0:
            out.say(f"Next: insource move {row.report.task.id}")


def _cells(row: PlanRow) -> tuple[str, ...]:
    evaluation = row.evaluation
    shown = (evaluation.covered or evaluation.overall) if evaluation else None
    labels = "label" in row.report.figures.reference_kinds
    bound = evaluation.loss_upper if evaluation else None
    return (
        f"{row.report.task.id}\n{row.report.task.name}",
        f"{row.exchanges:,}",
        row.verdict.value,
        row.recipe or "–",
        f"{row.coverage:.1%}" if row.coverage else "–",
        f"{shown.quality:.1%} ({shown.n})" if shown else "–",
        f"{bound:.2%}" if bound is not None else "–",
        row.reason
        + (" Compared with labels, not with hosted answers." if labels and shown else "")
        + (f" {row.share_private:.0%} of its requests hold private data." if row.private else ""),
    )
