"""Discovery on made-up traffic: one property or one way to go wrong each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.values import JsonObject, Matcher, OutputKind
from insource.traffic.discovery import Discovery, DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers, routable
from insource.traffic.templates import Template

PROSE = "the cat sat on a red mat while old dogs ran past green hills and slow boats came home"
TEMPLATES = (
    "Translate the following sentence into German: {}",
    "{}\n\nIs the text above positive or negative? Answer with one word.",
    "Write a headline for this article: {} -- keep it below ten words.",
)


def chat(text: str, *, system: str | None = None, tools: tuple[str, ...] = ()) -> JsonObject:
    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    body: JsonObject = {"model": "m", "messages": messages}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": name}} for name in tools]
    return body


def sentence(seed: int, words: int = 9) -> str:
    return f"{' '.join(Random(seed).choices(PROSE.split(), k=words))} {seed}"


def rows(*bodies: JsonObject, start: int = 0) -> list[DiscoveryInput]:
    return [DiscoveryInput(id=f"x{start + number:05}", request=body) for number, body in enumerate(bodies)]


def groups(found: Discovery) -> list[int]:
    return sorted(Counter(found.task_of.values()).values(), reverse=True)


@given(st.integers(0, 2**32), st.lists(st.integers(12, 30), min_size=1, max_size=3), st.integers(0, 15))
@settings(max_examples=25, deadline=None)
def test_any_order_gives_the_same_and_every_exchange_matches_its_own_task(
    seed: int, sizes: list[int], free: int
) -> None:
    bodies = [
        chat(template.format(sentence(seed + number)))
        for template, size in zip(TEMPLATES, sizes, strict=False)
        for number in range(size)
    ] + [chat(sentence(seed + number, 4)) for number in range(free)]
    items = rows(*bodies)
    found = discover(items)
    Random(seed).shuffle(items)
    assert discover(items) == found
    assert set(found.task_of) == {item.id for item in items}
    match = compile_matchers(found.tasks)
    by_id = {task.id: task for task in found.tasks}
    for item in items:
        own = by_id[found.task_of[item.id]]
        assert match(item.request, None) == (own.id if routable(own) else None)


def test_templates_are_told_apart_wherever_their_variable_part_is() -> None:
    found = discover(rows(*(chat(t.format(sentence(n))) for t in TEMPLATES for n in range(30))))
    assert groups(found) == [30, 30, 30]
    assert all(task.matchers[0].kind == "prefix" for task in found.tasks)


def test_a_frequent_beginning_of_the_variable_part_is_no_task() -> None:
    common = "A question about the terms of our contract with the landlord: "
    texts = [TEMPLATES[0].format((common if n % 2 else "") + sentence(n)) for n in range(60)]
    assert groups(discover(rows(*map(chat, texts)))) == [60]


def test_own_sentences_of_people_are_one_task_of_free_text() -> None:
    found = discover(rows(*(chat(sentence(n)) for n in range(80))))
    assert [task.matchers for task in found.tasks] == [(Matcher(kind="shape", value="text"),)]
    assert not routable(found.tasks[0])


def test_the_declared_task_comes_before_the_system_prompt() -> None:
    items = [
        DiscoveryInput(id=str(n), request=chat(sentence(n), system="Sort the message."), declared=["a", "b"][n % 2])
        for n in range(20)
    ]
    assert {task.name for task in discover(items).tasks} == {"a", "b"}


def test_system_prompts_and_tool_sets_make_tasks() -> None:
    prompts = ["Sort the message into one of: card, loan.", "Summarise the message in one line."]
    bodies = [chat(sentence(n), system=prompts[n % 2]) for n in range(30)]
    bodies += [chat(sentence(n), system=prompts[0], tools=("search", "fetch")) for n in range(10)]
    found = discover(rows(*bodies))
    assert groups(found) == [15, 15, 10]
    assert all(routable(task) for task in found.tasks)


@pytest.mark.parametrize("requests_each", [1, 8])
def test_a_system_prompt_with_a_users_name_and_a_date_is_one_task(requests_each: int) -> None:
    def prompt(user: int) -> str:
        name = sentence(user, 2).title()
        return (
            f"You are the support agent of ACME and talk to {name}. Today is 2026-11-{user % 28 + 1}. Be polite. "
            "Answer questions about bills only, in two sentences, and offer a call for everything else."
        )

    bodies = [chat(sentence(u * 100 + n), system=prompt(u)) for u in range(40) for n in range(requests_each)]
    assert groups(discover(rows(*bodies))) == [40 * requests_each]


def test_different_instructions_below_one_preamble_stay_apart() -> None:
    preamble = "You work for ACME, a maker of anvils. Always be polite and never promise a delivery date. "
    jobs = [f"{sentence(job, 40).capitalize()}. Do exactly this." for job in range(10)]
    bodies = [chat(sentence(n), system=preamble + jobs[n % 10]) for n in range(100)]
    assert groups(discover(rows(*bodies))) == [10] * 10


def test_a_system_prompt_that_serves_several_templates_is_several_tasks() -> None:
    for system in ("You are a helpful assistant.", "Our house style: short sentences, British spelling, no jokes."):
        bodies = [chat(t.format(sentence(n)), system=system) for t in TEMPLATES for n in range(25)]
        assert groups(discover(rows(*bodies))) == [25, 25, 25]


def test_a_constant_line_in_the_middle_makes_a_task() -> None:
    line = "Solve this by writing a function, and answer with code only."
    texts = [f"{sentence(n)}\n{line}\n{sentence(n + 500)}" for n in range(30)]
    found = discover(rows(*map(chat, [*texts, *(sentence(n + 900) for n in range(30))])))
    assert groups(found) == [30, 30]
    assert [Template.decode(t.matchers[0].value).parts for t in found.tasks if routable(t)] == [(f"{line}\n",)]


def test_short_answers_that_recur_are_another_shape_than_prose() -> None:
    items = [
        DiscoveryInput(id=f"l{n}", request=chat(sentence(n)), answer=["card", "loan", "fraud"][n % 3])
        for n in range(40)
    ]
    items += [DiscoveryInput(id=f"t{n}", request=chat(sentence(n + 99)), answer=sentence(n, 30)) for n in range(40)]
    found = discover(items)
    assert {id[0] for id, task in found.task_of.items() if task == found.task_of["l0"]} == {"l"}
    assert groups(found) == [40, 40]
    assert OutputKind.LABEL in {task.output.kind for task in found.tasks}


def test_known_tasks_keep_their_id_and_name_when_the_log_grows() -> None:
    first = discover(rows(*(chat(TEMPLATES[0].format(sentence(n))) for n in range(20))))
    more = rows(*(chat(t.format(sentence(n))) for t in TEMPLATES for n in range(40)))
    second = discover(more, existing=first.tasks)
    assert first.tasks[0].id in {task.id for task in second.tasks}
    assert groups(second) == [40, 40, 40]


def test_a_wider_template_widens_its_task() -> None:
    narrow = [chat(f"Classify this message of a customer: about my card {sentence(n)}") for n in range(20)]
    wide = [chat(f"Classify this message of a customer: {sentence(n)}") for n in range(100, 160)]
    first = discover(rows(*narrow))
    second = discover(rows(*narrow, *wide), existing=first.tasks)
    assert [task.id for task in second.tasks] == [first.tasks[0].id]
    assert len(second.tasks[0].matchers) == 2


def test_a_task_known_by_shape_lives_on_in_the_cluster_that_has_its_exchanges() -> None:
    items = rows(*(chat(sentence(n)) for n in range(60)))
    first = discover(items)
    kept = replace(first.tasks[0], name="Chat", matchers=(Matcher(kind="shape", value="text: once had words"),))
    grown = items + rows(*(chat(sentence(n)) for n in range(60, 90)), start=60)
    second = discover(grown, existing=[kept], assigned=first.task_of)
    assert [(task.id, task.name) for task in second.tasks] == [(kept.id, "Chat")]


def test_tasks_without_exchanges_go_unless_something_hangs_on_them() -> None:
    old = discover(rows(*(chat(TEMPLATES[0].format(sentence(n))) for n in range(20)))).tasks
    new = rows(*(chat(TEMPLATES[1].format(sentence(n))) for n in range(20)))
    assert old[0].id not in {task.id for task in discover(new, existing=old).tasks}
    assert old[0].id in {task.id for task in discover(new, existing=old, keep={old[0].id}).tasks}


@given(st.lists(st.text(max_size=60), max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_text_can_be_discovered(texts: list[str]) -> None:
    found = discover(rows(*map(chat, texts)))
    assert len(found.task_of) == len(texts)
    assert all(0 < len(task.name) <= 50 for task in found.tasks)
    assert len({task.name for task in found.tasks}) == len(found.tasks)


def test_no_name_holds_a_word_that_only_private_requests_hold() -> None:
    template = "Sort the complaint about the doctor Zarathustra: {}"
    for public, name in ((0, "Private requests"), (1, "Sort the complaint about the doctor …")):
        items = [DiscoveryInput(id=str(n), request=chat(template.format(sentence(n))), private=True) for n in range(30)]
        items += rows(*(chat("Sort a complaint about my doctor") for _ in range(public)))
        assert name in {task.name for task in discover(items).tasks}


def test_odd_bodies_are_discovered_too() -> None:
    bodies: list[JsonObject] = [{}, {"messages": None}, {"messages": [1, {"role": "user"}]}, {"tools": "x"}]
    assert len(discover(rows(*bodies)).task_of) == 4
    assert discover([]).tasks == ()


def test_one_word_said_more_or_less_often_is_one_task() -> None:
    assert groups(discover(rows(*(chat("word " * n) for n in range(1, 80))))) == [79]
