"""`insource tasks`: what the traffic is made of, and corrections to what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption, TaskArgument
from insource.cli.output import Output, counted
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.workflows.prove.find_tasks import TaskReport

app = typer.Typer(help="Show what the traffic is made of: volume, cost, latency, privacy, kind of answer.")


@app.callback(invoke_without_command=True)
def tasks(
    context: typer.Context,
    assignments: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write a CSV file with exchange_id,task_id.")
    ] = None,
    *,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the recurring kinds of work in the log. The same log gives the same tasks."""
    if context.invoked_subcommand is not None:
        return
    from insource.workflows.prove.find_tasks import find_tasks, task_json, write_assignments

    with session(as_json=as_json, quiet=quiet) as (services, out):
        with out.progress() as progress:
            reports = find_tasks(services, progress=progress)
        if assignments is not None:
            out.say(f"{write_assignments(services, assignments):,} assignments written to {assignments}.")
        if as_json:
            out.data({"tasks": [task_json(report) for report in reports]})
        else:
            show_tasks(reports, out)
            out.say("Next: insource plan")


def show_tasks(reports: list[TaskReport], out: Output) -> None:
    rows: list[tuple[str, ...]] = []
    for report in reports:
        figures = report.figures
        estimated = " est." if figures.cost_estimated_share > 0 else ""
        latency = "–" if figures.latency_p50_seconds is None else f"{figures.latency_p50_seconds:.2f}"
        rows.append(
            (
                report.task.id,
                report.task.name,
                f"{figures.exchanges:,}",
                report.task.output.kind.value,
                f"{figures.cost_usd:,.2f}{estimated}",
                latency,
                f"{figures.private_share:.1%}",
            )
        )
    out.table("Tasks", ["id", "name", ">exchanges", "answers", ">cost $", ">latency p50 s", ">private"], rows)


@app.command("rename")
def rename(
    task: TaskArgument,
    name: Annotated[str, typer.Argument(help="The new name.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rename a task."""
    from insource.workflows.prove.edit_tasks import rename_task

    with session(as_json=as_json, quiet=quiet) as (services, out):
        renamed = rename_task(services, task, name)
        if as_json:
            out.data({"id": renamed.id, "name": renamed.name})
        else:
            out.text(f"{renamed.id}: {renamed.name}")


@app.command("merge")
def merge(
    tasks: Annotated[
        list[str],
        typer.Argument(metavar="TASK TASK [TASK …]", help="Tasks to merge; the first one's id and name stay."),
    ],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Merge several tasks that are the same kind of work."""
    from insource.workflows.prove.edit_tasks import merge_tasks

    with session(as_json=as_json, quiet=quiet) as (services, out):
        _show_edited(merge_tasks(services, tasks), out)


@app.command("split")
def split(
    task: TaskArgument,
    contains: Annotated[str, typer.Option(help="Move the requests that contain this text.")],
    name: Annotated[str | None, typer.Option(help="Name of the new task.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Split off the requests that contain a text as a new task."""
    from insource.workflows.prove.edit_tasks import split_task

    with session(as_json=as_json, quiet=quiet) as (services, out):
        _show_edited(split_task(services, task, contains=contains, name=name), out)


def _show_edited(report: TaskReport, out: Output) -> None:
    if out.as_json:
        from insource.workflows.prove.find_tasks import task_json

        out.data(task_json(report))
    else:
        out.text(f"{report.task.id}: {report.task.name}, {counted(report.figures.exchanges, 'exchange')}")
