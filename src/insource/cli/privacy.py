"""`insource privacy scan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insource.cli.options import JsonOption
from insource.cli.session import session

app = typer.Typer(help="Personal data and secrets.", no_args_is_help=True)


@app.command("scan")
def scan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help='JSON lines of {"id", "text"}, gzipped or not.')],
    as_json: JsonOption = False,
) -> None:
    """Find personal data and secrets in texts, with their places."""
    from insource.traffic.request_scan import scan_file

    with session(as_json=as_json) as (services, out):
        bad = 0
        for found in scan_file(file, services.detector):
            bad += "error" in found
            if as_json:
                out.line(found)
            elif "error" in found:
                out.say(f"line {found['line']}: {found['error']}")
            elif found["spans"]:
                spans = ", ".join(f"{span['kind']} {span['start']}–{span['end']}" for span in found["spans"])
                out.text(f"{found['id']}: {spans}")
        if bad:
            out.say(f"{bad:,} lines could not be read.")
            raise typer.Exit(3)
