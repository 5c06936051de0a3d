"""`insource hub trending`: which models are being built upon now."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from insource.cli.hub_tree import FileOption
from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings


def trending(
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="Length of the window, which ends with the snapshot.")
    ] = 28,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="Roots shown.")] = 20,
    source: FileOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank roots by new derivatives a week, with floods, repeats and unused uploads discounted."""
    from insource.wiring import open_ecosystem
    from insource.workflows.ecosystem.names import safe_name

    out = Output(as_json=as_json, quiet=quiet)
    with open_ecosystem(load_settings(), source) as ecosystem:
        found = ecosystem.trends(days=days, rows=rows)
    if as_json:
        out.data({"days": days, "rule": found.rule, "roots": [asdict(item) for item in found.roots]})
        return
    out.table(
        f"Built upon in the last {days} days",
        ("root", ">a week", ">a week before", ">published", ">owners"),
        [
            (
                safe_name(item.root),
                f"{item.per_week:,.2f}",
                f"{item.per_week_before:,.2f}",
                f"{item.published:,}",
                f"{item.owners:,}",
            )
            for item in found.roots
        ],
    )
    out.text(found.rule)
    if not found.roots:
        out.say("No derivative was published in the window: try a longer one with --days.")
