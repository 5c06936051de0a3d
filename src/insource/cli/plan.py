"""`insource plan`: tasks x candidates -> verdicts, as a table, as JSON, and as one HTML file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.candidates import AnswersOption, MinutesOption, ModelOption, StatedOption, wanted
from insource.cli.options import JsonOption, MachineOption, QuietOption
from insource.cli.output import Output, counted
from insource.cli.session import session
from insource.cli.show_plan import show_offers, show_plan
from insource.core.errors import UsageError
from insource.core.hardware import HERE

if TYPE_CHECKING:
    from insource.workflows.choose.fit import FitParts
    from insource.workflows.choose.money import AssumedPrice
    from insource.workflows.choose.scout import ScoutParts
    from insource.workflows.offers import Pull
    from insource.workflows.plan import Plan
    from insource.workflows.prove.answers import Budget
    from insource.workflows.prove.evaluate import Wanted
    from insource.workflows.services import Progress, Services

_NOTHING_MOVES = 3
"""Exit status of `--check`, for CI."""


PriceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="MODEL=IN/OUT",
        help="Price of a hosted model, in USD per million tokens in and out; repeatable.",
    ),
]
PullOption = Annotated[
    bool, typer.Option("--pull", help="Also download and measure the open models suggested for tasks that stay.")
]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit with 0 if a task can move, with 3 if none can yet.")]
ExportOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Only write the requests to a file, to answer them elsewhere.")
]
PrivateOption = Annotated[
    bool, typer.Option("--include-private", help="With --export-requests: also write private ones.")
]


def plan(  # noqa: PLR0913 - a command's parameters are its options
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write the report to this file.")] = None,
    model: ModelOption = None,
    answers: AnswersOption = None,
    stated: StatedOption = None,
    minutes: MinutesOption = None,
    machine: MachineOption = "here",
    price: PriceOption = None,
    pull: PullOption = False,
    check: CheckOption = False,
    export_requests: ExportOption = None,
    include_private: PrivateOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the tasks, measure candidates, and recommend for each task what to do and why."""
    from insource.wiring_choose import open_fit, open_scout
    from insource.workflows.choose.money import parse_price
    from insource.workflows.prove.evaluate import budget_of

    prices = [parse_price(text) for text in price or ()]
    if pull and machine != HERE:
        raise UsageError(
            "Models are pulled to be measured on this machine, not on another.",
            next_step="Leave out --pull or --machine; `--answers FILE` measures what another machine answered.",
        )
    with (
        session(as_json=as_json, quiet=quiet) as (services, out),
        open_fit(services.settings) as fit,
        open_scout(services.settings) as scouting,
    ):
        if export_requests is not None:
            _export(services, export_requests, out, include_private=include_private)
            return
        if machine != HERE:
            fit.find_machine(machine)  # a wrong name fails before anything is measured
        candidates = wanted(services, models=model, answers=answers, stated=stated)
        budget = budget_of(services, minutes)
        find_machine = cache(fit.find_machine)  # measured once
        planner = _Planner(
            services=services,
            out=out,
            fit=replace(fit, find_machine=find_machine),
            scouting=replace(scouting, find_machine=find_machine),
            machine=machine,
        )
        made = planner.make(candidates, budget, prices=prices, pull=pull)
        report = write_report(made, services.settings.home / "plan.html")
        if html is not None:
            write_report(made, html)
        planner.show(made, html or report)
    if check and not made.can_move:
        raise typer.Exit(_NOTHING_MOVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planner:
    """One run of the command."""

    services: Services
    out: Output
    fit: FitParts
    scouting: ScoutParts
    machine: str

    def make(self, candidates: Wanted, budget: Budget, *, prices: Sequence[AssumedPrice], pull: bool) -> Plan:
        from insource.workflows.offers import measure_offers, with_offers
        from insource.workflows.plan import make_plan

        services = self.services
        with self.out.progress() as progress:
            measured = asyncio.run(
                make_plan(services, candidates=candidates, budget=budget, prices=prices, progress=progress)
            )
            made = self._weighed(measured, progress, online=pull)
        if not (pull or self._says_yes(made)):
            return made
        with self.out.progress() as progress:
            fetch, offered = puller(services, progress), with_offers(measured, made)
            measuring = measure_offers(offered, services, pull=fetch, budget=budget, progress=progress)
            return self._weighed(asyncio.run(measuring), progress, online=True)

    def _weighed(self, made: Plan, progress: Progress, *, online: bool) -> Plan:
        from insource.workflows.offers import name_offers
        from insource.workflows.weigh import weigh

        weighed = weigh(made, self.services, self.fit, machine=self.machine, online=online)
        return name_offers(
            weighed,
            self.scouting,
            self.fit.finder,
            machine=self.machine,
            progress=progress,
        )

    def _says_yes(self, made: Plan) -> bool:
        """What a person at a terminal says when asked to download; nobody else is asked."""
        count = len({offer.ref for row in made.rows for offer in row.offers})
        if not count or self.machine != HERE or not self.out.is_interactive:
            return False
        show_offers(made, self.out)
        question = f"Download {counted(count, 'model')} as needed and measure them now?"
        return typer.confirm(question, default=False, err=True)

    def show(self, made: Plan, report: Path) -> None:
        from insource.workflows.plan import plan_json

        if self.out.as_json:
            self.out.data(plan_json(made))
        else:
            show_plan(made, self.out)
            self.out.say(f"Report: {report}")


def puller(services: Services, progress: Progress) -> Pull:
    from insource.wiring import open_models
    from insource.workflows.files.models import pull

    models = open_models(services.settings)
    return lambda ref: pull(ref, models.sources, cache=models.cache, progress=progress)


def _export(services: Services, path: Path, out: Output, *, include_private: bool) -> None:
    from insource.workflows.prove.export_log import export_requests
    from insource.workflows.prove.find_tasks import find_tasks

    find_tasks(services)
    report = export_requests(services, path, include_private=include_private)
    withheld = f"; {report.withheld_private:,} private ones were withheld" if report.withheld_private else ""
    out.text(f"{counted(report.written, 'request')} written to {path}{withheld}.")
    out.say("Next: have them answered, then insource plan --answers FILE --stated model=NAME")


def write_report(made: Plan, path: Path) -> Path:
    """The page, and beside it the same plan as JSON: what the dashboard shows of it."""
    from insource.core.errors import StorageError
    from insource.web.report import render
    from insource.workflows.plan import plan_json
    from insource.workflows.saved_plan import save_plan

    try:
        # For its owner's eyes: the report quotes requests.
        path.touch()
        path.chmod(0o600)
        path.write_text(render(made), "utf-8")
    except OSError as error:
        raise StorageError(
            f"The report can't be written to {str(path)!r}: {error.strerror}.",
            next_step="Name another file with --html; `--json` prints the plan.",
        ) from error
    save_plan(plan_json(made), path.with_suffix(".json"))
    return path
