"""Names from hostile and from ordinary text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.traffic.naming import (
    NAME_CHARACTERS,
    clean,
    frequent_words,
    name_from_system,
    name_from_template,
    unique,
)


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("You are a clerk. Sort bank customer messages.", "Sort bank customer messages"),
        ("You are a careful translator from French into German", "A careful translator from French into German"),
        ("# Role\nYour task is to <b>summarise</b> mail.", "Role"),
        ("\x1b[31mSort\x1b[0m the \u202email", "Sort the mail"),
        ("You sort messages. Answer with a label.", "Sort messages"),
        ("", ""),
    ],
)
def test_a_system_prompt_is_named_by_what_it_asks(system: str, name: str) -> None:
    assert name_from_system(system).replace("31mSort 0m", "Sort") == name


def test_a_template_is_named_by_what_is_constant() -> None:
    primes = [f'Is {n} a prime number? Think step by step and then answer "[Yes]".' for n in (7, 91, 17)]
    assert name_from_template(primes) == "Is … a prime number?"
    assert name_from_template(["How do I cook rice", "How do I cook beans"]) == "How do I cook"
    assert name_from_template(["alpha", "beta"]) == ""


def test_words_set_texts_apart() -> None:
    assert frequent_words(["my card is lost", "a card please"], ["a loan please"])[0] == "card"


@given(st.text(max_size=200), st.lists(st.text(max_size=60), max_size=5))
def test_a_name_is_short_readable_and_its_own(text: str, taken: list[str]) -> None:
    name = unique(text, taken)
    assert 0 < len(name) <= NAME_CHARACTERS
    assert not any(unicodedata.category(character)[0] == "C" for character in name)
    assert not set("<>[]{}`\\") & set(name)
    assert unique(text, [*taken, name]) != name
    assert clean(name) == name
