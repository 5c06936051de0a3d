"""`insource hub window FIRST LAST`: what was downloaded between two days, as far as two snapshots can tell."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from insource.cli.options import JsonOption, QuietOption, parse_day
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.errors import UsageError


def window(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="Day of the earlier snapshot, such as 2026-05-20.")],
    last: Annotated[str, typer.Argument(metavar="LAST", help="Day of the later snapshot.")],
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, metavar="N", help="Models to show.")] = 20,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show downloads between two snapshots, for the models in both."""
    from insource.wiring_choose import ecosystem_store
    from insource.workflows.ecosystem.names import safe_name

    start, end = parse_day(first), parse_day(last)
    if start is None or end is None or start >= end:
        raise UsageError("The first day is not before the last.", next_step="insource hub window 2026-05-20 2026-10-05")
    out = Output(as_json=as_json, quiet=quiet)
    found = ecosystem_store(load_settings()).window(first=start, last=end, most=most)
    if as_json:
        counts = {
            name: getattr(found, name)
            for name in ("both", "only_first", "only_last", "differences", "fell", "thirty_days")
        }
        days = {"first": found.first.isoformat(), "last": found.last.isoformat()}
        out.data({**days, **counts, "models": [asdict(row) for row in found.rows]})
        return
    out.table(
        f"Downloads from {found.first} to {found.last}",
        ("model", ">between them", f">30 days to {found.first}", f">30 days to {found.last}"),
        [
            (safe_name(row.id), *map(_count, (row.downloads, row.last_30_days_first, row.last_30_days_last)))
            for row in found.rows
        ],
    )
    out.say(
        f"{found.both:,} models are in both snapshots, {found.only_first:,} in the first alone, {found.only_last:,} in "
        f"the last alone. {found.differences:,} state all downloads on both days; of {found.fell:,} the count fell."
    )
    if not found.differences:
        out.say("One of the snapshots states the last 30 days alone: two windows, from which nothing is subtracted.")


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
