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


app.command("demo", short_help="Run the whole loop once on a sample log.")(demo.demo)
app.command("serve", short_help="Serve the gateway and the dashboard.")(serve.serve)
app.command("import", short_help="Import recorded traffic.")(data.import_log)
app.add_typer(data.log_app, name="log")
app.add_typer(tasks.app, name="tasks", short_help="Show what the traffic is made of.")
app.command("fit", short_help="Estimate whether a model fits, and how fast it is.")(fit.fit)
app.command("scout", short_help="Find open models that could do a task.")(scout.scout)
app.command("criterion", short_help="Show or choose what counts as right.")(references.criterion)
app.command("review", short_help="Decide which of two answers is right.")(references.review)
app.command("evaluate", short_help="Measure candidates and certify what is proven.")(evaluate.evaluate)
app.command("adapt", short_help="Make candidates, the cheapest first.")(adapt.adapt)
app.add_typer(adapt.candidates_app, name="candidates", short_help="List candidates, and delete unused files.")
app.command("export", short_help="Write a candidate's files to a folder.")(export.export)
app.command("quantize", short_help="Quantise a model and compare on a task.")(quantize.quantize)
app.command("plan", short_help="Decide for each task whether it can move.")(plan.plan)
app.command("label", short_help="Record what the right answer is.")(references.label)
app.command("move", short_help="Move a task to a local candidate.")(move.move)
app.command("rollback", short_help="Route a task back to the hosted API.")(move.rollback)
app.command("moves", short_help="List moves and pins, or what happened to them.")(move.moves)
app.add_typer(models.app, name="models")
app.command("machine", short_help="Show what a computer offers for models.")(machine.machine)
app.add_typer(privacy.app, name="privacy")
app.add_typer(hub.app, name="hub", short_help="Search the open-model ecosystem.")
app.command("doctor", short_help="Check this installation.")(doctor.doctor)


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
