"""The recipe `span`: fields of JSON answers, values found where they stand, and a confidence that means something."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.slots import (
    SlotField,
    aligned,
    as_number,
    assembled,
    fields_of,
    places,
    spans_of,
    tags,
    tokens,
)
from insource.adapt.span import MIN_EXAMPLES, fit, load, refusal
from insource.core.errors import BadInput

_DAYS = ("Monday", "Friday", "next week", "12 May", "tomorrow")
_TIMES = ("7pm", "19:30", "noon", "8")


def booking(seed: int) -> tuple[str, dict[str, Any]]:
    """A message and what it states; `kind` is chosen by what is asked, the rest is copied."""
    draw = random.Random(seed)
    day, time, people = draw.choice(_DAYS), draw.choice(_TIMES), draw.randint(2, 9)
    kind, ask = draw.choice((("table", "a table for"), ("party", "the big room for"), ("table", "seats for")))
    parts = [f"Could I get {ask} {people} people"]
    answer: dict[str, Any] = {"kind": kind, "people": people}
    if draw.random() < 0.7:
        parts.append(f"on {day}")
        answer["date"] = day
    if draw.random() < 0.7:
        parts.append(f"at {time}")
        answer["time"] = time
    return " ".join(parts) + draw.choice(("?", " please", "")), answer


BOOKINGS = [booking(seed) for seed in range(160)]
TEXTS, ANSWERS = [text for text, _ in BOOKINGS], [answer for _, answer in BOOKINGS]


def test_values_come_back_as_they_stand_and_of_their_type() -> None:
    fitted = fit(TEXTS[:120], ANSWERS[:120])
    right = sum(fitted.find(text).answer == answer for text, answer in BOOKINGS[120:])
    assert right >= 36
    found = fitted.find("Could I get the big room for 6 people on Friday at 7pm please")
    assert found.answer == {"kind": "party", "people": 6, "date": "Friday", "time": "7pm"}
    assert list(found.answer) == ["kind", "people", "date", "time"]
    assert set(found.by_field) == {"kind", "people", "date", "time"}
    assert 0 < found.confidence <= min(found.by_field.values())


def test_what_was_never_seen_is_less_sure() -> None:
    fitted = fit(TEXTS, ANSWERS)
    known = fitted.find(TEXTS[0]).confidence
    assert fitted.find("the heating makes a noise like 9 angry geese since Tuesday 4").confidence < known


def test_an_artifact_is_the_same_recipe_and_holds_no_code() -> None:
    fitted = fit(TEXTS, ANSWERS)
    shuffled = list(zip(TEXTS, ANSWERS, strict=True))
    random.Random(1).shuffle(shuffled)
    again = fit([text for text, _ in shuffled], [answer for _, answer in shuffled])
    assert fitted.artifact() == again.artifact()
    loaded = load(fitted.artifact())
    assert loaded.artifact() == fitted.artifact()
    for text in TEXTS[:20]:
        assert loaded.find(text) == fitted.find(text)
    with pytest.raises(BadInput, match="damaged"):
        load(fitted.artifact()[:-1])
    with pytest.raises(BadInput, match="not an artifact"):
        load(b'{"recipe":"head","version":1}\n')


def test_answers_that_are_no_slots_are_refused_with_the_field() -> None:
    texts = [f"Dinner on May {day} for {n}" for day in range(1, 29) for n in (2, 3)]
    iso = [{"date": f"2026-05-{day:02}", "people": n} for day in range(1, 29) for n in (2, 3)]
    assert "'date' stand in the message in 0 of 56" in str(refusal(texts, iso))
    with pytest.raises(BadInput, match="'date'"):
        fit(texts, iso)
    assert "too few" in str(refusal(texts[: MIN_EXAMPLES - 1], iso[: MIN_EXAMPLES - 1]))
    assert "No answer holds a value" in str(refusal(texts, [{} for _ in texts]))


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        ([{"day": "Friday"}, {"day": None}, {"day": None}], {"empty": "null"}),
        ([{"day": "Friday"}, {"day": ""}, {"day": ""}], {"empty": '""'}),
        ([{"day": "Friday"}, {}, {}], {"empty": "absent"}),
        ([{"day": ["Friday", "noon"]}, {"day": []}, {"day": []}], {"empty": "[]", "many": True}),
        ([{"stay": {"day": "Friday"}}, {}, {}], {"path": ("stay", "day")}),
        ([{"n": 8}, {"n": 2.5}, {}], {"number": True}),
        ([{"open": True}, {"open": False}] * 5, {"kind": "choice"}),
    ],
)
def test_a_field_is_what_its_answers_show(answers: list[dict[str, Any]], field: dict[str, Any]) -> None:
    text = "Friday noon for 8 or 2.5, true or false"
    ((found,), unknown) = fields_of([text] * len(answers), answers)
    assert not unknown
    assert {name: getattr(found, name) for name in field} == field
    if found.kind == "span":
        empty = assembled([found], {})
        assert empty in answers


def test_a_short_value_does_not_take_a_part_of_a_longer_one() -> None:
    fields = [SlotField(path=(name,), kind="span", empty="absent") for name in ("people", "date")]
    text = "on 2 May for 2"
    spans = aligned(text, {"people": "2", "date": "2 May"}, fields)
    assert spans is not None
    assert [(text[s.start : s.end], s.field) for s in spans] == [("2 May", 1), ("2", 0)]
    assert aligned(text, {"people": "2", "date": "May for"}, fields) is not None
    assert aligned(text, {"people": "12"}, fields) is None


@given(st.text(max_size=40))
def test_tokens_hold_every_sign_once_and_in_order(text: str) -> None:
    found = tokens(text)
    assert "".join(token.text for token in found) == "".join(text.split())
    assert all(text[token.start : token.end] == token.text for token in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(text=st.text(alphabet="ab 12.", min_size=1, max_size=30), data=st.data())
def test_tags_say_the_spans_and_nothing_else(text: str, data: st.DataObject) -> None:
    found = tokens(text)
    fields = [SlotField(path=(name,), kind="span", empty="absent") for name in "xyz"]
    answer: dict[str, str] = {}
    for name in data.draw(st.sets(st.sampled_from("xyz"))):
        if found:
            start = data.draw(st.integers(0, len(found) - 1))
            end = data.draw(st.integers(start, len(found) - 1))
            answer[name] = text[found[start].start : found[end].end]
    spans = aligned(text, answer, fields)
    if spans is not None:
        assert spans_of(found, tags(found, spans)) == spans
        values = {span.field: text[span.start : span.end] for span in spans}
        assert assembled(fields, values) == answer


@given(st.text(alphabet="ab ", max_size=20), st.text(alphabet="ab ", min_size=1, max_size=5))
def test_a_place_is_where_the_value_stands(text: str, value: str) -> None:
    assert all(text[start:end] == value for start, end in places(text, value))


@given(st.one_of(st.text(max_size=8), st.integers().map(str), st.floats().map(str)))
def test_a_number_is_one_that_json_has(text: str) -> None:
    value = as_number(text)
    assert value == text or json.loads(json.dumps(value)) == value
