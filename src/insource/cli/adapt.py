"""`insource adapt`: climb the ladder of recipes for a task; and what it made: `insource candidates`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption, TaskArgument
from insource.cli.output import Output
from insource.cli.plan import puller
from insource.cli.session import session
from insource.core.errors import InsourceError

if TYPE_CHECKING:
    from insource.core.values import Task
    from insource.workflows.choose.offer import Offer
    from insource.workflows.choose.scout import ScoutParts
    from insource.workflows.prove.adapt import Ladder, Rung
    from insource.workflows.prove.answers import Budget
    from insource.workflows.services import Services

_WIDTH = 80

candidates_app = typer.Typer(help="List candidates, and delete files that are no longer used.")


def adapt(  # noqa: PLR0913 - a command's parameters are its options
    task: TaskArgument,
    recipe: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Try only this recipe; repeatable.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this many minutes; the next run continues from there.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=40, help="Train on at most this many examples; default: as many as help.")
    ] = None,
    terms_read: Annotated[
        bool,
        typer.Option(
            "--terms-read", help="Confirm that you have read your provider's terms on training on its outputs."
        ),
    ] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="Download the next larger model that fits here, and measure it too.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train or prompt candidates for a task, the cheapest to serve first, and keep those that help."""
    from insource.traffic.resolve import resolve_task
    from insource.wiring_choose import open_scout
    from insource.workflows.choose.offer import offers_json
    from insource.workflows.prove.adapt import Wish, adapt_task, ladder_json
    from insource.workflows.prove.evaluate import budget_of

    with session(as_json=as_json, quiet=quiet) as (services, out), open_scout(services.settings) as scouting:
        named = resolve_task(services.registry.tasks(), task)
        wish = Wish(recipes=recipe, most_examples=examples, terms_noticed=terms_read)
        budget = budget_of(services, minutes)
        with out.progress() as progress:
            found = asyncio.run(adapt_task(services, named, wish=wish, budget=budget, progress=progress))
        climber = _Larger(services=services, out=out, scouting=scouting, task=named, budget=budget)
        found, offer, failed = climber.climb(found, pull=pull, wanted=recipe is None or pull)
        if as_json:
            open_models = offers_json([] if offer is None else [offer])
            out.data({**ladder_json(found), "open_models": open_models, "no_open_model": failed or None})
        else:
            _show(found, named.name, out)
            _show_larger(offer, failed, out, task_id=named.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Larger:
    """The last rung: the next larger model that fits here, measured with the user's yes, else named."""

    services: Services
    out: Output
    scouting: ScoutParts
    task: Task
    budget: Budget

    def climb(self, found: Ladder, *, pull: bool, wanted: bool) -> tuple[Ladder, Offer | None, str]:
        """The ladder, the model that is named and not measured, and why there is none or why it is not measured."""
        from insource.workflows.offers import next_larger
        from insource.workflows.prove.adapt import adapt_larger

        if not wanted or not found.may_go_on:
            return found, None, ""
        offer = next_larger(found.evaluation, self.services, self.scouting)
        if isinstance(offer, str):
            return found, None, offer
        if self.budget.spent or not (pull or self._says_yes(offer)):
            return found, offer, ""
        with self.out.progress() as progress:
            try:
                file = puller(self.services, progress)(offer.ref)
            except InsourceError as error:
                return found, offer, f"It was not pulled: {error}"
            climbing = adapt_larger(
                self.services, self.task, found, ref=file.ref, budget=self.budget, progress=progress
            )
            return asyncio.run(climbing), None, ""

    def _says_yes(self, offer: Offer) -> bool:
        from insource.workflows.choose.offer import offer_line

        if not self.out.is_interactive:
            return False
        self.out.say(f"The next larger open model that fits here: {offer_line(offer)}")
        return typer.confirm("Download it and measure it now?", default=False, err=True)


def _show(found: Ladder, name: str, out: Output) -> None:
    out.table(
        name,
        ["recipe", "", ">moved", ">quality", ">ms", ">made in", ">size"],
        [_row(rung) for rung in found.rungs],
    )
    for rung in found.rungs:
        out.text(f"{rung.recipe}: {rung.state}")
        out.text(_indented(rung.reason))
    out.text("")
    out.text(_wrapped(found.stopped))
    out.text(_wrapped(f"{found.evaluation.verdict.value}: {found.evaluation.reason}"))
    best = found.best
    if best is not None and best.trial is not None:
        out.say(f"Next: insource move {found.evaluation.task_id} --to {best.trial.candidate_id}")
    for warning in found.evaluation.warnings:
        out.say(f"Warning: {warning}")


def _show_larger(offer: Offer | None, failed: str, out: Output, *, task_id: str) -> None:
    from insource.workflows.choose.offer import offer_line

    if offer is None:
        if failed:
            out.text(_wrapped(f"The next larger model: {failed}"))
        return
    out.text("The next larger open model that fits here, not measured yet:")
    out.text(_indented(offer_line(offer)))
    if failed:
        out.text(_indented(failed))
    out.say(f"Next: insource adapt {task_id} --pull downloads and measures it.")
    out.say(f"Without a network here, run insource models pull {offer.ref} where there is one, and copy its file.")


def _wrapped(text: str) -> str:
    return fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> str:
    return fill(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _row(rung: Rung) -> tuple[str, ...]:
    evaluation = rung.evaluation
    figures = (evaluation.covered or evaluation.overall) if evaluation else None
    return (
        rung.recipe,
        rung.state,
        f"{rung.coverage:.0%}" if evaluation else "–",
        f"{figures.quality:.1%}" if figures else "–",
        f"{rung.milliseconds:.1f}" if rung.milliseconds is not None else "–",
        f"{rung.made_seconds:.0f} s" if rung.trial else "–",
        f"{rung.size_bytes / 1e6:.1f} MB" if rung.size_bytes else "–",
    )


@candidates_app.command("list", short_help="List the candidates with size and use.")
def list_command(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """List the candidates of all tasks, with their size and what uses them."""
    from insource.workflows.prove.candidates import list_candidates

    with session(as_json=as_json, quiet=quiet) as (services, out):
        rows = list_candidates(services)
        if as_json:
            out.data(
                [
                    {
                        "id": row.candidate.id,
                        "task": row.candidate.task_id,
                        "recipe": row.candidate.recipe,
                        "model": row.candidate.model_ref,
                        "adapter_sha256": row.candidate.adapter_sha256,
                        "size_bytes": row.size_bytes,
                        "coverage": row.evaluation.coverage if row.evaluation else None,
                        "certificate": row.evaluation.certificate_id if row.evaluation else None,
                        "stage": row.stage.value if row.stage else None,
                    }
                    for row in rows
                ]
            )
            return
        out.table(
            "candidates",
            ["candidate", "task", "model", ">share moved", ">size", "stage"],
            [
                (
                    row.candidate.id,
                    row.task,
                    row.candidate.model_ref or "none",
                    f"{row.evaluation.coverage:.0%}" if row.evaluation else "–",
                    f"{row.size_bytes / 1e6:.1f} MB",
                    row.stage.value if row.stage else "–",
                )
                for row in rows
            ],
        )


@candidates_app.command("prune", short_help="Delete the files of uncertified candidates.")
def prune_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Delete the files of trained candidates that have no certificate and no move."""
    from insource.workflows.prove.candidates import prune, pruning

    with session(as_json=as_json, quiet=quiet) as (services, out):
        found = pruning(services)
        if not dry_run:
            prune(services, found)
        if as_json:
            names = [file.path.name for file in found.files]
            out.data({"candidates": list(found.candidates), "files": names, "size_bytes": found.size_bytes})
            return
        verb = "Would delete" if dry_run else "Deleted"
        counts = f"{len(found.candidates)} candidates and {len(found.files)} files or workspaces"
        out.text(f"{verb} {counts}, {found.size_bytes / 1e6:.1f} MB.")
