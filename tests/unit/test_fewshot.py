"""The recipe `fewshot`: whose examples are shown, which, and where they stand in the prompt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.adapt.fewshot import FIXED, NEAREST, FewshotRecipe
from insource.adapt.tenant import other_than_tenants, tenant_of
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import input_sha256
from insource.core.ports import Ask, Fitted
from insource.core.values import JsonObject, OutputKind, OutputProfile
from tests.fakes.evidence import ask, example

LABELS = ("billing", "login", "shipping")
OUTPUT = OutputProfile(kind=OutputKind.LABEL, labels=LABELS)
TOPICS = {
    "billing": ["the invoice is wrong", "you charged my card twice", "where is my refund"],
    "login": ["my password fails", "i cannot sign in", "the account is locked"],
    "shipping": ["the parcel is late", "when does it arrive", "the address is wrong"],
}


def made(n: int, *, of: str = "", **body: Any) -> Example:
    label = LABELS[n % 3]
    text = f"{TOPICS[label][n // 3 % 3]}, says {of or 'customer'} number {n}"
    asked = ask(text, **body)
    return replace(example(n, text=text, reference=label), request=asked, input_sha256=input_sha256(asked))


def fit(examples: list[Example]) -> Fitted:
    return FewshotRecipe().fit(OUTPUT, examples, seed=0).fitted


def prompt(fitted: Fitted, request: JsonObject) -> list[JsonObject]:
    prepared = fitted.prepare(request)
    assert isinstance(prepared, Ask)
    return prepared.body["messages"]


def test_examples_stand_between_instructions_and_question_the_nearest_last() -> None:
    fitted = fit([made(n) for n in range(60)])
    system = {"role": "system", "content": "Sort it."}
    asked = prompt(fitted, ask("my password fails again"))
    assert asked[-1] == {"role": "user", "content": "my password fails again"}
    assert len(asked) == 2 * (FIXED - 1 + NEAREST) + 1  # three labels, so three fixed ones
    assert [m["role"] for m in asked[:-1]] == ["user", "assistant"] * (len(asked) // 2)
    assert "password" in asked[-3]["content"]
    assert asked[-2]["content"] == "login"
    with_instructions = fit(
        [replace(e, request={"messages": [system, *e.request["messages"]]}) for e in map(made, range(30))]
    )
    said = prompt(with_instructions, {"messages": [system, {"role": "user", "content": "my password fails"}]})
    assert said[0] == system
    assert len(said) > 2


def test_all_prompts_of_a_tenant_begin_alike() -> None:
    """So the engine computes the fixed part once."""
    fitted = fit([made(n) for n in range(60)])
    prompts = [prompt(fitted, ask(text)) for text in ("when does it arrive?", "refund please", "zzz")]
    begun = [json.dumps(p[: 2 * len(LABELS)]) for p in prompts]
    assert len(set(begun)) == 1
    assert {m["content"] for m in prompts[0][1 : 2 * len(LABELS) : 2]} == set(LABELS)


def test_a_request_of_the_fit_part_is_not_shown_its_own_cluster() -> None:
    held = [replace(made(n), cluster=f"c{n // 6}") for n in range(60)]
    fitted = fit(held)
    for each in held:
        cluster = {e.text for e in held if e.cluster == each.cluster}
        shown = {m["content"] for m in prompt(fitted, each.request)[:-1] if m["role"] == "user"}
        assert shown
        assert not shown & cluster


marks = st.sampled_from(
    [
        {"user": "anna"},
        {"user": "ben"},
        {"safety_identifier": "anna"},
        {"metadata": {"tenant": "a"}},
        {"metadata": {"tenant": "b"}},
        {"metadata": {"firm": "a", "plan": "free"}},
        {"metadata": {"firm": "b", "plan": "free"}},
        {},
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(marks, min_size=20, max_size=40), marks)
def test_nothing_of_another_tenant_is_ever_shown(owners: list[JsonObject], asking: JsonObject) -> None:
    held = [made(n, of=json.dumps(owner, sort_keys=True).replace('"', ""), **owner) for n, owner in enumerate(owners)]
    shown = [m["content"] for m in prompt(fit(held), ask("the invoice is wrong", **asking))[:-1] if m["role"] == "user"]
    own = {e.text for e, owner in zip(held, owners, strict=True) if owner == asking}
    assert set(shown) <= own
    assert bool(shown) == bool(own)


def test_instructions_for_another_customer_mark_another_tenant() -> None:
    def of(name: str, text: str) -> JsonObject:
        system = {"role": "system", "content": f"You answer for {name}. Today is 2026-11-30."}
        return {"messages": [system, {"role": "user", "content": text}]}

    held = [replace(made(n), request=of("Acme" if n % 2 else "Globex", made(n).text)) for n in range(40)]
    acme = {e.text for n, e in enumerate(held) if n % 2}
    later = json.loads(json.dumps(of("Acme", "the invoice is wrong")).replace("11-30", "12-01"))
    shown = {m["content"] for m in prompt(fit(held), later)[1:-1] if m["role"] == "user"}
    assert shown
    assert shown <= acme


def test_a_number_of_the_request_is_no_tenant_but_a_user_who_came_once_is_one() -> None:
    numbered = [ask("hello", metadata={"trace_id": f"t{n}", "customer": f"c{n}", "plan": "free"}) for n in range(30)]
    ignored = other_than_tenants(numbered)
    assert ignored == {"metadata.trace_id"}
    same = ask("hello", metadata={"trace_id": "x", "customer": "c1", "plan": "free"})
    assert tenant_of(same, ignored) == tenant_of(numbered[1], ignored)
    assert tenant_of(same, ignored) != tenant_of(numbered[2], ignored)


def test_conversations_images_and_long_texts_are_no_examples() -> None:
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "what is it"}]
    bodies: list[JsonObject] = [
        {"messages": [*before, {"role": "user", "content": "and now?"}]},
        {"messages": [{"role": "user", "content": image}]},
        ask("long " * 2_000),
        ask("  "),
    ]
    with pytest.raises(BadInput):
        fit([replace(made(n), request=body) for n, body in enumerate(bodies)])
    fitted = fit([*map(made, range(20)), *(replace(made(90 + n), request=body) for n, body in enumerate(bodies))])
    asked = prompt(fitted, ask("the parcel is late"))
    assert sum(len(m["content"]) for m in asked) < 5_000
    assert all("long" not in m["content"] and "and now" not in m["content"] for m in asked)


def test_examples_make_room_for_a_long_request() -> None:
    fitted = fit([made(n) for n in range(60)])
    for size in (0, 1_000, 4_000, 5_900, 20_000):
        asked = prompt(fitted, ask("the parcel is late " + "x" * size))
        shown = sum(len(m["content"]) for m in asked[:-1])
        assert bool(shown) == (size <= 5_000)
        assert not shown or shown + size < 6_000


@pytest.mark.parametrize("body", [{}, {"messages": "none"}, {"messages": [None, {"role": "user"}]}, {"messages": []}])
def test_a_strange_request_is_asked_as_it_is(body: JsonObject) -> None:
    prepared = fit([made(n) for n in range(20)]).prepare(body)
    assert isinstance(prepared, Ask)
    held = body.get("messages")
    assert not isinstance(held, list) or [m for m in prepared.body["messages"] if m in held] == held


def test_labels_are_held_to_a_grammar_and_text_is_not() -> None:
    held = [made(n) for n in range(20)]
    said = FewshotRecipe().fit(OutputProfile(kind=OutputKind.TEXT), held, seed=0).fitted.prepare(ask("x"))
    assert isinstance(said, Ask)
    assert "grammar" not in said.body
    labelled = fit(held).prepare(ask("x"))
    assert isinstance(labelled, Ask)
    assert "billing" in labelled.body["grammar"]
