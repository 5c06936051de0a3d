"""The plan: every task of the log with its verdict, what is spent now, and what would be spent after the moves.

Measuring sends nothing anywhere, so tasks with private data are measured like all others. PIN is said of tasks that the
user pinned, with what answers them here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from insource.core.evidence import Criterion, Evaluation, Verdict
from insource.core.values import Exchange, JsonObject
from insource.evals.documents import plain
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.engines import Engines
from insource.workflows.prove.evaluate import TaskEvaluation, Wanted, criterion_json, evaluate_task
from insource.workflows.prove.find_tasks import TaskReport, find_tasks
from insource.workflows.services import Progress, Services, quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Of one task's hosted calls, in US dollars, for the exchanges in the log."""

    total_usd: float = 0.0
    estimated_usd: float = 0.0
    """Part of the total: from list prices, because the log states no cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One task and what to do with it."""

    report: TaskReport
    spend: Spend
    private: int
    """Exchanges whose request holds personal data or secrets, or could not be read to its end."""
    verdict: Verdict
    reason: str
    criterion: Criterion
    recipe: str | None = None
    evaluation: Evaluation | None = None
    """The certified one, else the one that came nearest; None: nothing was measured."""
    n_needed: int | None = None

    @property
    def exchanges(self) -> int:
        return self.report.figures.exchanges

    @property
    def coverage(self) -> float:
        """Share of the requests that a certified candidate may answer."""
        moved = self.verdict in (Verdict.MOVE, Verdict.MOVE_PART) and self.evaluation is not None
        return self.evaluation.coverage if moved and self.evaluation is not None else 0.0

    @property
    def share_private(self) -> float:
        return self.private / self.exchanges

    @property
    def spend_after_usd(self) -> float:
        return 0.0 if self.verdict is Verdict.PIN else self.spend.total_usd * (1 - self.coverage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    created: datetime
    models: tuple[str, ...]
    """References of those that were asked; "" is the configured one."""
    rows: tuple[PlanRow, ...]

    @property
    def exchanges(self) -> int:
        return sum(row.exchanges for row in self.rows)

    @property
    def spend_usd(self) -> float:
        return sum(row.spend.total_usd for row in self.rows)

    @property
    def spend_estimated_usd(self) -> float:
        return sum(row.spend.estimated_usd for row in self.rows)

    @property
    def spend_after_usd(self) -> float:
        return sum(row.spend_after_usd for row in self.rows)

    @property
    def private_share(self) -> float:
        """Share of the exchanges whose request holds private data: what a privacy policy would act on."""
        return sum(row.share_private * row.exchanges for row in self.rows) / max(self.exchanges, 1)

    @property
    def moved_share(self) -> float:
        """Share of the exchanges that a certified candidate answers here."""
        return sum(row.coverage * row.exchanges for row in self.rows) / max(self.exchanges, 1)


async def make_plan(
    services: Services, *, candidates: Wanted | None = None, budget: Budget | None = None, progress: Progress = quiet
) -> Plan:
    """Finds the tasks and evaluates them. Raises EmptyLog."""
    candidates = candidates or Wanted()
    reports = find_tasks(services, progress=progress)
    spend, private = _sums(services)
    pins = {pin.task_id for pin in services.registry.pins()}
    rows: list[PlanRow] = []
    async with Engines(services) as engines:
        for done, report in enumerate(reports):
            progress("Evaluating tasks", done, len(reports))
            task_id = report.task.id
            found = await evaluate_task(
                services, report.task, candidates=candidates, engines=engines, budget=budget, progress=progress
            )
            row = _row(report, found, private=private[task_id], spend=spend[task_id])
            private_model = services.settings.private_model
            rows.append(_pinned(row, private_model) if task_id in pins else row)
    progress("Evaluating tasks", len(reports), len(reports))
    return Plan(created=services.clock.now(), models=tuple(candidates.models), rows=tuple(rows))


def _row(report: TaskReport, found: TaskEvaluation, *, private: int, spend: Spend) -> PlanRow:
    return PlanRow(
        report=report,
        spend=spend,
        private=private,
        verdict=found.verdict,
        reason=found.reason,
        criterion=found.criterion,
        recipe=found.decision.recipe,
        evaluation=nearest(found),
        n_needed=found.n_needed,
    )


def _pinned(row: PlanRow, private_model: str) -> PlanRow:
    """Of a task that the user pinned: what answers it here, and how well."""
    rest = f"{private_model} answers" if private_model else "nothing answers"
    if row.coverage > 0:
        reason = f"You pinned it; {row.recipe} may answer {row.coverage:.0%} of it here, {rest} the rest. {row.reason}"
    elif private_model:
        reason = (
            f"You pinned it, and nothing is certified for it: {private_model}, which you named, answers. {row.reason}"
        )
    else:
        reason = f"You pinned it, and nothing certified answers it here: its requests are refused. {row.reason}"
    return replace(row, verdict=Verdict.PIN, reason=reason)


def nearest(found: TaskEvaluation) -> Evaluation | None:
    """The evaluation to show for a task: the certified one, else the one that lost least on all it was asked. Pure."""
    measured = [e for e in found.evaluations if e.overall is not None]
    least = min(measured, key=lambda e: e.overall.difference if e.overall else 1.0, default=None)
    return found.best or least


def _sums(services: Services) -> tuple[defaultdict[str, Spend], defaultdict[str, int]]:
    """Spend and private exchanges by task id, in one pass over the log."""
    task_of = services.exchanges.assignments()
    members: defaultdict[str, list[Exchange]] = defaultdict(list)
    for exchange in services.exchanges.read():
        if exchange.id in task_of:
            members[task_of[exchange.id]].append(exchange)
    spend: defaultdict[str, Spend] = defaultdict(Spend)
    spend.update({task_id: spend_of(exchanges) for task_id, exchanges in members.items()})
    private: defaultdict[str, int] = defaultdict(int)
    private.update({task_id: sum(map(_is_private, exchanges)) for task_id, exchanges in members.items()})
    return spend, private


def _is_private(exchange: Exchange) -> bool:
    return bool(exchange.private_kinds)


def spend_of(exchanges: Sequence[Exchange]) -> Spend:
    def total(chosen: Sequence[Exchange]) -> float:
        return sum(exchange.cost_usd or 0.0 for exchange in chosen)

    return Spend(
        total_usd=total(exchanges),
        estimated_usd=total([e for e in exchanges if e.cost_source != "recorded"]),
    )


def plan_json(plan: Plan) -> JsonObject:
    """DESIGN §8: fields are added, never renamed."""
    return {
        "created": plan.created.isoformat(),
        "models": list(plan.models),
        "exchanges": plan.exchanges,
        "tasks": [_row_json(row) for row in plan.rows],
        "spend_usd": plan.spend_usd,
        "spend_estimated_usd": plan.spend_estimated_usd,
        "spend_after_usd": plan.spend_after_usd,
        "private_share": plan.private_share,
        "moved_share": plan.moved_share,
    }


def _row_json(row: PlanRow) -> JsonObject:
    task, evaluation = row.report.task, row.evaluation
    shown = (evaluation.covered or evaluation.overall) if evaluation else None
    return {
        "id": task.id,
        "name": task.name,
        "exchanges": row.exchanges,
        "output_kind": task.output.kind.value,
        "verdict": row.verdict.value,
        "recipe": row.recipe,
        "candidate": evaluation.candidate_id if evaluation else None,
        "coverage": row.coverage,
        "quality": shown.quality if shown else None,
        "quality_interval": [shown.quality_interval.low, shown.quality_interval.high] if shown else None,
        "hosted_quality": shown.hosted_quality if shown else None,
        "difference": shown.difference if shown else None,
        "difference_interval": [shown.difference_interval.low, shown.difference_interval.high] if shown else None,
        "loss_upper": evaluation.loss_upper if evaluation else None,
        "margin": evaluation.margin if evaluation else None,
        "confidence": evaluation.confidence if evaluation else None,
        "n_test": evaluation.n if evaluation else 0,
        "criterion": criterion_json(row.criterion),
        "labels": plain(evaluation.labels) if evaluation else [],
        "certificate": evaluation.certificate_id if evaluation else None,
        "reason": row.reason,
        "n_needed": row.n_needed,
        "reference_kinds": list(row.report.figures.reference_kinds),
        "private_share": row.private / row.exchanges,
        "routable": row.report.routable,
        "spend_usd": row.spend.total_usd,
        "spend_after_usd": row.spend_after_usd,
        "warnings": list(evaluation.warnings) if evaluation else [],
        "examples": list(row.report.figures.examples),
    }
