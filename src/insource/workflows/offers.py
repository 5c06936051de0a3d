"""Open models that nobody measured yet, beside the tasks that stay: named from the catalogue, and with the user's yes
pulled and measured.

Naming asks no network. What is pulled stays on this machine, so a plan that is stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache

from insource.core.errors import InsourceError
from insource.core.evidence import Verdict
from insource.core.hardware import HERE
from insource.core.values import ModelFile, ServedModel
from insource.workflows.choose.offer import Offer, nothing_offered, offers_of
from insource.workflows.choose.scout import ScoutParts, ScoutQuestion, scout
from insource.workflows.choose.scout_fit import make_fits
from insource.workflows.choose.understand_model import ModelFinder, understand
from insource.workflows.plan import Plan, PlanRow, with_found
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.engines import Engines
from insource.workflows.prove.evaluate import ENOUGH, TaskEvaluation, Wanted, best_coverage, evaluate_task
from insource.workflows.services import Progress, Services, quiet

Pull = Callable[[str], ModelFile]
"""The file of a reference, downloaded unless it is here. Raises InsourceError."""


def name_offers(
    plan: Plan,
    parts: ScoutParts,
    finder: ModelFinder,
    *,
    machine: str = HERE,
    progress: Progress = quiet,
) -> Plan:
    """For every task of which nothing moves yet, if somebody could tell a right answer: models that answer a long
    request of it within the latency."""
    rows: list[PlanRow] = []
    for done, row in enumerate(plan.rows):
        progress("Looking for open models", done, len(plan.rows))
        stays = row.coverage <= 0 and row.verdict is not Verdict.SAY_WHAT_COUNTS
        question = ScoutQuestion(task=row.report.task.id, machine=machine)
        rows.append(_named(row, question, parts, finder=finder) if stays else row)
    progress("Looking for open models", len(plan.rows), len(plan.rows))
    return replace(plan, rows=tuple(rows))


def _named(row: PlanRow, question: ScoutQuestion, parts: ScoutParts, *, finder: ModelFinder) -> PlanRow:
    try:
        report = scout(question, parts, make_fits=make_fits)
    except InsourceError as error:
        return replace(row, offers=(), no_offer=error.message)
    tried = {trial.model for trial in row.found.trials if trial.model is not None}
    within = parts.settings.latency_seconds
    offers = offers_of(report, tried=tried, more_than_parameters=_far_off(row, finder), within_seconds=within)
    return replace(row, offers=offers, no_offer="" if offers else nothing_offered(report))


def _far_off(row: PlanRow, finder: ModelFinder) -> int:
    """Parameters of the largest model that was far off on this task: a smaller one is not worth a download."""
    sizes = [0]
    for ref in {trial.model for trial in row.found.trials if trial.model is not None and trial.loss is not None}:
        with suppress(InsourceError):
            sizes.append(understand(ref, quantization="", offline=True, finder=finder).spec.parameters)
    return max(sizes)


def next_larger(found: TaskEvaluation, services: Services, parts: ScoutParts) -> Offer | str:
    """The smallest model of the task's shortlist here that needs more than the configured one and was not measured on
    it; or why there is none, as a sentence."""
    try:
        report = scout(ScoutQuestion(task=found.task_id, machine=HERE), parts, make_fits=make_fits)
        configured = services.find_model(services.settings.model)
    except InsourceError as error:
        return error.message
    tried = {configured.ref, *(trial.model for trial in found.trials if trial.model is not None)}
    least_bytes = 0 if isinstance(configured, ServedModel) else configured.size_bytes
    offers = offers_of(report, tried=tried, within_seconds=parts.settings.latency_seconds)
    larger = (offer for offer in offers if offer.needed_bytes > least_bytes)
    return next(larger, None) or nothing_offered(report)


async def measure_offers(
    plan: Plan, services: Services, *, pull: Pull, budget: Budget | None = None, progress: Progress = quiet
) -> Plan:
    """Each offer is pulled and measured on its task, the cheapest to serve first, until one carries it."""

    @cache
    def fetch(ref: str) -> ModelFile | InsourceError:
        try:
            return pull(ref)
        except InsourceError as error:
            return error

    rows: list[PlanRow] = []
    pulled: dict[str, None] = {}
    async with Engines(services) as engines:
        for row in plan.rows:
            found, failed = row.found, list[str]()
            for offer in row.offers:
                if best_coverage(found.trials) >= ENOUGH or (budget is not None and budget.spent):
                    break
                file = fetch(offer.ref)
                if isinstance(file, InsourceError):
                    failed.append(f"{offer.ref} was not pulled: {file}")
                    continue
                pulled[file.ref] = None
                wanted = Wanted(models=(file.ref,), after=found)
                found = await evaluate_task(
                    services, row.report.task, candidates=wanted, engines=engines, budget=budget, progress=progress
                )
            measured = (
                row if found is row.found else with_found(row, found, private_model=services.settings.private_model)
            )
            rows.append(replace(measured, reason=" ".join([measured.reason, *failed]).strip()))
    return replace(plan, models=tuple(dict.fromkeys((*plan.models, *pulled))), rows=tuple(rows))


def with_offers(plan: Plan, named: Plan) -> Plan:
    """`plan` with the offers of `named`, which is the same plan weighed."""
    offers = {row.report.task.id: row.offers for row in named.rows}
    return replace(plan, rows=tuple(replace(row, offers=offers[row.report.task.id]) for row in plan.rows))
