"""A plan's moves weighed: may the model be used, does the machine carry the load, and what does the machine cost.

What is certified is not yet a move: a licence that the policy refuses stops it, and a machine that is too slow or too
small carries a part of it or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from insource.config import Settings
from insource.core.evidence import Candidate, Verdict
from insource.core.hardware import HERE
from insource.hub.licence_chain import refusal
from insource.hub.licences import LicencePolicy, parse_policy
from insource.workflows.choose.fit import FitParts
from insource.workflows.choose.money import MachineCost
from insource.workflows.choose.serving import Serving
from insource.workflows.choose.shared_machine import Carried, Moving, carried
from insource.workflows.plan import MOVES, Plan, PlanRow
from insource.workflows.prove.move import choose_target, licence_advice, refused_link
from insource.workflows.services import FindLicence, Services


def weigh(plan: Plan, services: Services, fit: FitParts, *, machine: str = HERE, online: bool = False) -> Plan:
    """`online` as in `carried`. Raises UsageError for a machine or a licence policy that is none."""
    policy = parse_policy(services.settings.licenses)
    candidates = {candidate.id: candidate for candidate in services.registry.candidates()}
    with services.open_licences() as find_licence:
        licences = _Licences(find=find_licence, policy=policy)
        rows = [_licensed(row, services, licences=licences, candidates=candidates) for row in plan.rows]
    moves = [move for row in rows if (move := _moving(row, candidates)) is not None]
    latency_seconds = services.settings.latency_seconds
    loads = carried(moves, fit, machine=machine, latency_seconds=latency_seconds, online=online)
    return replace(
        plan,
        rows=tuple(_loaded(row, loads.get(row.report.task.id)) for row in rows),
        machine=machine,
        machine_cost=machine_cost(services.settings),
    )


def machine_cost(settings: Settings) -> MachineCost:
    return MachineCost(
        usd_per_month=settings.machine_usd_per_month, watts=settings.machine_watts, usd_per_kwh=settings.usd_per_kwh
    )


# ---------------------------------------------------------------------------------------------------- licence


@dataclass(frozen=True, slots=True, kw_only=True)
class _Licences:
    find: FindLicence
    policy: LicencePolicy

    def serving(self, row: PlanRow, candidates: Mapping[str, Candidate]) -> Serving | None:
        """None: no model is asked."""
        candidate = candidates.get(row.evaluation.candidate_id) if row.evaluation is not None else None
        if candidate is None or candidate.model_ref is None:
            return None
        licence = self.find(candidate.model_ref)
        return Serving(model=candidate.model_ref, licence=licence, refused=refusal(licence, self.policy))

    def allow(self, model: str | None) -> bool:
        return refused_link(model, self.policy, self.find) is None


def _licensed(row: PlanRow, services: Services, *, licences: _Licences, candidates: dict[str, Candidate]) -> PlanRow:
    """With what is known of the licence. Where it is refused, the next best candidate that is allowed, if any."""
    serving = licences.serving(row, candidates)
    if serving is None or serving.refused is None or row.verdict not in MOVES:
        return replace(row, serving=serving)
    task_id = row.report.task.id
    allowed = [each for each in services.registry.candidates(task_id) if licences.allow(each.model_ref)]
    other = choose_target(allowed, services.evidence.evaluations(task_id), None)
    refused = licence_advice(serving.model, serving.refused, services.settings.licenses)
    if other is None or other.evaluation is None:
        return replace(row, serving=serving, verdict=Verdict.KEEP, reason=f"{refused[0]} {row.reason}")
    chosen = replace(
        row,
        verdict=Verdict.MOVE if other.evaluation.whole else Verdict.MOVE_PART,
        recipe=other.candidate.recipe,
        evaluation=other.evaluation,
        reason=f"{other.evaluation.reason} (Passed over: {refused[0]})",
    )
    return replace(chosen, serving=licences.serving(chosen, candidates))


# --------------------------------------------------------------------------------------------------- capacity


def _moving(row: PlanRow, candidates: dict[str, Candidate]) -> Moving | None:
    if row.serving is None or row.evaluation is None:
        return None
    candidate = candidates[row.evaluation.candidate_id]
    busiest = row.busiest_per_minute
    return Moving(
        task_id=row.report.task.id,
        model=row.serving.model,
        elsewhere=candidate.made_elsewhere,
        quantization=str(candidate.stated.get("quantisation") or ""),
        per_minute=None if busiest is None else busiest * (row.evaluation.coverage or 1.0),
        moves=row.coverage > 0,
        saving_usd=row.saving_usd,
    )


def _loaded(row: PlanRow, load: Carried | None) -> PlanRow:
    if load is None or row.serving is None:
        return row
    weighed = replace(row, serving=replace(row.serving, carried=load))
    if row.coverage <= 0:
        return weighed
    verdict = row.verdict if load.share >= 1 else Verdict.MOVE_PART if load.share > 0 else Verdict.KEEP
    reason = f"{load.reason} {row.reason}" if load.share < 1 else f"{row.reason} {load.reason}".strip()
    return replace(weighed, verdict=verdict, reason=reason)
