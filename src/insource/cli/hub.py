"""`insource hub ...`: the open-model ecosystem, from snapshots of the Hub's metadata."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insource.cli import hub_edges, hub_files, hub_report, hub_show, hub_tree, hub_trending, hub_window
from insource.cli.options import JsonOption, QuietOption, parse_day
from insource.cli.output import Output
from insource.cli.session import load_settings

if TYPE_CHECKING:
    from insource.hub.archive import Snapshot
    from insource.hub.schema import RepoType

app = typer.Typer(help="The open-model ecosystem: snapshots of the Hub's metadata.", no_args_is_help=True)

FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="PATH|URL",
        help="hub-stats' Parquet files, API records, a snapshot of ours; default: the Hub's API.",
    ),
]
TypeOption = Annotated[
    str,
    typer.Option("--type", metavar="TYPE", help="models, datasets or spaces; default: the file's, else models."),
]
LimitOption = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only so many: a partial snapshot.")]
DayOption = Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Day of a file; default: the newest date in it.")]


@app.command("sync")
def sync(
    source: FromOption = "",
    repo_type: TypeOption = "",
    limit: LimitOption = None,
    day: DayOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take a snapshot of the Hub's models, datasets or Spaces; one that was interrupted goes on."""
    from insource.workflows.ecosystem import sync as hub_sync

    settings = load_settings()
    out = Output(as_json=as_json, quiet=quiet)
    today = datetime.now(UTC).date()
    place = hub_sync.HubPlace(home=settings.home, hub_url=settings.hub_url, today=today)
    with out.progress() as progress:
        report = hub_sync.sync(
            place, source, limit=limit, day=parse_day(day), progress=progress, repo_type=_repo_type(repo_type)
        )
    if as_json:
        left_out = {"refused": report.refused, "cut": report.cut}
        one = _json(report.snapshot, report.repo_type)
        out.data({**one, **left_out, "renamed": report.renamed, "deleted": list(report.deleted)})
        return
    one = report.snapshot
    out.text(
        f"{one.rows:,} {report.repo_type.name} from {one.source}, {one.day}; {one.changed:,} rows stored, "
        f"{one.size_bytes:,} bytes."
    )
    if report.refused or report.cut:
        out.say(f"{report.refused:,} rows name no repository or repeat one; {report.cut:,} were too long and are cut.")
    if report.renamed or report.deleted:
        out.say(f"Of the ids no longer listed, {len(report.renamed)} were renamed and {len(report.deleted)} deleted.")


@app.command("snapshots")
def snapshots(as_json: JsonOption = False) -> None:
    """List the snapshots that are here."""
    from insource.hub.archive import Archive
    from insource.hub.schema import REPO_TYPES

    root = load_settings().home / "hub"
    found = [(kept, one) for kept in REPO_TYPES.values() for one in Archive(root, kept).snapshots()]
    out = Output(as_json=as_json)
    if as_json:
        out.data([_json(one, kept) for kept, one in found])
        return
    out.table(
        "Snapshots",
        ("type", "day", "source", "from", "part", ">repositories", ">rows stored", ">bytes"),
        [
            (
                kept.name,
                one.day.isoformat(),
                one.source,
                one.origin,
                "whole" if one.whole else "partial",
                f"{one.rows:,}",
                f"{one.changed:,}",
                f"{one.size_bytes:,}",
            )
            for kept, one in found
        ],
    )
    if not found:
        out.say("None yet: insource hub sync, or insource hub sync --from models.parquet")


app.command("show")(hub_show.show)
app.command("tree")(hub_tree.tree)
app.command("trending")(hub_trending.trending)
app.command("edges")(hub_edges.edges)
app.command("files")(hub_files.files)
app.command("report")(hub_report.report)
app.command("window")(hub_window.window)


def _repo_type(name: str) -> RepoType | None:
    from insource.core.errors import UsageError
    from insource.hub.schema import REPO_TYPES

    if name and name not in REPO_TYPES:
        raise UsageError(
            f"There is no type of repositories {name!r}.", next_step=f"Choose of: {', '.join(REPO_TYPES)}."
        )
    return REPO_TYPES[name] if name else None


def _json(one: Snapshot, repo_type: RepoType) -> dict[str, Any]:
    return {
        "type": repo_type.name,
        "source": one.source,
        "day": one.day.isoformat(),
        "repositories": one.rows,
        "rows_stored": one.changed,
        "size_bytes": one.size_bytes,
        "whole": one.whole,
        "origin": one.origin,
    }
