"""The gateway's look-up: order of the kinds, the longest template, and what never routes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import JsonObject, Matcher, MatcherKind, OutputKind, OutputProfile, Task
from insource.traffic.matcher import compile_matchers, declared_task, routable
from insource.traffic.templates import Contained, Template, system_key, view

TEXT = OutputProfile(kind=OutputKind.TEXT)


def task(id: str, *matchers: tuple[MatcherKind, str]) -> Task:
    kinds = tuple(Matcher(kind=kind, value=value) for kind, value in matchers)
    return Task(id=id, name=id, matchers=kinds, output=TEXT)


def body(user: str, system: str = "") -> JsonObject:
    return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]}


def test_the_longest_template_wins_whatever_the_order() -> None:
    tasks = [task("short", ("prefix", "Translate ")), task("long", ("prefix", "Translate this contract: "))]
    for given_tasks in (tasks, tasks[::-1]):
        match = compile_matchers(given_tasks)
        assert match(body("Translate this contract: it says"), None) == "long"
        assert match(body("Translate that"), None) == "short"
        assert match(body("translate that"), None) is None


def test_kinds_are_tried_in_their_order() -> None:
    request = body("Translate this", "You only translate.")
    key = system_key(view(request))
    assert key is not None
    kinds: list[tuple[str, tuple[MatcherKind, str]]] = [
        ("declared", ("declared", "mine")),
        ("contains", ("contains", "late th")),
        ("system", ("system", key)),
        ("prefix", ("prefix", "Translate")),
    ]
    tasks = [task(id, matcher) for id, matcher in kinds]
    while tasks:
        assert compile_matchers(tasks[::-1])(request, "mine") == tasks[0].id
        tasks = tasks[1:]


def test_an_unknown_declared_name_falls_back_to_what_the_request_shows() -> None:
    assert compile_matchers([task("a", ("prefix", "Translate"))])(body("Translate this"), "never seen") == "a"


def test_shape_never_routes() -> None:
    shaped = task("s", ("shape", "text"))
    assert not routable(shaped)
    assert compile_matchers([shaped])(body("text"), None) is None
    assert routable(task("s", ("shape", "text"), ("declared", "s")))


def test_a_split_holds_within_its_task_only() -> None:
    refunds = Contained(text="refund", of="shop").encode()
    tasks = [
        task("shop", ("prefix", "Shop: ")),
        task("bank", ("prefix", "Bank: ")),
        task("refunds", ("contains", refunds)),
        task("urgent", ("contains", Contained(text="now", of="refunds").encode())),
        task("other", ("contains", Contained(text="refund", of="").encode())),
    ]
    match = compile_matchers(tasks)
    assert match(body("Shop: a refund please"), None) == "refunds"
    assert match(body("Shop: a refund now"), None) == "urgent"
    assert match(body("Shop: now"), None) == "shop"
    assert match(body("Bank: a refund please"), None) == "bank"
    assert match(body("a refund please"), None) == "other"


def test_a_ring_of_splits_ends() -> None:
    tasks = [task("a", ("contains", '{"of":"b","text":"x"}')), task("b", ("contains", '{"of":"a","text":"x"}'))]
    assert compile_matchers([*tasks, task("a", ("prefix", "x"))])(body("xx"), None) in ("a", "b")


def test_digits_in_a_system_prompt_do_not_matter_and_a_generic_one_is_none() -> None:
    first, second = (view(body("hello", f"Today is 2026-11-{day}. Sort mail.")) for day in (2, 22))
    assert system_key(first) == system_key(second) != system_key(view(body("hello", "Sort mail.")))
    assert system_key(view(body("hello", "You are a helpful assistant."))) is None


def test_the_system_prompt_is_found_again_beyond_what_is_remembered() -> None:
    request = body("hello", "Sort this mail.")
    key = system_key(view(request))
    assert key is not None
    match = compile_matchers([task("mail", ("system", key))])
    for number in range(1_100):
        assert match(body("hello", "Something else: " + "x" * number), None) is None
    assert match(request, None) == "mail"


def test_where_an_application_declares_its_task() -> None:
    assert declared_task({"metadata": {"task": " a "}}) == "a"
    assert declared_task({"metadata": {"task": "a"}}, {"task": "b"}) == "b"
    for odd in ({}, {"metadata": None}, {"metadata": {"task": 3}}, {"metadata": {"task": " "}}):
        assert declared_task(odd) is None


@given(st.text(), st.text(), st.text(), st.text(), st.booleans())
def test_a_template_survives_its_encoding_and_matches_what_it_was_filled_with(
    prefix: str, suffix: str, middle: str, filling: str, in_system: bool
) -> None:
    template = Template(scope="system" if in_system else "user", prefix=prefix, suffix=suffix, middle=middle)
    assert Template.decode(template.encode()) == template
    assert template.matches(prefix + filling + middle + suffix)
    assert template.covers(template)


@given(st.text(), st.none() | st.text())
def test_a_contained_text_survives_its_encoding(text: str, of: str | None) -> None:
    part = Contained(text=text, of=of)
    assert Contained.decode(part.encode()) == part
