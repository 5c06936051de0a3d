"""Options that several commands share, defined once."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from insource.core.errors import UsageError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print data only: no messages, no progress.")]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="A task's id or name, as `insource tasks` shows it.")]
MachineOption = Annotated[
    str, typer.Option(metavar="NAME", help="`here`, a device such as `rtx-4090` or `2x h100`, or a file.toml.")
]
EvidenceOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="Show published scores from this table (model, benchmark, score, source, date) or folder of tables.",
    ),
]


def parse_day(text: str) -> date | None:
    """Raises UsageError."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError(f"{text!r} is not a day.", next_step="Write it as 2026-05-20.") from error
