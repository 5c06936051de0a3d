"""The plan: every task of the log with its verdict, what is spent now, and what would be spent after the moves.

Measuring sends nothing anywhere, so tasks with private data are measured like all others. PIN is said of tasks that the
user pinned, with what answers them here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from insource.core.evidence import Criterion, Evaluation, Verdict
from insource.core.hardware import HERE
from insource.core.values import Exchange, JsonObject
from insource.evals.comparison import Trial
from insource.evals.documents import plain
from insource.workflows.choose.money import (
    AssumedPrice,
    Bill,
    MachineCost,
    Period,
    assumed,
    bill_of,
    break_even,
    busiest_per_minute,
    period_of,
)
from insource.workflows.choose.offer import Offer, offers_json
from insource.workflows.choose.serving import Serving, licence_json, machine_json
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.engines import Engines
from insource.workflows.prove.evaluate import TaskEvaluation, Wanted, criterion_json, evaluate_task
from insource.workflows.prove.find_tasks import TaskReport, find_tasks
from insource.workflows.prove.import_traffic import priced
from insource.workflows.services import Progress, Services, quiet

MOVES = (Verdict.MOVE, Verdict.MOVE_PART)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One task and what to do with it."""

    report: TaskReport
    spend: Bill
    private: int
    """Exchanges whose request holds personal data or secrets, or could not be read to its end."""
    busiest_per_minute: float | None
    """Requests in its busiest hour; None: the log states no times."""
    verdict: Verdict
    reason: str
    criterion: Criterion
    recipe: str | None = None
    evaluation: Evaluation | None = None
    """The certified one, else the one that came nearest; None: nothing was measured."""
    n_needed: int | None = None
    serving: Serving | None = None
    """What the certified model asks of the machine and of the licence policy; None: nothing was weighed."""
    found: TaskEvaluation
    """All that was tried for it."""
    offers: tuple[Offer, ...] = ()
    """Open models that nobody measured on it yet, the cheapest to serve first; of a task that stays."""
    no_offer: str = ""
    """Why there is none, as a sentence."""

    @property
    def exchanges(self) -> int:
        return self.report.figures.exchanges

    @property
    def coverage(self) -> float:
        """Share of the requests that a certified candidate may answer, and that the machine carries."""
        if self.evaluation is None or self.verdict not in MOVES:
            return 0.0
        return self.evaluation.coverage * (self.serving.share if self.serving else 1.0)

    @property
    def share_private(self) -> float:
        return self.private / self.exchanges

    @property
    def spend_after_usd(self) -> float:
        return 0.0 if self.verdict is Verdict.PIN else self.spend.after(self.coverage)

    @property
    def saving_usd(self) -> float:
        return self.spend.total_usd - self.spend_after_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    created: datetime
    models: tuple[str, ...]
    """References of those that were asked; "" is the configured one."""
    rows: tuple[PlanRow, ...]
    period: Period | None = None
    """Which the log covers; None: it states no times."""
    machine: str = HERE
    machine_cost: MachineCost = field(default_factory=MachineCost)

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

    def a_month(self, usd: float) -> float | None:
        """Of an amount in the whole log; None: its period says too little."""
        return self.period.a_month(usd) if self.period is not None else None

    @property
    def saving_usd(self) -> float:
        return self.spend_usd - self.spend_after_usd

    @property
    def net_saving_usd_per_month(self) -> float | None:
        """Less what the machine costs; None: one of the two is not known."""
        saving, cost = self.a_month(self.saving_usd), self.machine_cost.total_usd_per_month
        return None if saving is None or cost is None else saving - cost

    @property
    def break_even_share(self) -> float | None:
        """The share of today's traffic from which the moves pay for the machine; None: not known, or never."""
        saving, cost = self.a_month(self.saving_usd), self.machine_cost.total_usd_per_month
        return None if saving is None or cost is None else break_even(saving, cost)

    @property
    def unpriced(self) -> int:
        """Hosted exchanges that count as free, because nobody knows their cost."""
        return sum(row.spend.unpriced for row in self.rows)

    @property
    def can_move(self) -> bool:
        return any(row.coverage > 0 for row in self.rows)

    @property
    def private_share(self) -> float:
        """Share of the exchanges whose request holds private data: what a privacy policy would act on."""
        return sum(row.share_private * row.exchanges for row in self.rows) / max(self.exchanges, 1)

    @property
    def moved_share(self) -> float:
        """Share of the exchanges that a certified candidate answers here."""
        return sum(row.coverage * row.exchanges for row in self.rows) / max(self.exchanges, 1)


