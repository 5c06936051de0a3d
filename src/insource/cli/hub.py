"""`insource hub ...`: the open-model ecosystem, from snapshots of the Hub's metadata."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insource.cli import hub_edges, hub_files, hub_report, hub_search, hub_show, hub_tree, hub_trending, hub_window
from insource.cli.options import JsonOption, QuietOption, parse_day
from insource.cli.output import Output
from insource.cli.session import load_settings

if TYPE_CHECKING:
    from insource.core.ecosystem_store import FieldMapping, SnapshotInfo

app = typer.Typer(help="Search and analyse snapshots of the Hub's metadata.", no_args_is_help=True)

FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="PATH|URL",
        help="Read hub-stats' Parquet files, API records or an insource snapshot; default: the Hub's API.",
    ),
]
TypeOption = Annotated[
    str,
    typer.Option(
        "--type", metavar="TYPE", help="models, datasets or spaces; default: what the file holds, else models."
    ),
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Stop after this many; the snapshot is then partial.")
]
DayOption = Annotated[
    str, typer.Option(metavar="YYYY-MM-DD", help="Day the file describes; default: the newest date in it.")
]
WholeOption = Annotated[
    bool, typer.Option("--whole", help="Treat the file as complete: what is not in it was deleted.")
]
MapOption = Annotated[
    str,
    typer.Option(
        "--map", metavar="COLUMN=FIELD,…", help="Which column of the file holds which field, where names differ."
    ),
]


@app.command("sync", short_help="Take a snapshot of models, datasets or Spaces.")
def sync(  # noqa: PLR0913 - a command's parameters are its options
    source: FromOption = "",
    repo_type: TypeOption = "",
    limit: LimitOption = None,
    day: DayOption = "",
    whole: WholeOption = False,
    fields: MapOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take a snapshot of the Hub's models, datasets or Spaces, or continue an interrupted one."""
    from insource.core.ecosystem_store import SyncRequest
    from insource.wiring_choose import ecosystem_store

    out = Output(as_json=as_json, quiet=quiet)
    request = SyncRequest(
        source=source, repo_type=repo_type, limit=limit, day=parse_day(day), whole=whole, fields=fields
    )
    with out.progress() as progress:
        report = ecosystem_store(load_settings()).sync(request, progress=progress)
    one = report.snapshot
    if as_json:
        left_out = {"refused": report.refused, "cut": report.cut}
        told = None if report.mapping is None else asdict(report.mapping)
        became = {"renamed": dict(report.renamed), "deleted": list(report.deleted)}
        out.data({**_json(one), **left_out, **became, "mapping": told})
        return
    out.text(
        f"{one.rows:,} {one.repo_type} from {one.source}, {one.day} ({'whole' if one.whole else 'a part'}); "
        f"{one.changed:,} rows stored, {one.size_bytes:,} bytes."
    )
    if report.mapping is not None and not report.mapping.usual:
        _say_mapping(report.mapping, out)
    if report.refused or report.cut:
        out.say(f"{report.refused:,} rows name no repository or repeat one; {report.cut:,} were too long and are cut.")
    if report.renamed or report.deleted:
        out.say(f"Of the ids no longer listed, {len(report.renamed)} were renamed and {len(report.deleted)} deleted.")


@app.command("snapshots")
def snapshots(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """List the local snapshots."""
    from insource.wiring_choose import ecosystem_store

    found = ecosystem_store(load_settings()).snapshots()
    out = Output(as_json=as_json, quiet=quiet)
    if as_json:
        out.data([_json(one) for one in found])
        return
    out.table(
        "Snapshots",
        ("type", "day", "source", "from", "part", ">repositories", ">rows stored", ">bytes"),
        [
            (
                one.repo_type,
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


app.command("search", short_help="Search models by words and facts.")(hub_search.search)
app.command("show", short_help="Show a model's facts, family and licence.")(hub_show.show)
app.command("tree", short_help="Show a model's descendants.")(hub_tree.tree)
app.command("trending", short_help="Rank base models by new derivatives a week.")(hub_trending.trending)
app.command("edges", short_help="Write every link from a model to its parent.")(hub_edges.edges)
app.command("files", short_help="Ask the Hub for file hashes and settings.")(hub_files.files)
app.command("report", short_help="Compare figures of the Hub with published ones.")(hub_report.report)
app.command("window")(hub_window.window)


def _say_mapping(mapping: FieldMapping, out: Output) -> None:
    taken = ", ".join(f"{column} from {field!r}" for column, field in mapping.fields.items())
    left = ", ".join(mapping.unused) or "none"
    out.say(f"Read as {mapping.wrapper}: {taken}. Fields not used: {left}. Another choice: --map COLUMN=FIELD")


def _json(one: SnapshotInfo) -> dict[str, Any]:
    return {
        "type": one.repo_type,
        "source": one.source,
        "day": one.day.isoformat(),
        "repositories": one.rows,
        "rows_stored": one.changed,
        "size_bytes": one.size_bytes,
        "whole": one.whole,
        "origin": one.origin,
        "columns": dict(one.columns),
    }
