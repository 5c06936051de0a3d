"""`insource move`, `insource rollback`, `insource moves`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption, TaskArgument
from insource.cli.session import session
from insource.core.errors import UsageError
from insource.core.values import Move, Stage

if TYPE_CHECKING:
    from insource.cli.output import Output
    from insource.workflows.services import Services

_SETTABLE = (Stage.OBSERVE, Stage.SHADOW, Stage.CANARY, Stage.LIVE)


def move(  # noqa: PLR0913 - a command's parameters are its options
    task: TaskArgument,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="CANDIDATE", help="Candidate id or recipe; default: the one certified for the largest share."
        ),
    ] = None,
    stage: Annotated[Stage, typer.Option(help="Stage to move to: observe, shadow, canary or live.")] = Stage.LIVE,
    engine: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Model that serves a candidate whose answers were produced elsewhere."),
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep all of the task's requests on this machine.")] = False,
    without_certificate: Annotated[
        bool, typer.Option("--without-certificate", help="Route to a candidate that has no certificate.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Move a task to a local candidate. A running gateway follows within a second."""
    from insource.workflows.prove.move import move_task, pin_task

    if stage not in _SETTABLE:
        raise UsageError(
            f"A task can't be moved to stage {stage.value!r}.", next_step=f"`insource rollback {task}` does."
        )
    with session(as_json=as_json, quiet=quiet) as (services, out):
        if pin:
            pinned = pin_task(services, task)
            if as_json:
                out.data({"task": pinned.task_id, "pinned": True, "reason": pinned.reason})
            else:
                out.text(f"{pinned.task_id} is pinned: its requests stay on this machine.")
            if to is None:
                return
        if engine is not None:
            asyncio.run(_ask_stand_in(services, task, to=to, engine=engine))
        moved = move_task(services, task, to=to, stage=stage, engine=engine, without_certificate=without_certificate)
        if as_json:
            out.data(_move_json(moved))
        else:
            gate = f", gate {moved.gate:.3f}" if moved.gate > 0 else ""
            why = moved.certificate_id or moved.reason
            out.text(f"{moved.task_id} → {moved.candidate_id}, {moved.stage.value}{gate} ({why}).")
            out.say(f"Back again: insource rollback {moved.task_id}")


async def _ask_stand_in(services: Services, task_name: str, *, to: str | None, engine: str) -> None:
    from insource.traffic.resolve import resolve_task
    from insource.workflows.prove.elsewhere import check_stand_in
    from insource.workflows.prove.move import choose_target

    task = resolve_task(services.registry.tasks(), task_name)
    target = choose_target(services.registry.candidates(task.id), services.evidence.evaluations(task.id), to)
    if target is not None and target.candidate.made_elsewhere:
        await check_stand_in(services, task, target.candidate, ref=engine)


def rollback(task: TaskArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Route a task back to the hosted API and unpin it. A running gateway follows within a second."""
    from insource.workflows.prove.move import rollback_task

    with session(as_json=as_json, quiet=quiet) as (services, out):
        done = rollback_task(services, task)
        if as_json:
            out.data(
                {"task": done.task.id, "stage": done.move.stage.value if done.move else None, "unpinned": done.unpinned}
            )
        else:
            what = " and ".join(
                w for w, so in (("rolled back", done.move is not None), ("unpinned", done.unpinned)) if so
            )
            out.text(f"{done.task.name}: {what}.")


def moves(
    events: Annotated[bool, typer.Option("--events", help="Show what happened to the moves, and why.")] = False,
    days: Annotated[float, typer.Option(min=0.0, help="With --events: days to look back.")] = 14.0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the moves in force and the pins, or what happened to them."""
    with session(as_json=as_json, quiet=quiet) as (services, out):
        if events:
            _show_events(services, out, days=days)
            return
        names = {task.id: task.name for task in services.registry.tasks()}
        current = services.registry.moves()
        pins = services.registry.pins()
        if as_json:
            out.data(
                {
                    "moves": [_move_json(m) for m in current],
                    "pins": [{"task": p.task_id, "reason": p.reason} for p in pins],
                }
            )
            return
        rows = [
            (
                names.get(m.task_id, m.task_id),
                m.candidate_id,
                m.stage.value,
                f"{m.gate:.3f}",
                m.certificate_id or "none",
                f"{m.changed:%Y-%m-%d %H:%M}",
            )
            for m in current
        ]
        rows += [
            (names.get(p.task_id, p.task_id), "pinned", "live", "", "", f"{p.changed:%Y-%m-%d %H:%M}") for p in pins
        ]
        out.table("Moves", ["task", "candidate", "stage", ">gate", "certificate", "changed"], rows)


def _show_events(services: Services, out: Output, *, days: float) -> None:
    from insource.workflows.watch.story import message, page, told

    since = services.clock.now() - timedelta(days=days)
    found = told(lambda kind: services.registry.events(kind=kind, since=since))
    if out.as_json:
        out.data([message(event) for event in found])
        return
    names = {task.id: task.name for task in services.registry.tasks()}
    out.text(page(found, names) or f"Nothing happened to a move in the last {days:g} days.")


def _move_json(move: Move) -> dict[str, object]:
    return {
        "task": move.task_id,
        "candidate": move.candidate_id,
        "stage": move.stage.value,
        "gate": move.gate,
        "certificate": move.certificate_id,
        "canary_share": move.canary_share,
        "changed": move.changed.isoformat(),
        "reason": move.reason,
    }
