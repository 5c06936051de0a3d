"""`insource import`, `insource log export` and `insource log prune`."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output, counted
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.workflows.prove.import_traffic import ImportReport

log_app = typer.Typer(help="Delete from the exchange log, or export it.", no_args_is_help=True)


def import_log(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Log files, folders or archives; - reads standard input.")
    ],
    format: Annotated[str | None, typer.Option(help="Read only this format; default: detected from the file.")] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN,...",
            help="Which column holds which field, such as prompt=question,answer=reply.",
        ),
    ] = None,
    without_answers: Annotated[
        bool, typer.Option("--without-answers", help="Also import requests that have no answer.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Import recorded traffic into the exchange log. Importing the same files again adds nothing."""
    from insource.workflows.prove.import_traffic import import_traffic

    with session(as_json=as_json, quiet=quiet) as (services, out):
        with out.progress() as progress:
            report = import_traffic(
                services, files, format=format, map=map or (), without_answers=without_answers, progress=progress
            )
        if as_json:
            out.data(_import_json(report))
        else:
            _say_import(report, out)
        # What could be read is in the log; the exit code says that not everything was.
        if report.bad_lines or any(not one.optional for one in report.refused):
            raise typer.Exit(3)
        if not as_json:
            out.say("Next: insource tasks")


def _import_json(report: ImportReport) -> dict[str, Any]:
    return {
        "read": report.read,
        "added": report.added,
        "already_there": report.already_there,
        "formats": report.format,
        "without_messages": report.without_messages,
        "without_answer": report.without_answer,
        "truncated": report.truncated,
        "conflicting": report.conflicting,
        "unknown": report.unknown,
        "bad": [{"line": line.line_number, "reason": line.reason} for line in report.bad],
        "bad_lines": report.bad_lines,
        "refused": [{"file": one.name, "reason": one.reason, "next_step": one.next_step} for one in report.refused],
    }


def _say_import(report: ImportReport, out: Output) -> None:
    added = counted(report.added, "exchange")
    out.text(f"Added: {added}; already there: {report.already_there:,} ({report.format} format).")
    for count, what in (
        (report.without_answer, "have no answer: they count as traffic, not as evidence"),
        (report.truncated, "are not whole (cut when they were recorded): they count as traffic, not as evidence"),
        (report.conflicting, "have the id of another exchange: kept under ids of their own"),
        (report.without_messages, "records have no messages and were left out"),
        (report.unknown, "records are of no known format and were left out"),
    ):
        if count:
            out.say(f"{count:,} {what}.")
    if report.bad_lines:
        out.say(f"Left out, not readable: {counted(report.bad_lines, 'line')}.")
        for line in report.bad:
            out.say(f"  line {line.line_number}: {line.reason}")
        out.say("Next: fix these lines or export them again, then import the file again; nothing is added twice.")
    for one in report.refused:
        out.say(f"Left out: {one.name!r} {one.reason}. {one.next_step}")


@log_app.command("prune")
def prune(
    older_than: Annotated[
        int, typer.Option("--older-than", metavar="DAYS", min=1, help="Delete exchanges older than this many days.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Delete old exchanges and events from the log. Tasks, moves and certificates stay."""
    with session(as_json=as_json, quiet=quiet) as (services, out):
        before = services.clock.now() - timedelta(days=older_than)
        count = services.exchanges.count_before(before)
        if (
            count
            and not yes
            and not typer.confirm(f"Delete {counted(count, 'exchange')} from before {before:%Y-%m-%d}?")
        ):
            raise typer.Exit(1)
        deleted = services.exchanges.prune(before) if count else 0
        events = services.registry.prune_events(before)
        if as_json:
            out.data({"deleted": deleted, "events_deleted": events, "before": before.isoformat()})
        else:
            out.text(f"{counted(deleted, 'exchange')} from before {before:%Y-%m-%d} deleted.")


@log_app.command("export", short_help="Write the exchange log as JSON lines.")
def export(
    out_file: Annotated[Path | None, typer.Option("--out", help="File to write; default: stdout.")] = None,
    format: Annotated[str, typer.Option(help="Format to write: insource or openai.")] = "insource",
    task: Annotated[str | None, typer.Option(help="Export only this task's exchanges.")] = None,
    include_private: Annotated[
        bool, typer.Option("--include-private", help="Also export exchanges with personal data or secrets.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --out: print what was written as JSON.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write the exchange log as JSON lines, by default without private exchanges."""
    from insource.traffic.resolve import resolve_task
    from insource.workflows.prove.export_log import export_log

    with session(as_json=as_json, quiet=quiet) as (services, out):
        task_id = resolve_task(services.registry.tasks(), task).id if task else None
        target = out_file if out_file is not None else sys.stdout
        report = export_log(services, target, format=format, include_private=include_private, task_id=task_id)
        if as_json and out_file is not None:
            out.data({"written": report.written, "withheld_private": report.withheld_private, "file": str(out_file)})
            return
        withheld = f"; {report.withheld_private:,} private ones withheld" if report.withheld_private else ""
        out.say(f"{counted(report.written, 'exchange')} written{withheld}.")