async def make_plan(
    services: Services,
    *,
    candidates: Wanted | None = None,
    budget: Budget | None = None,
    prices: Sequence[AssumedPrice] = (),
    progress: Progress = quiet,
) -> Plan:
    """Finds the tasks and evaluates them; `prices` stand for what the log says. Raises EmptyLog."""
    candidates = candidates or Wanted()
    reports = find_tasks(services, progress=progress)
    sums = _sums(services, prices)
    pins = {pin.task_id for pin in services.registry.pins()}
    rows: list[PlanRow] = []
    async with Engines(services) as engines:
        for done, report in enumerate(reports):
            progress("Evaluating tasks", done, len(reports))
            task_id = report.task.id
            found = await evaluate_task(
                services, report.task, candidates=candidates, engines=engines, budget=budget, progress=progress
            )
            row = _row(report, found, sums=sums.of(task_id))
            rows.append(pinned(row, services.settings.private_model) if task_id in pins else row)
    progress("Evaluating tasks", len(reports), len(reports))
    return Plan(
        created=services.clock.now(), models=tuple(candidates.models), rows=tuple(rows), period=period_of(sums.times)
    )


def _row(report: TaskReport, found: TaskEvaluation, *, sums: TaskSums) -> PlanRow:
    return PlanRow(
        report=report,
        spend=sums.bill,
        private=sums.private,
        busiest_per_minute=sums.busiest_per_minute,
        verdict=found.verdict,
        reason=found.reason,
        criterion=found.criterion,
        recipe=found.decision.recipe,
        evaluation=nearest(found),
        n_needed=found.n_needed,
        found=found,
    )


def pinned(row: PlanRow, private_model: str) -> PlanRow:
    """Of a task that the user pinned: what answers it here, and how well."""
    rest = f"{private_model} answers the rest" if private_model else "the rest is refused"
    if row.coverage > 0:
        whole = "all of it here" if row.coverage == 1 else f"{row.coverage:.0%} of it here, {rest}"
        reason = f"You pinned it; {row.recipe} may answer {whole}. It {row.reason}"
    elif private_model:
        reason = (
            f"You pinned it, and nothing is certified for it: {private_model}, which you named, answers. {row.reason}"
        )
    else:
        reason = f"You pinned it, and nothing certified answers it here: its requests are refused. {row.reason}"
    return replace(row, verdict=Verdict.PIN, reason=reason)


def with_found(row: PlanRow, found: TaskEvaluation, *, private_model: str) -> PlanRow:
    """The row after more was tried for its task."""
    fresh = replace(
        row,
        verdict=found.verdict,
        reason=found.reason,
        recipe=found.decision.recipe,
        evaluation=nearest(found),
        n_needed=found.n_needed,
        found=found,
        offers=(),
    )
    return pinned(fresh, private_model) if row.verdict is Verdict.PIN else fresh


def nearest(found: TaskEvaluation) -> Evaluation | None:
    """The evaluation to show for a task: the certified one, else the one that lost least on all it was asked. Pure."""
    measured = [e for e in found.evaluations if e.overall is not None]
    least = min(measured, key=lambda e: e.overall.difference if e.overall else 1.0, default=None)
    return found.best or least


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSums:
    """Of one task's exchanges."""

    bill: Bill = field(default_factory=Bill)
    private: int = 0
    busiest_per_minute: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    by_task: Mapping[str, TaskSums]
    times: Sequence[datetime]
    """Of all exchanges."""

    def of(self, task_id: str) -> TaskSums:
        return self.by_task.get(task_id, TaskSums())


