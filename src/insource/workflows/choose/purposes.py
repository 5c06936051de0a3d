"""What a piece of work is for, as models are made for it: given, or what a task's answers show. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from insource.core.values import OutputKind, Task

if TYPE_CHECKING:
    from insource.workflows.choose.task_traffic import TaskTraffic

PurposeName = Literal["chat", "code", "tools", "extraction", "classification", "vision", "embedding"]
_MOSTLY = 0.5


def purpose_of_task(task: Task | None, traffic: TaskTraffic | None) -> PurposeName:
    """What a model must be able to do comes first: images, then tools."""
    if task is None or traffic is None:
        return "chat"
    if traffic.images:
        return "vision"
    if traffic.tools:
        return "tools"
    if task.output.kind is OutputKind.LABEL:
        return "classification"
    if task.output.kind in (OutputKind.JSON, OutputKind.NUMBER):
        return "extraction"
    return "code" if traffic.code_share >= _MOSTLY else "chat"
