"""Finding the recurring kinds of work in the traffic. Pure, the same for any order of the exchanges.

Order of evidence: the task that the app declared; the hash of system prompt and tool set; templates in prefix tries
over whole texts; the shape of the answers; clusters by words and form. Discovery makes matchers, and an exchange is
assigned by the matchers alone, so the gateway recognises what discovery found; only `shape` tasks, which no request
shows, are assigned by cluster.

Tasks that are there already come first: their matchers stay, whatever the user renamed, merged or split, and only what
they do not recognise is discovered. A wider template found later widens its task. A `shape` task lives on in the
cluster that holds most of the exchanges it had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median_low

from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import Exchange, JsonObject, Matcher, OutputKind, OutputProfile, Task
from insource.traffic.clusters import answer_shapes, cluster
from insource.traffic.matcher import compile_matchers, declared_task
from insource.traffic.naming import clean, name_from_system, name_from_template, name_from_words, unique
from insource.traffic.output_kind import profile_output
from insource.traffic.prefix_trie import COVERED_SHARE, find_templates, least_texts
from insource.traffic.templates import Template, View, mask_digits, system_key, view
from insource.wire.chat import answer_message, answer_text

LEAST_INPUTS = 5
"""Distinct inputs that make a system prompt a task of its own; rarer prompts are pooled and searched for a template."""
LEAST_PROMPTS = 8
"""Distinct system prompts that may be one prompt with variable parts."""
SAME_PROMPT = 0.7
"""Share of their words that such prompts have in common. Prompts with a user's name have over 0.9, different
instructions below a shared preamble less."""

NAMED_BY = 200
"""Texts of a template that its name is made of."""
Mask = Callable[[str], str]

_NO_OUTPUT = OutputProfile(kind=OutputKind.TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryInput:
    """What discovery looks at in an exchange."""

    id: str
    request: JsonObject
    declared: str | None = None
    answer: str | None = None
    reference: str | None = None
    tool_call: bool = False
    private: bool = False
    """The request holds private data: no word of it may end up in a name."""

    @classmethod
    def of(cls, exchange: Exchange) -> DiscoveryInput:
        response = exchange.response if exchange.incomplete is None else None
        message = answer_message(response) or {}
        return cls(
            id=exchange.id,
            request=exchange.request,
            declared=declared_task(exchange.request, exchange.metadata),
            answer=answer_text(response),
            reference=exchange.reference,
            tool_call=bool(message.get("tool_calls") or message.get("function_call")),
            private=bool(exchange.private_kinds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    tasks: tuple[Task, ...]
    """Most exchanges first."""
    task_of: Mapping[str, str]
    """Exchange id -> task id; every exchange is in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    matcher: Matcher
    name: str


def discover(
    requests: Sequence[DiscoveryInput],
    *,
    existing: Sequence[Task] = (),
    assigned: Mapping[str, str] | None = None,
    keep: Collection[str] = (),
    mask: Mask = str,
) -> Discovery:
    """`assigned` are the former assignments; `keep` are tasks that stay though no exchange is theirs any more; `mask`
    replaces the private spans of a text, so that names and matchers hold none."""
    match = compile_matchers(existing)
    views = {item.id: view(item.request) for item in requests}
    unknown = [item for item in requests if match(item.request, item.declared) is None]
    tasks = _with_matchers(existing, _new_matchers(unknown, views, mask))
    match = compile_matchers(tasks)
    task_of = {item.id: found for item in requests if (found := match(item.request, item.declared)) is not None}
    rest = [item for item in requests if item.id not in task_of]
    tasks, rest_of = _clustered(rest, tasks, views=views, assigned=assigned or {})
    task_of |= rest_of
    sizes = Counter(task_of.values())
    tasks = [task for task in tasks if sizes[task.id] or task.id in keep]
    members: defaultdict[str, list[DiscoveryInput]] = defaultdict(list)
    for item in sorted(requests, key=lambda item: item.id):
        members[task_of[item.id]].append(item)
    profiled = [replace(task, output=_profile(members[task.id], task.output)) for task in tasks]
    profiled.sort(key=lambda task: (-sizes[task.id], task.id))
    return Discovery(tasks=tuple(profiled), task_of=task_of)


def _profile(items: Sequence[DiscoveryInput], former: OutputProfile) -> OutputProfile:
    if not items:
        return former
    return profile_output(
        [item.answer for item in items if item.answer],
        [item.reference for item in items if item.reference],
        [item.request for item in items],
        tool_calls=sum(item.tool_call for item in items),
    )


def _task_id(matcher: Matcher) -> str:
    return "task-" + sha256_hex(canonical_json([matcher.kind, matcher.value]))[:8]


def new_task(matcher: Matcher, name: str, taken: Iterable[str]) -> Task:
    """A task with the id that its first matcher gives and a name that no other has."""
    return Task(id=_task_id(matcher), name=unique(name, taken), matchers=(matcher,), output=_NO_OUTPUT)


def _with_matchers(existing: Sequence[Task], found: Sequence[_Found]) -> list[Task]:
    """The tasks that are there, widened where a found template covers one of theirs, and the new ones."""
    tasks = {task.id: task for task in existing}
    for item in found:
        owner = tasks.get(_task_id(item.matcher)) or _narrower(existing, item.matcher)
        if owner is None:
            task = new_task(item.matcher, item.name, [other.name for other in tasks.values()])
            tasks[task.id] = task
        elif item.matcher not in tasks[owner.id].matchers:
            owner = tasks[owner.id]
            tasks[owner.id] = replace(owner, matchers=(*owner.matchers, item.matcher))
    return list(tasks.values())


