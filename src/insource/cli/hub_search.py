"""`insource hub search`: models by words and by what they state."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from insource.cli.hub_tree import FileOption
from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.ecosystem import LicenceClass
from insource.core.errors import UsageError

if TYPE_CHECKING:
    from insource.config import Settings
    from insource.core.ecosystem_search import Hit, Hits

_HOW = "in 4 bits (Q4_K_M) with 4,096 tokens of context, by the shapes of known models"


def search(  # noqa: PLR0913 - a command's parameters are its options
    text: Annotated[str, typer.Argument(help="Words in the model's id, in any order.")] = "",
    family: Annotated[str, typer.Option(metavar="ID", help="Show only this model and its descendants.")] = "",
    licence: Annotated[
        str, typer.Option(metavar="CLASS", help="Show only this class of licence, such as permissive.")
    ] = "",
    task: Annotated[str, typer.Option(metavar="TASK", help="Show only this Hub task, such as text-generation.")] = "",
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Show only models that state this language, such as de.")
    ] = "",
    least: Annotated[
        float | None, typer.Option("--min", metavar="B", help="Minimum size, in billions of parameters.")
    ] = None,
    most: Annotated[
        float | None, typer.Option("--max", metavar="B", help="Maximum size, in billions of parameters.")
    ] = None,
    fits: Annotated[
        str,
        typer.Option(
            metavar="MACHINE", help="Show only sizes that run on this machine: `here`, or a device such as `rtx-4090`."
        ),
    ] = "",
    growing: Annotated[bool, typer.Option("--growing", help="Sort by new derivatives a week, the most first.")] = False,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="Models to show.")] = 20,
    source: FileOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search models by words in their id, family, licence class, task, language, size and machine."""
    from insource.core.ecosystem_search import Search
    from insource.wiring_choose import open_ecosystem

    settings, out = load_settings(), Output(as_json=as_json, quiet=quiet)
    fitting = _fitting(settings, fits) if fits else None
    bounds = [bound for bound in (fitting, None if most is None else round(most * 1e9)) if bound is not None]
    asked = Search(
        text=text,
        family=family,
        licence_class=_class(licence),
        task=task,
        language=language,
        least_parameters=None if least is None else round(least * 1e9),
        most_parameters=min(bounds, default=None),
        by_growth=growing,
        rows=rows,
    )
    with open_ecosystem(settings, source) as ecosystem:
        found = ecosystem.search(asked)
    if as_json:
        out.data(asdict(found) | ({"fits_up_to_parameters": fitting} if fits else {}))
        return
    if fitting is not None:
        out.say(f"On {fits}: up to {fitting / 1e9:,.1f} B parameters, {_HOW}. For one model: insource fit MODEL")
    _print(found, out)


def _fitting(settings: Settings, machine: str) -> int:
    from insource.wiring_choose import named_machine
    from insource.workflows.choose.largest_here import largest_here

    return largest_here(named_machine(settings, machine))


def _class(name: str) -> LicenceClass | None:
    if not name:
        return None
    found: LicenceClass | None = next((one for one in get_args(LicenceClass) if one == name.strip().lower()), None)
    if found is None:
        raise UsageError(
            f"There is no class of licences {name!r}.", next_step=f"Choose of: {', '.join(get_args(LicenceClass))}."
        )
    return found


def _print(found: Hits, out: Output) -> None:
    columns = ("model", ">parameters", "task", "licence", ">downloads, 30 days", ">derivatives", ">a week")
    out.table(f"{found.found:,} of {found.listed:,} models", columns, [_row(hit) for hit in found.hits])
    if found.unstated:
        out.say(f"{found.unstated:,} models are left out: they do not state everything you asked for.")
    if found.hits:
        out.say(f"More about one: insource hub show {found.hits[0].id}")
    else:
        out.say("Ask for less: fewer words, or one option less.")


def _row(hit: Hit) -> tuple[str, ...]:
    from insource.workflows.ecosystem.names import safe_name

    return (
        safe_name(hit.id),
        "-" if hit.parameters is None else f"{hit.parameters / 1e9:,.2f} B",
        safe_name(hit.task or "-"),
        safe_name(hit.license or "not stated"),
        "-" if hit.downloads is None else f"{hit.downloads:,}",
        "-" if hit.derivatives is None else f"{hit.derivatives:,}",
        "-" if hit.derivatives_a_week is None else f"{hit.derivatives_a_week:,.2f}",
    )
