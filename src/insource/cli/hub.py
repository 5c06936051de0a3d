"""`insource hub ...`: the open-model ecosystem, from snapshots of the Hub's metadata."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insource.cli import hub_edges, hub_report, hub_show, hub_tree, hub_trending, hub_window
from insource.cli.options import JsonOption, QuietOption, parse_day
from insource.cli.output import Output
from insource.cli.session import load_settings

if TYPE_CHECKING:
    from insource.hub.archive import Snapshot

app = typer.Typer(help="The open-model ecosystem: snapshots of the Hub's metadata.", no_args_is_help=True)

FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="PATH|URL",
        help="hub-stats' models.parquet, API records, a snapshot of ours; default: the Hub's API.",
    ),
]
LimitOption = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only so many models: a partial snapshot.")]
DayOption = Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Day of a file; default: the newest date in it.")]


@app.command("sync")
def sync(
    source: FromOption = "",
    limit: LimitOption = None,
    day: DayOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take a snapshot of the Hub's models; one that was interrupted goes on."""
    from insource.workflows import hub_sync

    settings = load_settings()
    out = Output(as_json=as_json, quiet=quiet)
    today = datetime.now(UTC).date()
    place = hub_sync.HubPlace(home=settings.home, hub_url=settings.hub_url, today=today)
    with out.progress() as progress:
        report = hub_sync.sync(place, source, limit=limit, day=parse_day(day), progress=progress)
    if as_json:
        left_out = {"refused": report.refused, "cut": report.cut}
        out.data({**_json(report.snapshot), **left_out, "renamed": report.renamed, "deleted": list(report.deleted)})
        return
    one = report.snapshot
    out.text(
        f"{one.rows:,} models from {one.source}, {one.day}; {one.changed:,} rows stored, {one.size_bytes:,} bytes."
    )
    if report.refused or report.cut:
        out.say(f"{report.refused:,} rows name no model or repeat one; {report.cut:,} were too long and are cut.")
    if report.renamed or report.deleted:
        out.say(f"Of the ids no longer listed, {len(report.renamed)} were renamed and {len(report.deleted)} deleted.")


@app.command("snapshots")
def snapshots(as_json: JsonOption = False) -> None:
    """List the snapshots that are here."""
    from insource.hub.archive import Archive

    found = Archive(load_settings().home / "hub").snapshots()
    out = Output(as_json=as_json)
    if as_json:
        out.data([_json(one) for one in found])
        return
    out.table(
        "Snapshots",
        ("day", "source", "from", "part", ">models", ">rows stored", ">bytes"),
        [
            (
                one.day.isoformat(),
                one.source,
                one.origin,
                "whole" if one.whole else "partial",
                f"{one.rows:,}",
                f"{one.changed:,}",
                f"{one.size_bytes:,}",
            )
            for one in found
        ],
    )
    if not found:
        out.say("None yet: insource hub sync, or insource hub sync --from models.parquet")


app.command("show")(hub_show.show)
app.command("tree")(hub_tree.tree)
app.command("trending")(hub_trending.trending)
app.command("edges")(hub_edges.edges)
app.command("report")(hub_report.report)
app.command("window")(hub_window.window)


def _json(one: Snapshot) -> dict[str, Any]:
    return {
        "source": one.source,
        "day": one.day.isoformat(),
        "models": one.rows,
        "rows_stored": one.changed,
        "size_bytes": one.size_bytes,
        "whole": one.whole,
        "origin": one.origin,
    }
