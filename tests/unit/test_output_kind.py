"""What answers look like, also with refusals among them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import JsonObject, OutputKind
from insource.traffic.output_kind import infer_schema, profile_output

REFUSAL = "I'm sorry, but as a language model I can't help with that request of yours today."


def test_labels_in_the_form_that_the_application_receives() -> None:
    answers = ["Card_Arrival", "Card_Arrival", "card_arrival", "lost_card.", "lost_card", "lost_card"] * 5 + [REFUSAL]
    found = profile_output(answers, [], [])
    assert found.kind is OutputKind.LABEL
    assert found.labels == ("Card_Arrival", "lost_card")


def test_labels_of_references_while_answers_reason_at_length() -> None:
    answers = [f"Step 1: try 2. Step 2: try 3. So the answer is [{'Yes' if n % 3 else 'No'}]." for n in range(30)]
    references = ["yes" if n % 3 else "No" for n in range(30)]
    assert profile_output(answers, references, []).labels == ("[No]", "[Yes]")
    assert profile_output(answers, [], []).labels == ("[No]", "[Yes]")
    assert profile_output([], references, []).labels == ("No", "yes")


def test_options_before_their_text_with_many_refusals() -> None:
    answers = [f"({'ABC'[n % 3]}). {'Somewhat likely to happen'} {n}" for n in range(60)] + [REFUSAL] * 39
    found = profile_output(answers, ["(A)"] * 99, [])
    assert (found.kind, found.labels) == (OutputKind.LABEL, ("(A)", "(B)", "(C)"))


def test_numbers_as_references_or_at_the_end_of_reasoning() -> None:
    boxed = [f"\\\\boxed{{{n % 4}}}" for n in range(40)]
    assert profile_output(boxed, boxed, []).kind is OutputKind.NUMBER
    worked = [f"She has {n} eggs and sells 3 of them at the market. She makes ${n * 2} every day." for n in range(40)]
    assert profile_output([*worked, REFUSAL], [], []).kind is OutputKind.NUMBER
    assert profile_output(["```python\nx = 1\nreturn x + 2\n```"] * 10, [], []).kind is OutputKind.TEXT


def test_json_with_the_schema_asked_for_or_one_that_all_satisfy() -> None:
    answers = [json.dumps({"name": "Ann", "age": n} | ({"note": None} if n % 2 else {})) for n in range(20)]
    found = profile_output([*answers, REFUSAL], [], [])
    assert found.kind is OutputKind.JSON
    assert found.json_schema == {
        "type": "object",
        "properties": {"age": {"type": "integer"}, "name": {"type": "string"}, "note": {"type": "null"}},
        "required": ["age", "name"],
    }
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    request = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    assert profile_output(answers, [], [request]).json_schema == schema


def test_tool_calls_and_free_text() -> None:
    assert profile_output(["I looked it up."], [], [], tool_calls=9).kind is OutputKind.TOOL_CALL
    prose = [f"The {word} went home and nobody ever asked why it did." for word in "abcdefghijkl"]
    assert profile_output(prose, [], []).kind is OutputKind.TEXT
    assert profile_output([], [], []).kind is OutputKind.TEXT


def test_many_different_short_answers_are_no_labels() -> None:
    assert profile_output([f"name {chr(97 + n)}" for n in range(26)] * 2, [], []).kind is OutputKind.TEXT


def _satisfies(value: Any, schema: JsonObject) -> bool:
    asked = schema.get("type")
    return asked is None or any(_is(value, name, schema) for name in (asked if isinstance(asked, list) else [asked]))


def _is(value: Any, name: str, schema: JsonObject) -> bool:
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        known = all(key in inner and _satisfies(item, inner[key]) for key, item in value.items())
        return name == "object" and known and set(schema["required"]) <= set(value)
    if isinstance(value, list):
        return name == "array" and all(_satisfies(item, schema.get("items", {})) for item in value)
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, int):
        return name in ("integer", "number")
    return name == {float: "number", str: "string", type(None): "null"}[type(value)]


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


@given(st.lists(_VALUES, min_size=1, max_size=6))
def test_every_observed_value_satisfies_the_inferred_schema(values: list[Any]) -> None:
    schema = infer_schema(values)
    assert all(_satisfies(value, schema) for value in values)


@given(st.lists(st.text(max_size=40), max_size=30), st.lists(st.text(max_size=20), max_size=30))
def test_any_text_has_a_kind_and_labels_come_in_order(answers: list[str], references: list[str]) -> None:
    found = profile_output(answers, references, [])
    assert list(found.labels) == sorted(set(found.labels))
    assert bool(found.labels) == (found.kind is OutputKind.LABEL)
