"""What counts as right: inferred, chosen, and applied by scorers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource import plugins
from insource.core.answers import final_number
from insource.core.errors import BadInput
from insource.core.evidence import SURE, Criterion
from insource.core.ports import Scorer
from insource.core.values import OutputKind, OutputProfile
from insource.evals.by_schema import same
from insource.evals.criterion import infer_criterion
from insource.evals.examples import Scoring
from insource.evals.scorers import LabelScorer, ToolsScorer
from tests.fakes.evidence import LABELS, example

_WITH_PROSE = '{"mood":"bad","reply":"We are sorry that your parcel was late and sent a new one"}'
YES_NO = OutputProfile(kind=OutputKind.LABEL, labels=("no", "yes"))


@pytest.fixture(params=[name for name in plugins.names("scorers") if name != "checker"])
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return plugins.load("scorers", request.param)


@given(text=st.text(max_size=200), other=st.text(max_size=200))
def test_any_text_is_scored_between_nothing_and_all(text: str, other: str) -> None:
    for name in plugins.names("scorers"):
        found: Scorer = plugins.load("scorers", name)
        if not found.costly:
            arguments = {"labels": ["no", "yes"]}
            assert 0 <= found.loss(text, other, request={}, arguments=arguments) <= 1
            assert found.loss(text, text, request={}, arguments=arguments) == 0


@pytest.mark.parametrize("hostile", ["[" * 5_000, "{" * 5_000 + "}", "9" * 100_000, "\ud800", "\x00" * 50, "(" * 9_999])
def test_hostile_text_is_scored(scorer: Scorer, hostile: str) -> None:
    assert 0 <= scorer.loss(hostile, "yes", request={}, arguments={"labels": ["no", "yes"]}) <= 1
    assert 0 <= scorer.loss("yes", hostile, request={}, arguments={}) <= 1


# --------------------------------------------------------------------------------------------------- inferred


@pytest.mark.parametrize(
    ("output", "references", "scorer_name"),
    [
        (YES_NO, ["yes", "no", "Yes."] * 20, "label"),
        (
            OutputProfile(kind=OutputKind.NUMBER),
            ["42", "$1,200.50", "so it is #### 7", "17 %", "Answer: 3"] * 5,
            "number",
        ),
        (OutputProfile(kind=OutputKind.NUMBER), ["It took 3 days and 12 people to do so."] * 20, None),
        (OutputProfile(kind=OutputKind.NUMBER), ["UNDERSTOOD: A TABLE FOR 4 AT 8"] * 20, None),
        (OutputProfile(kind=OutputKind.TEXT), ["Thank you for writing to us."] * 20, None),
        (OutputProfile(kind=OutputKind.TOOL_CALL), ['[{"name":"book","arguments":{}}]'] * 20, "tools"),
        (OutputProfile(kind=OutputKind.JSON), ['{"time":"18:30","people":4}'] * 20, "json"),
        (OutputProfile(kind=OutputKind.JSON), [_WITH_PROSE] * 20, None),
        (YES_NO, ["It depends on the weather and on more"] * 20, None),
        (YES_NO, [], None),
    ],
)  # fmt: skip
def test_what_the_answers_show(output: OutputProfile, references: list[str], scorer_name: str | None) -> None:
    found = infer_criterion(output, references)
    assert found.scorer == scorer_name
    assert found.reason.endswith(".")
    assert (found.confidence >= SURE) == (scorer_name is not None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42), (" 42. ", 42), ("-1,200.5", -1200.5), ("$3.50", 3.5), ("17 %", 17), ("12 kg", 12), ("**8**", 8),
        (r"so \boxed{9}", 9), ("First 3, then 4.\n#### 7", 7), ("I think 3.\nFinal answer: 12", 12),
        ("The answer is 5.", 5), ("there are 3 of them", None), ("18:30", None), ("1/2", None), ("", None),
        ("UNDERSTOOD: A TABLE FOR 4", None), ("2026-11-30", None),
    ],
)  # fmt: skip
def test_a_number_is_the_whole_answer_or_marked(text: str, number: float | None) -> None:
    assert final_number(text) == number


# ----------------------------------------------------------------------------------------------------- applied


def test_an_echo_and_a_last_number_are_no_right_answers() -> None:
    number: Scorer = plugins.load("scorers", "number")
    assert number.loss("Take 3 apples and 5 pears: how many is that? 8", "8", request={}, arguments={}) == 1
    assert number.loss("#### 8", "8.0", request={}, arguments={}) == 0


@pytest.mark.parametrize(
    ("answer", "reference", "loss"),
    [("yes", "yes", 0), ("Yes.", "yes", 0), ("[Yes]", "yes", 0), ("no", "yes", 1), ("not [No] but [Yes]", "yes", 0),
     ("", "yes", 1), ("perhaps", "yes", 1)],
)  # fmt: skip
def test_a_label_is_read_among_all_labels(answer: str, reference: str, loss: float) -> None:
    assert LabelScorer().loss(answer, reference, request={}, arguments={"labels": ["no", "yes"]}) == loss


TOOL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "description": "How many days ahead. Default is 3."},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "when": {"type": "array", "items": {"type": "string"}},
        "rain": {"type": "boolean", "description": "Whether to include rain, default false"},
    },
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ({"city": "Ulm"}, {"city": "ulm"}, True),
        ({"city": "Ulm"}, {"city": "Ulm", "unit": "celsius"}, True),
        ({"city": "Ulm"}, {"city": "Ulm", "unit": "fahrenheit"}, False),
        ({"city": "Ulm"}, {"city": "Ulm", "days": 3}, True),
        ({"city": "Ulm"}, {"city": "Ulm", "days": 4}, False),
        ({"city": "Ulm"}, {"city": "Ulm", "rain": False}, True),
        ({"city": "Ulm"}, {"city": "Ulm", "rain": True}, False),
        ({"city": "Ulm", "days": "4"}, {"city": "Ulm", "days": 4.0}, True),
        ({"city": "Ulm", "days": True}, {"city": "Ulm", "days": 1}, False),
        ({"city": "Ulm", "when": ["mon", "tue"]}, {"city": "Ulm", "when": ["tue", "mon"]}, False),
        ({"city": "Ulm", "when": []}, {"city": "Ulm"}, True),
        ({"city": "Ulm", "wind": 3}, {"city": "Ulm"}, False),
        ({}, {"city": "Ulm"}, False),
        ({"city": "Ulm"}, {"city": "Bonn"}, False),
    ],
)
def test_arguments_are_compared_by_their_schema(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b, TOOL) is equal
    assert same(b, a, TOOL) is equal


def test_parallel_calls_have_no_order() -> None:
    calls = [{"name": "weather", "arguments": {"city": city}} for city in ("Ulm", "Bonn")]
    tools = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]

    def loss(a: list[Any], b: list[Any]) -> float:
        return ToolsScorer().loss(json.dumps(a), json.dumps(b), request={"tools": tools}, arguments={})

    assert loss(calls, calls[::-1]) == 0
    assert loss(calls[:1], calls) == 1
    assert loss([*calls, calls[0]], calls) == 1
    assert ToolsScorer().loss("It is sunny.", json.dumps(calls), request={"tools": tools}, arguments={}) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values)
def test_saying_the_same_is_symmetric_and_reflexive(a: Any, b: Any) -> None:
    assert same(a, a)
    assert same(a, b) == same(b, a)


def test_what_a_person_said_of_an_answer_counts_first() -> None:
    scoring = Scoring(LabelScorer(), LABELS)
    asked = example(1, reference="yes", reference_kind="hosted", hosted_text="yes", judged={"no": True, "yes": False})
    assert (scoring.loss_local("no", asked), scoring.loss_hosted(asked)) == (0.0, 1.0)
    wrong = example(2, reference="yes", reference_kind="hosted", hosted_text="yes", hosted_correct=False)
    assert not wrong.teaches
    assert (scoring.loss_local("no", wrong), scoring.loss_local("yes", wrong), scoring.loss_hosted(wrong)) == (1, 1, 1)


# ----------------------------------------------------------------------------------------------------- checker


def checker(tmp_path: Path, body: str, seconds: float = 5.0) -> Criterion:
    script = tmp_path / "check.py"
    script.write_text(body)
    return Criterion(scorer="checker", arguments={"command": [sys.executable, str(script)], "seconds": seconds})


def test_a_checker_reads_json_and_prints_the_loss(tmp_path: Path) -> None:
    body = "import json,sys; d=json.load(sys.stdin); print(0.25 if d['answer'] in d['reference'] else 1)"
    scoring = Scoring(plugins.load("scorers", "checker"), checker(tmp_path, body))
    assert scoring.loss_local("ye", example(1)) == 0.25
    assert scoring.loss_local("$(rm -rf /)", example(1)) == 1.0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('fine')", "it printed 'fine'"),
        ("print(2)", "it printed '2'"),
        ("import sys; sys.exit('no licence')", "it ended with 1: no licence"),
        ("import time; time.sleep(9)", "it took longer than 1 s"),
    ],
)
def test_a_checker_that_fails_says_how(tmp_path: Path, body: str, said: str) -> None:
    scoring = Scoring(plugins.load("scorers", "checker"), checker(tmp_path, body, seconds=1.0))
    with pytest.raises(BadInput, match=said):
        scoring.loss_local("yes", example(1))
