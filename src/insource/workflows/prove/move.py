"""Moving a task to a candidate in stages, and back. A gateway that runs takes the change up by itself within a second.

Answering users needs a certificate. `shadow` does not: its answers are measured and thrown away. Every step is
an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from insource.core.ecosystem import Link
from insource.core.errors import NotCertified, RefusedByPolicy, UsageError
from insource.core.evidence import Candidate, Evaluation, Event
from insource.core.values import Move, Pin, Stage, Task
from insource.hub.licence_chain import refusal
from insource.hub.licences import LicencePolicy, parse_policy
from insource.traffic.resolve import resolve_task
from insource.workflows.prove.expiry import why_expired
from insource.workflows.services import FindLicence, Services

_ANSWERING = (Stage.CANARY, Stage.LIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A candidate with the evaluation that speaks for it, if any."""

    candidate: Candidate
    evaluation: Evaluation | None


def choose_target(
    candidates: Sequence[Candidate], evaluations: Sequence[Evaluation], wanted: str | None
) -> Target | None:
    """The candidate whose id or recipe is `wanted`, else the certified one that may answer most. Pure.

    Of several candidates of one recipe the one that was evaluated last counts; a certificate counts before none.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    known = [e for e in evaluations if e.candidate_id in by_id]
    if wanted is None:
        certified = [e for e in known if e.certificate_id]
        best = max(certified, key=lambda e: (e.coverage, e.created), default=None)
        return None if best is None else Target(candidate=by_id[best.candidate_id], evaluation=best)
    named = [e for e in known if wanted in (e.candidate_id, by_id[e.candidate_id].recipe)]
    if named:
        best = max(named, key=lambda e: (e.certificate_id is not None, e.created))
        return Target(candidate=by_id[best.candidate_id], evaluation=best)
    unmeasured = [c for c in candidates if wanted in (c.id, c.recipe)]
    return Target(candidate=unmeasured[-1], evaluation=None) if unmeasured else None


def move_task(
    services: Services,
    task_name: str,
    *,
    to: str | None,
    stage: Stage,
    engine: str | None = None,
    without_certificate: bool = False,
) -> Move:
    """`engine`: the model that stands in for answers made elsewhere; whoever names it has asked it first
    (elsewhere.py). Raises UnknownTask, UsageError for an unknown candidate, NotCertified, RefusedByPolicy for a model
    whose licence is not allowed."""
    task = resolve_task(services.registry.tasks(), task_name)
    target = _find_allowed(services, task, to=to, engine=engine, stage=stage)
    evaluation = target.evaluation
    certificate_id = evaluation.certificate_id if evaluation else None
    if certificate_id is None and stage in _ANSWERING and not without_certificate:
        raise NotCertified(
            f"Candidate {target.candidate.id} has no certificate for task {task.name!r}"
            + (f": {evaluation.reason}" if evaluation else "."),
            next_step="Use `--stage shadow` to measure it on live traffic, or say `--without-certificate`.",
        )
    certificate = None if certificate_id is None else services.evidence.certificate(certificate_id)
    expired = None if certificate is None else why_expired(services, certificate)
    if expired is not None and stage in _ANSWERING and not without_certificate:
        raise NotCertified(
            f"The certificate of {target.candidate.id} for task {task.name!r} expired. {expired}",
            next_step=f"Measure it on newer exchanges: `insource evaluate {task.id}`.",
        )
    certified = evaluation is not None and certificate_id is not None
    if target.candidate.made_elsewhere and stage is not Stage.OBSERVE:
        _check_stand_in(target, engine)
    move = Move(
        task_id=task.id,
        candidate_id=target.candidate.id,
        stage=stage,
        gate=evaluation.gate or 0.0 if evaluation is not None and certified else 0.0,
        certificate_id=certificate_id,
        canary_share=services.settings.canary_share,
        changed=services.clock.now(),
        reason="certified" if certified else "moved by hand without a certificate",
        serves=evaluation.serves if evaluation is not None and certified else ("new", "repeats"),
        engine=engine if target.candidate.made_elsewhere else None,
    )
    services.registry.put_move(move, _event(task, move))
    return move


def _find_allowed(services: Services, task: Task, *, to: str | None, engine: str | None, stage: Stage) -> Target:
    """Raises UsageError for an unknown candidate, RefusedByPolicy."""
    candidates, evaluations = services.registry.candidates(task.id), services.evidence.evaluations(task.id)
    policy = parse_policy(services.settings.licenses)
    with services.open_licences() as find_licence:
        allowed = [c for c in candidates if to is not None or refused_link(c.model_ref, policy, find_licence) is None]
        target = choose_target(allowed, evaluations, to) or choose_target(candidates, evaluations, to)
        if target is None:
            raise UsageError(
                f"Task {task.name!r} has no {'certified candidate' if to is None else f'candidate {to!r}'}.",
                next_step=f"Measure it first: `insource evaluate {task.id}`.",
            )
        # A shadow uses the model too.
        for model in (target.candidate.model_ref, engine) if stage is not Stage.OBSERVE else ():
            refused = refused_link(model, policy, find_licence)
            if refused is not None:
                message, next_step = licence_advice(model or "", refused, services.settings.licenses)
                raise RefusedByPolicy(message, next_step=next_step)
    return target


def refused_link(model: str | None, policy: LicencePolicy, find_licence: FindLicence) -> Link | None:
    """Whose licence the policy does not allow, of a model and what it is built on; None also where no model is asked
    or nobody states a licence."""
    return None if model is None else refusal(find_licence(model), policy)


def licence_advice(model: str, refused: Link, policy: str) -> tuple[str, str]:
    """What a policy refuses, and what to do about it."""
    of = model if refused.steps == 0 else f"{refused.id}, on which {model} is built,"
    allow = (
        f"allow it in {policy.strip()}"
        if policy.strip().endswith(".toml")
        else f"allow it: INSOURCE_LICENSES={policy},{refused.license}"
    )
    return (
        f"The licence {refused.license!r} ({refused.licence_class}) of {of} is not allowed by the setting "
        f"`licenses` ({policy}).",
        f"Evaluate another model, or {allow}",
    )


def _check_stand_in(target: Target, engine: str | None) -> None:
    if engine is None:
        raise UsageError(
            f"The answers of {target.candidate.id} were made elsewhere: nothing here can answer a new request.",
            next_step="Name what runs the model: `--engine server:URL#NAME`.",
        )
    if target.evaluation is not None and (target.evaluation.gate or 0.0) > 0:
        raise UsageError(
            f"{target.candidate.id} may answer only where its file gives enough confidence, and an engine gives none.",
            next_step="Evaluate the model itself: `insource evaluate TASK --model server:URL#NAME`.",
        )


def _event(task: Task, move: Move) -> Event:
    stands_on = "with no certificate" if move.certificate_id is None else f"on certificate {move.certificate_id}"
    return Event(
        created=move.changed,
        task_id=task.id,
        kind="moved",
        text=f"{task.name!r}: Moved to {move.candidate_id}, stage {move.stage.value}, {stands_on}.",
        figures={"stage": move.stage.value, "candidate": move.candidate_id, "certificate": move.certificate_id},
    )


def pin_task(services: Services, task_name: str, *, reason: str = "pinned by hand") -> Pin:
    """All requests of the task stay on this machine from now on."""
    task = resolve_task(services.registry.tasks(), task_name)
    pin = Pin(task_id=task.id, changed=services.clock.now(), reason=reason)
    services.registry.put_pin(pin)
    text = f"{task.name!r}: Pinned; its requests stay on this machine."
    services.registry.put_event(Event(created=pin.changed, task_id=task.id, kind="pinned", text=text))
    return pin


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    task: Task
    move: Move | None
    unpinned: bool


def rollback_task(services: Services, task_name: str, *, reason: str = "rolled back by hand") -> RolledBack:
    """Sends the task's requests to the provider again, and removes its pin."""
    task = resolve_task(services.registry.tasks(), task_name)
    current = next((move for move in services.registry.moves() if move.task_id == task.id), None)
    pinned = any(pin.task_id == task.id for pin in services.registry.pins())
    if current is None and not pinned:
        raise UsageError(f"Task {task.name!r} was never moved.", next_step="`insource moves` lists what was.")
    back = None
    if current is not None:
        back = replace(current, stage=Stage.ROLLED_BACK, changed=services.clock.now(), reason=reason)
        event = Event(
            created=back.changed,
            task_id=task.id,
            kind="rolled back",
            text=f"{task.name!r}: Rolled back ({reason}); the hosted model answers again.",
            figures={"stage": current.stage.value, "candidate": current.candidate_id},
        )
        services.registry.put_move(back, event)
    if pinned:
        services.registry.remove_pin(task.id)
        text = f"{task.name!r}: Unpinned; its requests may go to the hosted model."
        services.registry.put_event(Event(created=services.clock.now(), task_id=task.id, kind="unpinned", text=text))
    return RolledBack(task=task, move=back, unpinned=pinned)
