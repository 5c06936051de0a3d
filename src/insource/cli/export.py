"""`insource export`: a candidate with all that it takes to run, check and pass it on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.session import load_settings, session

if TYPE_CHECKING:
    from insource.hub.licence_chain import EffectiveLicence


def export(
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="The candidate's id, from `insource candidates list`.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to create.")],
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the model file where the disk does not support links.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a candidate's model, adapter, certificate, licences and model card to a folder."""
    from insource.workflows.files.export_candidate import export_candidate

    with session(as_json=as_json, quiet=quiet) as (services, shown):
        done = asyncio.run(export_candidate(services, candidate, out, licence_of=_licence_of, copy=copy))
        if as_json:
            shown.data({"folder": str(done.folder), "files": list(done.files), "certificate": done.certificate_id})
            return
        for name in done.files:
            shown.text(str(done.folder / name))
        if done.certificate_id is None:
            shown.say("It has no certificate: nothing is proven of its quality.")
        if "Modelfile" in done.files:
            shown.say(f"Next: cd {done.folder} && ollama create {candidate} -f Modelfile")


def _licence_of(id: str) -> EffectiveLicence | None:
    from insource.core.catalogue import Wanted
    from insource.hub.purpose import TEXT_PIPELINES
    from insource.wiring_choose import open_catalogue
    from insource.workflows.choose.sift import effective_licence

    with open_catalogue(load_settings()) as catalogue:
        model = catalogue.find(id)
        if model is None:
            return None
        ancestry = catalogue.select(Wanted(pipelines=TEXT_PIPELINES)).ancestry
        return effective_licence(model, ancestry)
