"""Which task a user means by an id, a name, or a part of one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from insource.core.answers import normalise
from insource.core.errors import UnknownTask
from insource.core.values import Task

_SHOWN = 5


def resolve_task(tasks: Sequence[Task], text: str) -> Task:
    """The task with this id or name, or with the only name that begins so or holds it; case does not matter.

    Raises UnknownTask, which lists near names.
    """
    wanted = normalise(text)
    exact = [task for task in tasks if text.strip() == task.id or wanted == normalise(task.name)]
    if exact:
        return exact[0]
    holding = [task for task in tasks if wanted and wanted in normalise(task.name)]
    beginning = [task for task in holding if normalise(task.name).startswith(wanted)]
    for found in (beginning, holding):
        if len(found) == 1:
            return found[0]
    raise UnknownTask(_unknown(tasks, text, holding), next_step="`insource tasks` lists all of them.")


def _unknown(tasks: Sequence[Task], text: str, holding: Sequence[Task]) -> str:
    if len(holding) > 1:
        names = ", ".join(f"{task.name!r} ({task.id})" for task in holding[:_SHOWN])
        return f"{text!r} may mean several tasks: {names}."
    by_form = {normalise(task.name): task for task in tasks} | {task.id: task for task in tasks}
    near = dict.fromkeys(
        by_form[form].name for form in get_close_matches(normalise(text), list(by_form), n=_SHOWN, cutoff=0.5)
    )
    known = list(near) or [task.name for task in tasks[:_SHOWN]]
    if not known:
        return f"There is no task {text!r}: no task was found yet."
    lead = "Near" if near else "There are"
    return f"There is no task {text!r}. {lead}: {', '.join(repr(name) for name in known)}."