def _sums(services: Services, prices: Sequence[AssumedPrice]) -> _Sums:
    """In one pass over the log. What was recorded without a cost is priced from the list, as an import does it."""
    task_of = services.exchanges.assignments()
    members: defaultdict[str, list[Exchange]] = defaultdict(list)
    for exchange in services.exchanges.read():
        if exchange.id in task_of:
            members[task_of[exchange.id]].append(priced(assumed(exchange, prices), services))
    return _Sums(
        by_task={
            task_id: TaskSums(
                bill=bill_of(exchanges),
                private=sum(bool(exchange.private_kinds) for exchange in exchanges),
                busiest_per_minute=busiest_per_minute(exchange.created for exchange in exchanges),
            )
            for task_id, exchanges in members.items()
        },
        times=[exchange.created for exchanges in members.values() for exchange in exchanges],
    )


def plan_json(plan: Plan) -> JsonObject:
    """DESIGN §8: fields are added, never renamed."""
    return {
        "created": plan.created.isoformat(),
        "models": list(plan.models),
        "exchanges": plan.exchanges,
        "tasks": [_row_json(row, plan) for row in plan.rows],
        "spend_usd": plan.spend_usd,
        "spend_estimated_usd": plan.spend_estimated_usd,
        "spend_after_usd": plan.spend_after_usd,
        **money_json(plan),
        "private_share": plan.private_share,
        "moved_share": plan.moved_share,
    }


def money_json(plan: Plan) -> JsonObject:
    return {
        "days": plan.period.days if plan.period else None,
        "first_created": plan.period.first.isoformat() if plan.period else None,
        "last_created": plan.period.last.isoformat() if plan.period else None,
        "unpriced": plan.unpriced,
        "spend_usd_per_month": plan.a_month(plan.spend_usd),
        "spend_estimated_usd_per_month": plan.a_month(plan.spend_estimated_usd),
        "spend_after_usd_per_month": plan.a_month(plan.spend_after_usd),
        "saving_usd_per_month": plan.a_month(plan.saving_usd),
        "machine": {
            "name": plan.machine,
            "usd_per_month": plan.machine_cost.total_usd_per_month,
            "power_usd_per_month": plan.machine_cost.power_usd_per_month,
            "engine_share": sum(row.serving.engine_share for row in plan.rows if row.serving),
        },
        "net_saving_usd_per_month": plan.net_saving_usd_per_month,
        "break_even_share": plan.break_even_share,
        "can_move": plan.can_move,
    }


def _row_json(row: PlanRow, plan: Plan) -> JsonObject:
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
        "spend_estimated_usd": row.spend.estimated_usd,
        "spend_after_usd": row.spend_after_usd,
        "spend_usd_per_month": plan.a_month(row.spend.total_usd),
        "saving_usd_per_month": plan.a_month(row.saving_usd),
        "model": row.serving.model if row.serving else None,
        "licence": licence_json(row.serving),
        "machine": {
            "name": plan.machine,
            "usd_per_month": plan.machine_cost.total_usd_per_month,
            **machine_json(row.serving),
        },
        "candidates": [_trial_json(trial) for trial in row.found.trials],
        "open_models": offers_json(row.offers),
        "no_open_model": row.no_offer or None,
        "warnings": list(evaluation.warnings) if evaluation else [],
        "examples": list(row.report.figures.examples),
    }


def _trial_json(trial: Trial) -> JsonObject:
    """One candidate beside the others, in the order in which they were tried."""
    return {
        "id": trial.candidate_id,
        "model": trial.model,
        "recipe": trial.recipe,
        "end": trial.end,
        "reason": trial.reason,
        "coverage": trial.coverage,
        "n": trial.n,
    }
