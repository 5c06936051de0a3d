"""`insource demo`: the whole loop on shipped, recorded traffic, in a store of its own."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption
from insource.cli.plan import show_plan, write_report
from insource.cli.serve import PortOption, run
from insource.cli.session import load_settings, session

if TYPE_CHECKING:
    from insource.config import Settings


def demo(
    no_serve: Annotated[bool, typer.Option("--no-serve", help="End after the report.")] = False,
    port: PortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop on recorded traffic: import, find tasks, evaluate, plan, report; then serve."""
    from insource.demo_data import traffic_path
    from insource.workflows.import_traffic import import_traffic
    from insource.workflows.models import pull_default
    from insource.workflows.plan import make_plan, plan_json

    home = _fresh_home(load_settings())
    # The demo answers from its recording: no hosted API is called, so no key is needed and nothing is spent.
    with session(as_json=as_json, home=home, database_url="", provider_replay=True, port=port) as (services, out):
        with out.progress() as progress:
            if not services.settings.engine_url and not services.settings.model:
                pull_default(services.sources, cache=services.model_cache, progress=progress)
            import_traffic(services, traffic_path(), progress=progress)
            plan = asyncio.run(make_plan(services, progress=progress))
        report = write_report(plan, home / "plan.html")
        if as_json:
            out.data(plan_json(plan))
        else:
            show_plan(plan, out)
            out.say(f"Report: {report}")
        if not no_serve:
            run(services, out, page=report.read_text("utf-8"))


def _fresh_home(settings: Settings) -> Path:
    """An empty folder beside the user's own store: the demo measures anew each time and touches nothing else."""
    home = settings.home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home
