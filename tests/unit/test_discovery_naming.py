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
    names_of_templates,
    outline,
    unique,
)
from insource.traffic.templates import END, SYSTEM, USER


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("You are a clerk. Sort bank customer messages.", "Sort bank customer messages"),
        ("You are a careful translator from French into German", "A careful translator from French into German"),
        ("# Role\nYour task is to <b>summarise</b> mail.", "Summarise mail"),
        ("\x1b[31mSort\x1b[0m the \u202email", "31mSort 0m the mail"),
        ("You sort messages. Answer with a label.", "Sort messages"),
        ("You work for ACME. Answer with a label.", "Answer with a label"),
        ("You work out what orders come to. Show\nthe sum.", "Work out what orders come to"),
        ("Is this about a card? Answer yes or no.", "Is this about a card?"),
        ('{"task": "extract", "text": "', "Extract"),
        ("Q: … A:", "Q: … A:"),
        ("请判断客户是在提问还是在陈述。只回答一个词。", "请判断客户是在提问还是在陈述。"),
        ("", ""),
    ],
)
def test_a_template_is_named_by_what_it_asks(text: str, name: str) -> None:
    assert names_of_templates([text]) == [name]


def test_a_name_is_the_sentence_that_no_other_template_has() -> None:
    rules = "Write plain text without markup. "
    names = names_of_templates([f"{rules}Translate the message to {one}." for one in ("Polish", "German")])
    assert names == ["Translate the message to Polish", "Translate the message to German"]


def test_an_outline_shows_gaps_within_a_message_only() -> None:
    text = f"{SYSTEM}Be brief.{END}{USER}Is 17 a prime number?{END}"
    parts = ("Be brief.", " a prime number?", f"{USER}Is ")
    assert names_of_templates([outline(parts, text)]) == ["Is … a prime number?"]
    assert outline(parts[:2], text).split("\n")[1:] == ["Be brief.", " a prime number?"]
    assert outline((), text) == ""


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
