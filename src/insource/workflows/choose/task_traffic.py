"""What a task's recorded requests ask of whatever answers them: lengths, images, tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from insource.core.errors import EmptyLog
from insource.core.hashing import canonical_json
from insource.core.stores import ExchangeFilter, ExchangeStore, Registry
from insource.core.values import Exchange, JsonObject, OutputKind, Task
from insource.providers.prices import estimate_tokens
from insource.wire.chat import answer_or_calls, messages, usage_tokens, user_text
from insource.workflows.choose.languages import languages_of

LONG = 0.95
"""The quantile of lengths that a latency is promised for."""
_NEWEST = 2000
"""Exchanges of a task that tell its lengths: enough for a 99 % quantile, and read within a second."""
_CODE = "```"
_IMAGE_PARTS = frozenset({"image_url", "input_image", "image"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTraffic:
    """Of the exchanges that were read."""

    exchanges: int
    prompt_tokens: tuple[int, ...]
    """Of each; counted by the upstream's tokenizer, or estimated."""
    answer_tokens: tuple[int, ...]
    estimated_share: float
    """Of exchanges whose tokens were not counted by whoever answered."""
    images: bool
    """Some request holds one."""
    tools: bool
    """Some request offers one."""
    code_share: float = 0.0
    """Of the answers that hold a block of code."""
    languages: tuple[str, ...] = ()
    """ISO 639-1, of at least a tenth of the requests; the most frequent first. Only those that were recognised."""

    @property
    def total_tokens(self) -> tuple[int, ...]:
        return tuple(p + a for p, a in zip(self.prompt_tokens, self.answer_tokens, strict=True))


def find_traffic(name: str, *, registry: Registry | None, exchanges: ExchangeStore | None) -> tuple[Task, TaskTraffic]:
    """Of the task with this id or name. Raises UnknownTask, and EmptyLog where nothing was recorded of it."""
    # Late: finding tasks loads what a question without a task does not need.
    from insource.traffic.resolve import resolve_task

    task = resolve_task(registry.tasks() if registry is not None else [], name)
    where = ExchangeFilter(task_id=task.id, newest=_NEWEST)
    recorded = exchanges.read(where) if exchanges is not None else ()
    traffic = read_traffic(task, (item for item in recorded if not item.marks.is_extra))
    if not traffic.exchanges:
        raise EmptyLog(
            f"The task {task.name!r} has no exchanges, so its lengths are not known.",
            next_step="Run `insource import FILE` and `insource tasks`, or ask without a task.",
        )
    return task, traffic


def read_traffic(task: Task, exchanges: Iterable[Exchange]) -> TaskTraffic:
    """Pure."""
    prompts: list[int] = []
    answers: list[int] = []
    estimated, images, tools, code = 0, False, task.output.kind is OutputKind.TOOL_CALL, 0
    asked: list[str] = []
    for exchange in exchanges:
        said = answer_or_calls(exchange.response) or exchange.reference or ""
        code += _CODE in said
        asked.append(user_text(exchange.request))
        counted = usage_tokens(exchange.response)
        if counted is None:
            estimated += 1
            counted = estimate_tokens(_text_bytes(exchange.request)), estimate_tokens(len(_text(said)))
        prompts.append(max(0, counted[0]))
        answers.append(max(0, counted[1]))
        images = images or any(_has_image(message) for message in messages(exchange.request))
        tools = tools or bool(exchange.request.get("tools"))
    return TaskTraffic(
        exchanges=len(prompts),
        prompt_tokens=tuple(prompts),
        answer_tokens=tuple(answers),
        estimated_share=estimated / len(prompts) if prompts else 0.0,
        images=images,
        tools=tools,
        code_share=code / len(prompts) if prompts else 0.0,
        languages=languages_of(asked),
    )


def quantile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0


def _text_bytes(request: JsonObject) -> int:
    """Of everything that is sent as text: messages without their images, and tools."""
    tools = request.get("tools")
    parts = [part for message in messages(request) for part in _parts(message) if not _is_image(part)]
    return sum(len(_text(part)) for part in parts) + (len(_text(tools)) if tools else 0)


def _parts(message: JsonObject) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else [content]


def _text(value: Any) -> bytes:
    if value is None:
        return b""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else canonical_json(value)


def _has_image(message: JsonObject) -> bool:
    return any(_is_image(part) for part in _parts(message))


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _IMAGE_PARTS
