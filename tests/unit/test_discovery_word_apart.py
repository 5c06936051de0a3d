"""Prompts that differ by one word: another job where a prompt orders one of a few things, a slot where it states who or
when it is."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.values import JsonObject
from insource.traffic.discovery import Discovery, DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers
from insource.traffic.wording import names_somebody, ordered

WORDS = [
    start + end
    for start in ["bal", "dor", "fen", "gim", "lus", "mer", "nop", "ras", "tiv", "zul"]
    for end in ["a", "el", "ing", "or", "um"]
]
PEOPLE = ["Ada", "Bela", "Cleo", "Dora", "Emil", "Finn"]
ORDERS = {
    "Translate the text into {}.": ["French", "German", "Dutch"],
    "You are a translator. Translate what you get into {}, and add nothing.": ["Polish", "Greek"],
    "Please classify the {} of the message.": ["sentiment", "intent", "urgency", "topic"],
    "Extract all {} from the text as JSON.": ["names", "dates"],
    "You are a patient {} tutor. Correct the mistakes.": ["French", "chemistry"],
    "Convert the document to {}, keeping its order.": ["YAML", "XML", "CSV"],
    "Übersetze den Text ins {} und sonst nichts.": ["Englische", "Spanische"],
}
SLOTS = [
    "You are talking to {}. Classify the message.",
    "The customer is called {}. Classify the message.",
    "Classify the message. The user's name is {}.",
    "Greet the customer {} and answer the question.",
    "Write a reply to Ms {} in two lines.",
    "You are the assistant of {} at home. Answer the question.",
]


def request(told: str, rng: Random, *, in_system: bool) -> JsonObject:
    text = " ".join(rng.choices(WORDS, k=rng.randint(6, 20)))
    if in_system:
        return {"instructions": told, "input": text}
    return {"messages": [{"role": "user", "content": f"{told}\n\n{text}"}]}


def found_in(prompt: str, values: list[str], *, each: int, in_system: bool, seed: int) -> tuple[Discovery, list[str]]:
    rng = Random(seed)
    filled = [value for value in values for _ in range(each)]
    items = [
        DiscoveryInput(id=f"{n:05}", request=request(prompt.format(value), rng, in_system=in_system))
        for n, value in enumerate(filled)
    ]
    return discover(items), filled


@given(st.sampled_from(sorted(ORDERS)), st.integers(25, 60), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_few_values_of_an_order_with_many_requests_each_are_jobs(
    prompt: str, each: int, in_system: bool, seed: int
) -> None:
    values = ORDERS[prompt]
    found, filled = found_in(prompt, values, each=each, in_system=in_system, seed=seed)
    jobs = Counter((found.task_of[f"{n:05}"], value) for n, value in enumerate(filled))
    assert sorted(jobs.values()) == [each] * len(values)
    job_of = dict(jobs.keys())
    match, rng = compile_matchers(found.tasks), Random(seed + 1)
    for value in values:
        assert job_of.get(match(request(prompt.format(value), rng, in_system=in_system), None) or "") == value


@given(st.sampled_from(SLOTS), st.integers(25, 60), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_what_is_stated_of_a_few_people_is_one_job(prompt: str, each: int, in_system: bool, seed: int) -> None:
    found, _ = found_in(prompt, PEOPLE, each=each, in_system=in_system, seed=seed)
    assert len(found.tasks) == 1


@given(st.sampled_from([*SLOTS, *ORDERS]), st.integers(2, 8), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_many_values_with_few_requests_each_are_a_slot(prompt: str, each: int, in_system: bool, seed: int) -> None:
    values = [word.capitalize() for word in WORDS[:40]]
    assert len(found_in(prompt, values, each=each, in_system=in_system, seed=seed)[0].tasks) == 1


@pytest.mark.parametrize(
    ("before", "holds"),
    [
        ("Translate the text into ", True),
        ("It is late.\n\n- please name the ", True),
        ("You translate into ", True),
        ("You are a helpful ", True),
        ("Du bist ein ", True),
        ("You are an agent of ", False),
        ("You are talking to ", False),
        ("Translate it. The customer is in ", False),
        ("", False),
    ],
)
def test_an_order_is_what_a_sentence_says_to_do_or_to_be(before: str, holds: bool) -> None:
    assert ordered(before) is holds


@pytest.mark.parametrize(
    ("before", "value", "holds"),
    [
        ("The user's name is ", "Ada", True),
        ("Greet the customer ", "Ada", True),
        ("Write to Mr ", "Berg", True),
        ("Classify the customer ", "sentiment", False),
        ("Translate into ", "French", False),
    ],
)
def test_what_names_somebody(before: str, value: str, holds: bool) -> None:
    assert names_somebody(before, value) is holds
