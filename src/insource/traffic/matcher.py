"""Recognising a request's task before it is answered: what the gateway asks on every request.

`shape` matchers never route a request: what an answer looks like is known only after it. A task with nothing else is
recognised in the log but not at the gateway, until the application declares it (`metadata.task` in the body, or the
header `x-insource-task`) or a text is split off it. `routable` says which."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from insource.core.values import JsonObject, Task
from insource.traffic.templates import Contained, Template, View, system_key, view

Match = Callable[[JsonObject, str | None], str | None]
"""(request, the task that the application declared or None) -> task id or None."""

REMEMBERED_PROMPTS = 1024
"""System prompts whose hash is kept, so that a long constant one is hashed once."""


def routable(task: Task) -> bool:
    """Whether the gateway can recognise the task's requests by themselves."""
    return any(matcher.kind != "shape" for matcher in task.matchers)


def declared_task(request: JsonObject, metadata: Mapping[str, object] | None = None) -> str | None:
    """The name that the application gave the task: in the exchange's metadata, or in the request's; or the prompt that
    it calls by its id at the provider, whose text no request shows."""
    stored = request.get("prompt")
    for place, field in ((metadata, "task"), (request.get("metadata"), "task"), (stored, "id")):
        name = place.get(field) if isinstance(place, Mapping) else None
        if isinstance(name, str) and name.strip():
            return name.strip()
    return None


def compile_matchers(tasks: Iterable[Task]) -> Match:
    """A function that tells a request's task in microseconds."""
    matchers = Matchers(tasks)
    return lambda request, declared: matchers.match(view(request), declared)


class Templates:
    """Which of many templates a request was filled from: the most specific one that matches."""

    def __init__(self, templates: Iterable[tuple[Template, str]]) -> None:
        """`templates` with what each stands for."""
        filed = sorted(set(templates), key=lambda entry: (-entry[0].specificity, entry[1], entry[0].encode()))
        shared = Counter(part for template, _ in filed for part in set(template.parts))
        self._shared = frozenset(part for part, count in shared.items() if count > 1)
        self._filed = [
            (template, tuple(sorted(template.parts, key=lambda part: (shared[part], -len(part)))), owner)
            for template, owner in filed
        ]

    def find(self, seen: View) -> str | None:
        """A part that several templates share is looked for once, after those that set each apart."""
        text, shared = seen.text, self._shared
        known: dict[str, bool] = {}
        for template, parts, owner in self._filed:
            for part in parts:
                found = known.get(part) if part in shared else None
                if found is None:
                    found = known[part] = part in text
                if not found:
                    break
            else:
                if template.tools is None or template.allows(seen.tools):
                    return owner
        return None


class Matchers:
    """Where tasks compete, a declared name wins, then a text that the user chose, then the longest template."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._declared: dict[str, str] = {}
        self._everywhere: list[tuple[str, str]] = []
        self._splits: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._system: dict[str, str] = {}
        self._remembered: dict[tuple[str, tuple[str, ...]], str | None] = {}
        templates: list[tuple[Template, str]] = []
        for task in tasks:
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
                    templates.append((Template.decode(matcher.value), task.id))
        self._templates = Templates(templates)

    def match(self, seen: View, declared: str | None) -> str | None:
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
        return self._by_system(seen) or self._templates.find(seen)

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
