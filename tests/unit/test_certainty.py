"""Confidence on one scale for empty answers and others: its order, and what a gate on it lets through of each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.evals.certainty import Held, fit_certainty, load_certainty, says_nothing

HELD = st.builds(
    Held,
    answer=st.sampled_from(["{}", '{"day":"Monday"}', "[]", "no JSON"]),
    confidence=st.floats(0, 1),
    difference=st.sampled_from([0.0, 1.0, -1.0]),
)


@given(st.lists(HELD, max_size=60), st.sampled_from(["{}", '{"a":1}']), st.floats(0, 1), st.floats(0, 1))
def test_it_keeps_the_order_of_answers_of_a_kind_and_survives_its_artifact(
    held: list[Held], answer: str, one: float, other: float
) -> None:
    certainty = fit_certainty(held)
    low, high = sorted((one, other))
    assert 0 <= certainty.sure(answer, low) <= certainty.sure(answer, high) <= 1
    assert load_certainty(certainty.artifact()) == certainty


@pytest.mark.parametrize(
    ("answer", "nothing"),
    [
        ("{}", True),
        ("[]", True),
        ("", True),
        ('{"day":null,"time":"","tags":[],"who":{"name":null}}', True),
        ('{"people":0}', False),
        ('{"sure":false}', False),
        ('[{"name":"book","arguments":{}}]', True),
        ('[{"name":"book","arguments":{"day":"Monday"}}]', False),
        ("a sentence", False),
    ],
)
def test_what_says_nothing(answer: str, nothing: bool) -> None:
    assert says_nothing(answer) is nothing


def drawn(seed: int, n: int) -> list[Held]:
    """Empty answers are nearly always right and sure; the others are as often wrong as they are unsure."""
    draw = random.Random(seed)
    held: list[Held] = []
    for _ in range(n):
        empty = draw.random() < 0.5
        confidence = 1 - 0.1 * draw.random() if empty else 1 - 0.4 * draw.random()
        wrong = draw.random() < (0.01 if empty else 1 - confidence)
        held.append(Held(answer="{}" if empty else '{"a":1}', confidence=confidence, difference=float(wrong)))
    return held


def test_a_gate_lets_through_as_little_loss_of_the_others_as_of_the_empty_ones() -> None:
    certainty, new = fit_certainty(drawn(0, 2_000)), drawn(1, 20_000)
    gate = 0.95
    through = [h for h in new if h.answer != "{}" and certainty.sure(h.answer, h.confidence) >= gate]
    assert len(through) > 1_000
    assert sum(h.difference for h in through) / len(through) == pytest.approx(0.05, abs=0.02)
    alike = [h for h in new if h.answer != "{}" and h.confidence >= 0.8]
    assert sum(h.difference for h in alike) / len(alike) > 0.08, "one threshold for all lets through more"


def test_few_answers_of_a_kind_are_not_taken_for_sure() -> None:
    few = fit_certainty([Held(answer='{"a":1}', confidence=0.9, difference=0.0)] * 5)
    assert few.sure('{"a":1}', 0.9) < 0.95
    assert few.sure("{}", 1.0) == 0, "nothing is known of empty ones"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"kind":"certainty","version":1,"empty":[[1],[]],"others":[[],[]]}']
)
def test_damaged_artifacts_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        load_certainty(data)
