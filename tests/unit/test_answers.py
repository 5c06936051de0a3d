"""What is read out of an answer's text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.answers import find_json, find_label, find_number, normalise

unhurried = settings(deadline=None)
"""A busy machine is no error."""
LABELS = st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), min_size=1, max_size=6, unique=True)


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("[Yes]", ("[Yes]", "[No]"), "[Yes]"),
        ("No", ("[Yes]", "[No]"), "[No]"),
        ("no.", ("[Yes]", "[No]"), "[No]"),
        ("It has no divisor.", ("[Yes]", "[No]"), None),
        ("No divisor fits, so it is prime.\n\n[Yes]", ("[Yes]", "[No]"), "[Yes]"),
        ("[No]\n\nExplanation: [Yes] would need a prime.", ("[Yes]", "[No]"), "[No]"),
        ("The intent is card arrival.", ("arrival", "card arrival"), "card arrival"),
        ("arrival", ("arrival", "card arrival"), "arrival"),
        ("First card arrival, but really: arrival", ("arrival", "card arrival"), "arrival"),
        ("Answer: (B)", ("(A)", "(B)"), "(B)"),
        ("yesterday", ("yes", "no"), None),
        ("anything", ("", "no"), None),
        ("", ("yes", "no"), None),
        ("()", ("[]", "yes"), None),
        ("**Refund**", ("refund", "exchange"), "refund"),
    ],
)
def test_find_label(text: str, labels: tuple[str, ...], expected: str | None) -> None:
    assert find_label(text, labels) == expected


@unhurried
@given(labels=LABELS, data=st.data(), before=st.sampled_from(["", "The answer is: ", '"', "**"]))
def test_a_label_is_found_in_the_sentence_around_it(labels: list[str], data: st.DataObject, before: str) -> None:
    label = data.draw(st.sampled_from(labels))
    assert find_label(f"{before}{label.upper()}.", labels) == label or any(
        word in before.casefold() for word in labels if len(word) <= len(before)
    )


@unhurried
@given(text=st.text(max_size=80), labels=st.lists(st.text(max_size=8), max_size=5))
def test_what_is_found_is_a_label_that_occurs(text: str, labels: list[str]) -> None:
    found = find_label(text, labels)
    if found is not None:
        assert found in labels
        bare = normalise(found).strip("[](){}<> ")
        assert bare in text.casefold() or bare in normalise(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 + 4 = 7", 7.0),
        ("so \\boxed{1,234.5} of 9999", 1234.5),
        ("12 apples\n#### 42", 42.0),
        ("it costs $1,000.", 1000.0),
        ("-3.5e2", -350.0),
        ("none", None),
    ],
)
def test_find_number(text: str, expected: float | None) -> None:
    assert find_number(text) == expected


@unhurried
@given(number=st.integers(min_value=-(10**12), max_value=10**12), words=st.from_regex(r"[a-z ]{0,20}", fullmatch=True))
def test_a_number_is_read_back(number: int, words: str) -> None:
    assert find_number(f"1 and {words} {number:,}") == number


@unhurried
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=4))
def test_json_is_found_bare_fenced_and_in_prose(value: dict[str, object]) -> None:
    body = json.dumps(value)
    for text in (body, f"```json\n{body}\n```", f"Here it is: {body} Done."):
        assert find_json(text) == value


@unhurried
@given(st.text(max_size=60))
def test_hostile_text_is_read_without_an_error(text: str) -> None:
    find_json(text)
    find_number(text)
    assert normalise(text) == normalise(f" {text}\n")
