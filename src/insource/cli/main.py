"""`insource`: the commands, one file each, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from insource import __version__
from insource.cli import (
    adapt,
    data,
    demo,
    doctor,
    evaluate,
    export,
    fit,
    hub,
    machine,
    models,
    move,
    plan,
    privacy,
    quantize,
    references,
    scout,
    serve,
    tasks,
)
from insource.cli.errors import exit_code, sentence
from insource.core.errors import InsourceError

app = typer.Typer(
    name="insource",
    help="Move AI work from hosted closed models to open models that you run, one task at a time, on evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction] - Typer calls it
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("import")(data.import_log)
app.add_typer(data.log_app, name="log")
app.add_typer(tasks.app, name="tasks")
app.command("fit")(fit.fit)
app.command("scout")(scout.scout)
app.command("criterion")(references.criterion)
app.command("review")(references.review)
app.command("evaluate")(evaluate.evaluate)
app.command("adapt")(adapt.adapt)
app.add_typer(adapt.candidates_app, name="candidates")
app.command("export")(export.export)
app.command("quantize")(quantize.quantize)
app.command("plan")(plan.plan)
app.command("label")(references.label)
app.command("move")(move.move)
app.command("rollback")(move.rollback)
app.command("moves")(move.moves)
app.add_typer(models.app, name="models")
app.command("machine")(machine.machine)
app.add_typer(privacy.app, name="privacy")
app.add_typer(hub.app, name="hub")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """The console script."""
    try:
        app()
    except InsourceError as error:
        sys.stderr.write(sentence(error) + "\n")
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # `insource … | head`: whoever read has had enough.
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