def _narrower(existing: Sequence[Task], matcher: Matcher) -> Task | None:
    if matcher.kind != "prefix":
        return None
    wide = Template.decode(matcher.value)
    covered = (
        task
        for task in existing
        for own in task.matchers
        if own.kind == "prefix" and wide.covers(Template.decode(own.value))
    )
    return min(covered, key=lambda task: task.id, default=None)


# ---------------------------------------------------------------------------------- matchers from requests alone


def _new_matchers(items: Sequence[DiscoveryInput], views: Mapping[str, View], mask: Mask) -> list[_Found]:
    declared = sorted({item.declared for item in items if item.declared is not None})
    found = [_Found(matcher=Matcher(kind="declared", value=name), name=clean(name)) for name in declared]
    seen = [views[item.id] for item in items if item.declared is None]
    least = least_texts(len({(one.system, one.user) for one in seen}))
    prompts, left = _system_tasks(seen, least, mask)
    users = {one.user for one in left if one.user}
    return found + prompts + _by_templates(find_templates(users, least=least), mask)


def _by_templates(templates: Iterable[tuple[Template, list[str]]], mask: Mask) -> list[_Found]:
    found: list[_Found] = []
    for template, texts in templates:
        public = template.without_private(mask)
        if public is not None:
            name = _template_name(public, [mask(text) for text in sorted(texts)[:NAMED_BY]])
            found.append(_Found(matcher=Matcher(kind="prefix", value=public.encode()), name=name))
    return found


def _template_name(template: Template, texts: Sequence[str]) -> str:
    if template.scope == "system":
        return name_from_system(template.prefix) or name_from_template(texts)
    return name_from_system(template.middle) if template.middle else name_from_template(texts)


def _system_tasks(seen: Sequence[View], least: int, mask: Mask) -> tuple[list[_Found], list[View]]:
    """Tasks by system prompt and tool set, and the requests that these do not explain."""
    groups: defaultdict[str, list[View]] = defaultdict(list)
    left: list[View] = []
    for one in seen:
        key = system_key(one)
        (left if key is None else groups[key]).append(one)
    variable = _variable_prompts([one for group in groups.values() for one in group], SAME_PROMPT)
    found = _by_templates(variable, mask)
    pooled: list[View] = []
    for key, group in sorted(groups.items()):
        if any(template.matches(group[0].system) for template, _ in variable):
            continue
        if len({one.user for one in group}) < LEAST_INPUTS:
            pooled += group
        elif _falls_apart(group, least):
            left += group
        else:
            first = min(group, key=lambda one: (one.system, one.user))
            name = name_from_system(mask(first.system)) or name_from_words("tool_call", first.tools[:3])
            found.append(_Found(matcher=Matcher(kind="system", value=key), name=name))
    rare = _variable_prompts(pooled, 0.0)
    found += _by_templates(rare, mask)
    left += [one for one in pooled if not any(template.matches(one.system) for template, _ in rare)]
    return found, left


def _variable_prompts(seen: Iterable[View], same: float) -> list[tuple[Template, list[str]]]:
    """System prompts that are one prompt filled in differently (a name, a date, a retrieved text)."""
    by_masked = {mask_digits(one.system): one.system for one in sorted(seen, key=lambda one: one.system)}
    found = find_templates(by_masked.values(), least=LEAST_PROMPTS, scope="system")
    return [(template, texts) for template, texts in found if _common_words(texts) >= same]


def _common_words(texts: Sequence[str]) -> float:
    words = [Counter(text.split()) for text in texts]
    common = words[0]
    for other in words[1:]:
        common = common & other
    return common.total() / max(1, median_low([each.total() for each in words]))


def _falls_apart(group: Sequence[View], least: int) -> bool:
    """Whether one system prompt serves several templates, which then are the tasks."""
    users = {one.user for one in group}
    parts = find_templates(users, least=least)
    return len(parts) > 1 and sum(len(texts) for _, texts in parts) >= COVERED_SHARE * len(users)


# -------------------------------------------------------------------------------------------- what only answers show


def _clustered(
    rest: Sequence[DiscoveryInput], tasks: list[Task], *, views: Mapping[str, View], assigned: Mapping[str, str]
) -> tuple[list[Task], dict[str, str]]:
    """Assigns the rest to clusters; a cluster takes over the `shape` task that most of its exchanges had."""
    if not rest:
        return tasks, {}
    ids: defaultdict[str, list[str]] = defaultdict(list)
    answers: dict[str, str | None] = {}
    for item in sorted(rest, key=lambda item: item.id):
        text = views[item.id].user or views[item.id].system
        ids[text].append(item.id)
        answers[text] = answers.get(text) or item.answer or item.reference
    private = frozenset(views[item.id].user or views[item.id].system for item in rest if item.private)
    called = {views[item.id].user or views[item.id].system for item in rest if item.tool_call}
    shapes = answer_shapes(answers, tool_calls=frozenset(called))
    found = {task.id: task for task in tasks}
    shaped = {task.id for task in tasks if any(matcher.kind == "shape" for matcher in task.matchers)}
    task_of: dict[str, str] = {}
    for group in cluster(shapes, least=least_texts(len(ids)), private=private):
        members = [id for text in group.texts for id in ids[text]]
        former = Counter(owner for id in members if (owner := assigned.get(id)) in shaped)
        task_id, votes = min(former.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
        if 2 * votes <= former.total() or not votes:
            value = group.shape if group.alone else f"{group.shape}: {' '.join(group.words)}"
            name = name_from_words(group.shape, group.words)
            task = new_task(Matcher(kind="shape", value=value), name, [other.name for other in found.values()])
            task_id = task.id
            found.setdefault(task_id, task)
        task_of |= dict.fromkeys(members, task_id)
    return list(found.values()), task_of
