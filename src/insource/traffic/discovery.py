"""Finding the recurring kinds of work in the traffic. Pure, the same for any order of the exchanges.

Order of evidence: the task that the app declared; the template, wherever its constant text stands, and the tools that
go with it; the shape of the answers; clusters by words and form. Discovery makes matchers, and an exchange is
assigned by the matchers alone, so the gateway recognises what discovery found; only `shape` tasks, which no request
shows, are assigned by cluster.

Tasks that are there already come first: their matchers stay, whatever the user renamed, merged or split, and only
what they do not recognise is discovered. A wider template found later widens its task. A `shape` task lives on in the
cluster that holds most of the exchanges it had."""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import CHAT_ENDPOINT, Exchange, JsonObject, Matcher, OutputKind, OutputProfile, Task
from insource.traffic.clusters import answer_shapes, cluster
from insource.traffic.evidence import Outcome
from insource.traffic.matcher import Matchers, declared_task
from insource.traffic.naming import (
    EMBEDDING,
    clean,
    name_from_words,
    names_of_templates,
    outline,
    unique,
    without_words,
    words_of,
)
from insource.traffic.output_kind import profile_output
from insource.traffic.template_search import Request, find_templates
from insource.traffic.templates import Template, View, view
from insource.traffic.wording import widens
from insource.wire.chat import answer_message, answer_text
from insource.wire.dialects import is_embeddings, response_to_chat

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
    vector: bool = False
    """What is wanted is an embedding of the text, and no answer to it."""
    private: bool = False
    """The request holds private data: no word of it may end up in a name."""

    @classmethod
    def of(cls, exchange: Exchange) -> DiscoveryInput:
        response = exchange.response if exchange.incomplete is None else None
        if response is not None and exchange.endpoint != CHAT_ENDPOINT:
            response = response_to_chat(response)
        message = answer_message(response) or {}
        return cls(
            id=exchange.id,
            request=exchange.request,
            declared=declared_task(exchange.request, exchange.metadata),
            answer=answer_text(response),
            reference=exchange.reference,
            tool_call=bool(message.get("tool_calls") or message.get("function_call")),
            vector=is_embeddings(
                exchange.request,
                exchange.response,
                endpoint="" if exchange.endpoint == CHAT_ENDPOINT else exchange.endpoint,
            ),
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
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    # One thread: on shared cores the threads of BLAS and OpenMP wait for each other longer than they work.
    with threadpool_limits(limits=1), _without_collections():
        return _discover(requests, existing, assigned=assigned or {}, keep=keep, mask=mask)


@contextmanager
def _without_collections() -> Generator[None]:
    """Of garbage in cycles: here is none, and going through all values of a log again and again takes a sixth of the
    time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _discover(
    requests: Sequence[DiscoveryInput],
    existing: Sequence[Task],
    *,
    assigned: Mapping[str, str],
    keep: Collection[str],
    mask: Mask,
) -> Discovery:
    views = {item.id: view(item.request) for item in requests}
    known = Matchers(existing)
    unknown = [item for item in requests if not existing or known.match(views[item.id], item.declared) is None]
    tasks = _with_matchers(existing, _new_matchers(unknown, views, mask))
    known = Matchers(tasks)
    task_of = {item.id: found for item in requests if (found := known.match(views[item.id], item.declared)) is not None}
    rest = [item for item in requests if item.id not in task_of]
    for vector in (False, True):
        part = [item for item in rest if item.vector == vector]
        tasks, part_of = _clustered(part, tasks, views=views, assigned=assigned, vector=vector)
        task_of |= part_of
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
    """The one task that the template widens. Rules that two jobs share cover the templates of both and widen
    neither."""
    if matcher.kind != "prefix":
        return None
    wide = Template.decode(matcher.value)
    covered = {
        task.id: (task, widens(wide, own))
        for task in existing
        for own in (Template.decode(own.value) for own in task.matchers if own.kind == "prefix")
        if wide.covers(own)
    }
    return next((task for task, same in covered.values() if same), None) if len(covered) == 1 else None


# ---------------------------------------------------------------------------------- matchers from requests alone


def _new_matchers(items: Sequence[DiscoveryInput], views: Mapping[str, View], mask: Mask) -> list[_Found]:
    declared = sorted({item.declared for item in items if item.declared is not None})
    found = [_Found(matcher=Matcher(kind="declared", value=name), name=clean(name)) for name in declared]
    left = [item for item in items if item.declared is None]
    requests = [
        Request(
            view=views[item.id],
            outcome=Outcome(answer=item.answer or item.reference, tool_call=item.tool_call),
        )
        for item in left
    ]
    groups = [(group, group.template.without_private(mask)) for group in find_templates(requests)]
    public = [(template, mask(outline(template.parts, group.texts[0]))) for group, template in groups if template]
    names = names_of_templates([text for _, text in public])
    private = _private_words(items, views)
    for (template, _), name in zip(public, names, strict=True):
        name = without_words(name, private) or name_from_words("tool_call", (template.tools or ())[:3])
        found.append(_Found(matcher=Matcher(kind="prefix", value=template.encode()), name=name))
    return found


def _private_words(items: Sequence[DiscoveryInput], views: Mapping[str, View]) -> frozenset[str]:
    """Words that only private requests hold."""
    private = words_of(views[item.id].text for item in items if item.private)
    return private - words_of(views[item.id].text for item in items if not item.private) if private else private


# -------------------------------------------------------------------------------------------- what only answers show


def _clustered(
    rest: Sequence[DiscoveryInput],
    tasks: list[Task],
    *,
    views: Mapping[str, View],
    assigned: Mapping[str, str],
    vector: bool,
) -> tuple[list[Task], dict[str, str]]:
    """Assigns the rest, of which all or none wants a `vector`, to clusters; a cluster takes over the `shape` task that
    most of its exchanges had."""
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
    shapes = dict.fromkeys(answers, EMBEDDING) if vector else answer_shapes(answers, tool_calls=frozenset(called))
    found = {task.id: task for task in tasks}
    shaped = {
        task.id
        for task in tasks
        if any(one.kind == "shape" and one.value.startswith(EMBEDDING) == vector for one in task.matchers)
    }
    task_of: dict[str, str] = {}
    for group in cluster(shapes, private=private):
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
