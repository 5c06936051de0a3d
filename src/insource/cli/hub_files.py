"""`insource hub files [MODEL]`: what the files of models tell about their parents."""

from __future__ import annotations

from typing import Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings

ModelArgument = Annotated[
    str, typer.Argument(help="Ask about this model and those it may be a copy of; default: the most used.")
]
LimitOption = Annotated[int, typer.Option(min=1, metavar="N", help="Models to ask about, with two requests each.")]


def files(
    model: ModelArgument = "", limit: LimitOption = 200, as_json: JsonOption = False, quiet: QuietOption = False
) -> None:
    """Ask the Hub for file hashes and configurations of models that declare no parent, to find copies and parents."""
    from insource.wiring_choose import ecosystem_store
    from insource.workflows.ecosystem.names import safe_name

    out = Output(as_json=as_json, quiet=quiet)
    store = ecosystem_store(load_settings())
    with out.progress() as progress:
        report = store.ask_for_files(model=model or None, limit=limit, progress=progress)
    shown = [edge for edge in report.edges if report.model in (None, edge.child)]
    if as_json:
        out.data(
            {
                "asked": report.asked,
                "gone": list(report.gone),
                "renamed": dict(report.renamed),
                "known": report.known,
                "left": report.left,
                "parents": [
                    {"child": e.child, "parent": e.parent, "kind": e.kind, "evidence": e.evidence,
                     "confidence": e.confidence}
                    for e in shown
                ],
            }
        )  # fmt: skip
        return
    out.text(
        f"Asked about {report.asked:,} models, {len(report.gone):,} of them deleted or closed. The files of "
        f"{report.known:,} are known; {report.left:,} models are still worth asking about."
    )
    if shown:
        out.table(
            "Parents that files tell",
            ("model", "parent", "kind", "evidence", ">confidence"),
            [(safe_name(e.child), safe_name(e.parent), e.kind, e.evidence, f"{e.confidence:.2f}") for e in shown[:50]],
        )
    one = safe_name(report.model or "")
    if report.declared:
        out.say(f"{one} declares its parent itself: insource hub show {one}")
    elif not shown:
        out.say(f"The files of {one} tell no parent." if one else "They tell no parent yet.")
    elif len(shown) > 50:
        out.say(f"And {len(shown) - 50:,} more: insource hub edges --inferred --out edges.parquet")
