"""Recognising a request's task before it is answered: what the gateway asks on every request.

`shape` matchers never route a request: what an answer looks like is known only after it. A task with nothing else is
recognised in the log but not at the gateway, until the application declares it (`metadata.task` in the body, or the
header `x-insource-task`) or a text is split off it. `routable` says which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from insource.core.values import JsonObject, Task
from insource.traffic.templates import Contained, Template, View, system_key, view

Match = Callable[[JsonObject, str | None], str | None]
"""(request, the task that the application declared or None) -> task id or None."""

KEY_CHARACTERS = 12
"""Templates are filed under their first characters; shorter beginnings are compared one by one."""
REMEMBERED_PROMPTS = 1024
"""System prompts whose hash is kept, so that a long constant one is hashed once."""


def routable(task: Task) -> bool:
    """Whether the gateway can recognise the task's requests by themselves."""
    return any(matcher.kind != "shape" for matcher in task.matchers)


def declared_task(request: JsonObject, metadata: Mapping[str, object] | None = None) -> str | None:
    """The name that the application gave the task: in the exchange's metadata, or in the request's."""
    for place in (metadata, request.get("metadata")):
        name = place.get("task") if isinstance(place, Mapping) else None
        if isinstance(name, str) and name.strip():
            return name.strip()
    return None


def compile_matchers(tasks: Iterable[Task]) -> Match:
    """A function that tells a request's task in microseconds. Where tasks compete, the first declared or hashed one
    wins, then the longest template."""
    index = _Index()
    for task in tasks:
        index.add(task)
    return index.match


@dataclass(frozen=True, slots=True)
class _Filed:
    """Templates of one scope, the most specific first, by the beginning of their prefix."""

    by_start: dict[str, list[tuple[Template, str]]] = field(default_factory=dict[str, list[tuple[Template, str]]])
    short: list[tuple[Template, str]] = field(default_factory=list[tuple[Template, str]])

    def add(self, template: Template, task_id: str) -> None:
        start = template.prefix[:KEY_CHARACTERS]
        filed = self.by_start.setdefault(start, []) if len(start) == KEY_CHARACTERS else self.short
        filed.append((template, task_id))
        filed.sort(key=lambda entry: (-entry[0].specificity, entry[1]))

    def find(self, text: str) -> tuple[int, str] | None:
        """(specificity, task id) of the longest template that matches."""
        found: tuple[int, str] | None = None
        for filed in (self.by_start.get(text[:KEY_CHARACTERS], ()), self.short):
            for template, task_id in filed:
                if found is not None and template.specificity <= found[0]:
                    break
                if template.matches(text):
                    found = (template.specificity, task_id)
                    break
        return found


class _Index:
    def __init__(self) -> None:
        self._declared: dict[str, str] = {}
        self._everywhere: list[tuple[str, str]] = []
        self._splits: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._system: dict[str, str] = {}
        self._templates = {"user": _Filed(), "system": _Filed()}
        self._remembered: dict[tuple[str, tuple[str, ...]], str | None] = {}

    def add(self, task: Task) -> None:
        for matcher in task.matchers:
            if matcher.kind == "declared":
                self._declared.setdefault(matcher.value, task.id)
            elif matcher.kind == "contains":
                part = Contained.decode(matcher.value)
                place = self._everywhere if part.of is None else self._splits[part.of]
                place.append((part.text, task.id))
            elif matcher.kind == "system":
                self._system.setdefault(matcher.value, task.id)
            elif matcher.kind == "prefix":
                template = Template.decode(matcher.value)
                self._templates[template.scope].add(template, task.id)

    def match(self, request: JsonObject, declared: str | None) -> str | None:
        seen = view(request)
        base = self._base(seen, declared)
        for _ in range(len(self._splits)):  # a split may be split again; a ring of merged splits ends here
            narrower = _containing(self._splits.get(base or "", ()), seen)
            if narrower is None or narrower == base:
                break
            base = narrower
        return base

    def _base(self, seen: View, declared: str | None) -> str | None:
        if declared is not None and declared in self._declared:
            return self._declared[declared]
        if self._everywhere and (found := _containing(self._everywhere, seen)) is not None:
            return found
        if (found := self._by_system(seen)) is not None:
            return found
        hits = [
            hit for hit in (self._templates["user"].find(seen.user), self._templates["system"].find(seen.system)) if hit
        ]
        return max(hits, key=lambda hit: hit[0])[1] if hits else None

    def _by_system(self, seen: View) -> str | None:
        if not self._system:
            return None
        prompt = (seen.system, seen.tools)
        if prompt not in self._remembered:
            if len(self._remembered) >= REMEMBERED_PROMPTS:
                self._remembered.clear()
            key = system_key(seen)
            self._remembered[prompt] = None if key is None else self._system.get(key)
        return self._remembered[prompt]


def _containing(entries: Iterable[tuple[str, str]], seen: View) -> str | None:
    return next((task_id for text, task_id in entries if text in seen.user or text in seen.system), None)
