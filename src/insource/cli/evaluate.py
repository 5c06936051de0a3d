"""`insource evaluate`: candidates against the reference; and re-deriving a certificate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.candidates import AnswersOption, MinutesOption, ModelOption, StatedOption, wanted
from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import session
from insource.core.errors import UsageError

if TYPE_CHECKING:
    from insource.workflows.prove.evaluate import TaskEvaluation


def evaluate(  # noqa: PLR0913 - a command's parameters are its options
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="A task's id or name.")] = None,
    recipe: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Try only this recipe; repeatable.")] = None,
    model: ModelOption = None,
    answers: AnswersOption = None,
    stated: StatedOption = None,
    minutes: MinutesOption = None,
    verify: Annotated[
        str | None, typer.Option(metavar="ID", help="Recompute a certificate from its evidence bundle.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure local candidates for a task against its reference, and certify what is proven."""
    if verify is not None:
        _verify(verify, as_json=as_json, quiet=quiet)
        return
    if task is None:
        raise UsageError("No task was named.", next_step="`insource tasks` lists them.")
    from insource.traffic.resolve import resolve_task
    from insource.workflows.prove.evaluate import budget_of, evaluate_task, task_evaluation_json

    with session(as_json=as_json, quiet=quiet) as (services, out):
        named = resolve_task(services.registry.tasks(), task)
        candidates = wanted(services, recipes=recipe, models=model, answers=answers, stated=stated)
        with out.progress() as progress:
            budget = budget_of(services, minutes)
            found = asyncio.run(evaluate_task(services, named, candidates=candidates, budget=budget, progress=progress))
        if as_json:
            out.data(task_evaluation_json(found))
        else:
            _show(found, named.name, out)


def _show(found: TaskEvaluation, name: str, out: Output) -> None:
    rows: list[tuple[str, ...]] = []
    for evaluation in found.evaluations:
        figures = evaluation.covered or evaluation.overall
        if figures is None:
            continue
        low, high = figures.difference_interval.low, figures.difference_interval.high
        rows.append(
            (
                evaluation.candidate_id,
                f"{evaluation.coverage:.1%}" if evaluation.gate is not None else "–",
                f"{figures.quality:.1%}",
                f"{figures.hosted_quality:.1%}",
                f"{figures.difference:+.1%} ({low:+.1%} to {high:+.1%})",
                f"{figures.n:,} / {figures.clusters:,}",
                f"{figures.worse} / {figures.better}",
                "–" if figures.mcnemar_p is None else f"{figures.mcnemar_p:.2g}",
                f"{figures.minimum_detectable_difference:.1%}",
                evaluation.certificate_id or "none",
            )
        )
    columns = ["candidate", ">share moved", ">quality", ">reference", "difference (interval)", ">n / clusters"]
    out.table(name, [*columns, ">worse / better", ">McNemar p", ">detectable", "certificate"], rows)
    out.text(f"{found.verdict.value}: {found.reason}")
    if found.n_needed:
        out.text(f"About {found.n_needed:,} exchanges with a reference are needed.")
    for warning in found.warnings:
        out.say(f"Warning: {warning}")


def _verify(certificate_id: str, *, as_json: bool, quiet: bool) -> None:
    from insource.workflows.prove.verify import verify

    with session(as_json=as_json) as (services, out):
        report = verify(services, certificate_id)
        if as_json:
            checks = [{"name": check.name, "state": check.state, "detail": check.detail} for check in report.checks]
            out.data({"certificate": certificate_id, "ok": report.ok, "checks": checks})
        else:
            rows = [(check.name, check.state, check.detail) for check in report.checks]
            out.table(certificate_id, ["what", "", "detail"], rows)
        if not report.ok:
            raise typer.Exit(1)
