"""Scorers: tables of cases, bounds on anything, and hostile text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource import plugins
from insource.core.ports import Scorer
from insource.core.values import OutputKind, OutputProfile
from insource.evals.scorers import (
    ExactScorer,
    JsonFieldsScorer,
    LabelScorer,
    NumberScorer,
    OverlapScorer,
    canonical_answer,
    choose_scorer,
)

SCORERS: list[Scorer] = plugins.load_all("scorers")
HOSTILE = [
    "[" * 100_000,
    '{"a":' * 50_000,
    "```" * 30_000,
    "```" + " " * 100_000,
    "1," * 50_000,
    "9" * 100_000,
    "1e999",
    "(" * 100_000,
    "\\boxed{" * 20_000,
    "\x00\ud800",
]


@pytest.mark.parametrize("kind", list(OutputKind))
def test_every_kind_has_a_scorer_that_is_registered(kind: OutputKind) -> None:
    assert choose_scorer(OutputProfile(kind=kind)) in {scorer.name for scorer in SCORERS}


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: s.name)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_scored(scorer: Scorer, text: str) -> None:
    assert 0 <= scorer.loss(text, "yes") <= 1
    assert 0 <= scorer.loss('{"a": 1}', text) <= 1
    assert scorer.loss(text, text) == 0


@given(st.text(), st.text())
def test_losses_lie_between_nothing_and_all(a: str, b: str) -> None:
    for scorer in SCORERS:
        assert 0 <= scorer.loss(a, b) <= 1
        assert scorer.loss(b, b) == 0


def test_exact() -> None:
    assert ExactScorer().loss(" Yes.\n", "yes") == 0
    assert ExactScorer().loss("yes it is", "yes") == 1


@pytest.mark.parametrize(
    ("answer", "reference", "loss"),
    [
        ("[Yes]", "yes", 0),
        ("yes", "[Yes]", 0),
        ("[No]\n\nExplanation: ...", "no", 0),
        ("Step 1 ... (x) so the answer is [Yes]", "yes", 0),
        ("Step 1: [No]? Rather [Yes]", "no", 1),
        ("(A) Very optimistic", "(A)", 0),
        ("card_arrival", "card_arrival", 0),
        ("card_arrival_late", "card_arrival", 1),
        ("Nothing", "no", 1),
        ("", "no", 1),
    ],
)
def test_label(answer: str, reference: str, loss: float) -> None:
    assert LabelScorer().loss(answer, reference) == loss


def test_a_label_is_read_among_all_labels() -> None:
    output = OutputProfile(kind=OutputKind.LABEL, labels=("[No]", "[Yes]"))
    assert canonical_answer("yes", output) == "[Yes]"
    assert canonical_answer("It is not [No] but [Yes].", output) == "[Yes]"
    assert canonical_answer("who knows", output) == "who knows"
    assert canonical_answer("12", OutputProfile(kind=OutputKind.NUMBER)) == "12"


@pytest.mark.parametrize(
    ("answer", "reference", "loss"),
    [
        ("so she makes $1,234.50.", "1234.5", 0),
        ("#### 18", "9 * 2 = 18", 0),
        (r"\boxed{7} of 12", "7", 0),
        ("17", "18", 1),
        ("none", "18", 1),
        ("none", "none", 0),
    ],
)
def test_number(answer: str, reference: str, loss: float) -> None:
    assert NumberScorer().loss(answer, reference) == loss


@pytest.mark.parametrize(
    ("answer", "reference", "loss"),
    [
        ('{"a": 1, "b": "X"}', '{"b": "x", "a": 1.0}', 0),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 0),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 0.5),
        ('{"a": 1}', '{"a": 1, "b": 2}', 0.5),
        ('{"a": 1, "b": 2}', '{"a": 1}', 0.5),
        ('{"a": true}', '{"a": 1}', 1),
        ('{"a": []}', '{"a": {}}', 1),
        ("no", '{"a": 1}', 1),
        ("{}", "{}", 0),
    ],
)
def test_json_fields(answer: str, reference: str, loss: float) -> None:
    assert JsonFieldsScorer().loss(answer, reference) == loss


def test_overlap_is_one_minus_f1() -> None:
    assert OverlapScorer().loss("the cat sat", "the cat") == pytest.approx(1 - 2 * 2 / 5)
    assert OverlapScorer().loss("", "") == 0
    assert OverlapScorer().loss("", "cat") == 1
