"""The gateway's look-up: order of the kinds, the longest template, and what never routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import JsonObject, Matcher, MatcherKind, OutputKind, OutputProfile, Task
from insource.traffic.matcher import Templates, compile_matchers, declared_task, routable
from insource.traffic.templates import Contained, Template, View, system_key, view

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


@given(st.lists(st.text(min_size=1), min_size=1), st.lists(st.text()), st.none() | st.lists(st.text()))
def test_a_template_survives_its_encoding_and_matches_what_it_was_filled_with(
    parts: list[str], fillings: list[str], tools: list[str] | None
) -> None:
    template = Template(parts=tuple(parts), tools=None if tools is None else tuple(tools))
    assert Template.decode(template.encode()) == template
    text = "".join(part + filling for part, filling in zip(parts, [*fillings, *[""] * len(parts)], strict=False))
    assert template.matches(View(system="", turns=(), tools=tuple(tools or ()), text=text))
    assert template.covers(template)
    assert template.without_private(str) == template


@given(st.lists(st.text(alphabet="abc \n", min_size=1, max_size=6), min_size=1, max_size=3))
def test_of_several_templates_the_most_specific_one_that_matches_is_found(parts: list[str]) -> None:
    known = [(Template(parts=(part,)), part) for part in parts]
    seen = View(system="", turns=(), tools=(), text="abc aab\nbca")
    matching = [part for part in parts if part in seen.text]
    found = Templates(known).find(seen)
    assert (found in matching and len(str(found)) == max(map(len, matching))) if matching else found is None


@pytest.mark.parametrize("parts", [("Sort it.",), ("Sort it.", "Be brief."), ()])
def test_tools_are_matched_by_overlap(parts: tuple[str, ...]) -> None:
    text = "Sort it. Be brief."
    template = Template(parts=parts, tools=("find", "book", "cancel"))
    for tools, matches in {("find", "other"): True, ("find", "other", "more"): False, (): False}.items():
        assert template.matches(View(system="", turns=(), tools=tools, text=text)) is matches
    bare = Template(parts=parts, tools=())
    assert bare.matches(View(system="", turns=(), tools=(), text=text))
    assert not bare.matches(View(system="", turns=(), tools=("find",), text=text))


WORDS = "red round slow and tall"


@pytest.mark.parametrize(
    ("kind", "value", "request_"),
    [
        (
            "system",
            "sha256:5d193828a5affae7ed8e2a2cc4367e95ffbf2decd6cfc6a177f5215987a07ee4",
            body("x", "Sort the message of 2026 into one of: card, loan.\n"),
        ),
        (
            "system",
            "sha256:c860bf744252f2fa70b6f0e2b154363fda13165718392fc76919b7d60cfd5835",
            {**body("x", "You are a weather assistant."), "tools": [{"name": "get_weather"}, {"name": "find_city"}]},
        ),
        (
            "system",
            "sha256:40e9af560756affe25e02362f670baa32c272e2db23b7bb5d0921ccc62845478",
            body("x", "Act as a helpful assistant."),
        ),
        ("prefix", "Translate this into German: ", body(f"Translate this into German: {WORDS}")),
        (
            "prefix",
            '{"prefix":"Write a headline: ","scope":"user","suffix":" -- keep it short."}',
            body(f"Write a headline: {WORDS} -- keep it short."),
        ),
        (
            "prefix",
            '{"prefix":"You are the agent of ","scope":"system","suffix":". Be polite."}',
            body("x", f"You are the agent of {WORDS}. Be polite."),
        ),
        ("prefix", '{"middle":"Answer with code only.","scope":"user"}', body(f"{WORDS}\nAnswer with code only.\n")),
        (
            "prefix",
            "Say the colour of the sky.\nSay the colour of ",
            {"messages": [{"role": "user", "content": f"Say the colour of {one}."} for one in ("the sky", WORDS)]},
        ),
    ],
)
def test_the_keys_of_earlier_versions_are_recognised(kind: MatcherKind, value: str, request_: JsonObject) -> None:
    match = compile_matchers([task("kept", (kind, value))])
    assert match(request_, None) == "kept"
    assert match(body("Something else altogether", "With rules of its own."), None) is None


@given(st.text(), st.none() | st.text())
def test_a_contained_text_survives_its_encoding(text: str, of: str | None) -> None:
    part = Contained(text=text, of=of)
    assert Contained.decode(part.encode()) == part
