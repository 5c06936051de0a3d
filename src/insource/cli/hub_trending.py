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
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days before the snapshot to look at.")] = 28,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="Roots to show.")] = 20,
    source: FileOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank base models by new derivatives a week; floods, repeats and unused uploads count less."""
    from insource.wiring_choose import open_ecosystem
    from insource.workflows.ecosystem.names import safe_name

    out = Output(as_json=as_json, quiet=quiet)
    with open_ecosystem(load_settings(), source) as ecosystem:
        found = ecosystem.trends(days=days, rows=rows)
    if as_json:
        until = None if found.until is None else found.until.isoformat()
        counted = {"until": until, "models_stating": found.stating, "models_listed": found.listed}
        out.data({"days": days, "rule": found.rule, **counted, "roots": [asdict(item) for item in found.roots]})
        return
    out.table(
        f"Built upon in the {days} days to {found.until or 'an unknown day'}",
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
    of = f"{found.stating:,} of {found.listed:,} models"
    out.text(f"Counted: the {of} that state when they were created, their parents and their downloads.")
    if not found.roots:
        out.say("No derivative was published in the window: try a longer one with --days.")
