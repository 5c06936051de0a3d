"""`insource demo`: the whole loop on traffic written for it, or on a log of the user's, in a store of its own."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.plan import write_report
from insource.cli.serve import PortOption, run
from insource.cli.session import load_settings, session
from insource.cli.show_plan import show_plan

if TYPE_CHECKING:
    from insource.config import Settings


def demo(
    traffic: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Use this log instead of the demo's own.")
    ] = None,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Stop after the report, without serving.")] = False,
    port: PortOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run the whole loop in a store of its own: import, find tasks, evaluate, plan, report; then serve."""
    from insource.wiring_choose import open_fit, open_scout
    from insource.workflows.demo import DemoTraffic, prepare_traffic
    from insource.workflows.offers import name_offers
    from insource.workflows.plan import make_plan, plan_json
    from insource.workflows.prove.import_traffic import import_traffic
    from insource.workflows.weigh import weigh

    settings = load_settings()
    home = _fresh_home(settings)
    # The demo answers from its recording: no hosted API is called, so no key is needed and nothing is spent.
    options = {"home": home, "database_url": "", "provider_replay": True, "port": port}
    with session(as_json=as_json, quiet=quiet, **options) as (services, out):
        with out.progress() as progress:
            if not services.settings.engine_url and not services.settings.model:
                services.pull_default_model(progress)
            if traffic is not None:
                prepared = DemoTraffic(files=(traffic,), missing=None)
            else:
                prepared = prepare_traffic(home, downloads=settings.home / "downloads", progress=progress)
            for file in prepared.files:
                import_traffic(services, file, progress=progress)
            plan = asyncio.run(make_plan(services, progress=progress))
        with open_fit(services.settings) as fit, open_scout(services.settings) as scouting:
            plan = name_offers(weigh(plan, services, fit), scouting, fit.finder)
        report = write_report(plan, home / "plan.html")
        if prepared.missing is not None:
            out.say(prepared.missing)
        if as_json:
            out.data(plan_json(plan))
        else:
            show_plan(plan, out)
            out.say(
                f"The demo has a store of its own. For commands on it: export INSOURCE_HOME={shlex.quote(str(home))}"
            )
            out.say(f"Report: {report}")
        if not no_serve:
            run(services, out)


def _fresh_home(settings: Settings) -> Path:
    """An empty folder beside the user's own store: the demo measures anew each time and touches nothing else."""
    home = settings.home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home
