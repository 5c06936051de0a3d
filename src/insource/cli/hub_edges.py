"""`insource hub edges`: the lineage as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insource.cli.hub_tree import FileOption
from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings


def edges(
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="File to write.")],
    inferred: Annotated[
        bool, typer.Option("--inferred", help="Also infer parents of models that declare none.")
    ] = False,
    learned: Annotated[
        bool,
        typer.Option(
            help="With --inferred, also use what is learned from other models: 10 seconds per 1,000 models. "
            "--no-learned keeps it quick on the whole Hub."
        ),
    ] = True,
    source: FileOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write every link from a model to its parent, with kind, evidence and confidence, as Parquet."""
    from insource.wiring_choose import open_ecosystem

    out = Output(as_json=as_json, quiet=quiet)
    if inferred and learned:
        out.say(
            "Inferring parents that nobody declared: about 10 seconds for every 1,000 models; or give --no-learned."
        )
    with open_ecosystem(load_settings(), source, files=inferred) as ecosystem:
        counts = ecosystem.declared()
        wanted = "none" if not inferred else "learned" if learned else "told"
        written = ecosystem.write_edges(out_file, inferred=wanted)
    added = written.inferred
    if as_json:
        by_evidence = {**counts.by_evidence, **({"inferred": sum(added.values())} if inferred else {})}
        told = {"edges": written.edges, "by_evidence": by_evidence, "not_resolved": counts.unresolved}
        out.data({**told, **({"inferred_by": dict(added)} if inferred else {})})
        return
    rows = [(name, f"{count:,}") for name, count in counts.by_evidence.items()]
    rows += [(f"inferred: {name}", f"{count:,}") for name, count in sorted(added.items())]
    out.table(f"{written.edges:,} edges in {out_file}", ("evidence", ">edges"), rows)
    if counts.unresolved:
        rest = ", ".join(f"{reason} {count:,}" for reason, count in counts.unresolved.items())
        out.say(f"Declared parents that did not resolve: {rest}.")
