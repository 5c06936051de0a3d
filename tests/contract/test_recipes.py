"""What every recipe promises, whoever wrote it (core/ports.py: Recipe, Fitted)."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from insource import plugins
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import sha256_hex
from insource.core.ports import Ask, Demand, Recipe
from insource.core.values import JsonObject, LocalAnswer, OutputKind, OutputProfile

LABELS = ("card", "refund", "transfer")
OUTPUT = OutputProfile(kind=OutputKind.LABEL, labels=LABELS)
WORDS = {
    "card": ["card", "chip", "contactless", "pin", "plastic"],
    "refund": ["refund", "money back", "return", "reimburse", "charged twice"],
    "transfer": ["transfer", "send", "wire", "iban", "abroad"],
}


def request(text: str) -> JsonObject:
    return {
        "model": "m",
        "temperature": 0.7,
        "stream": True,
        "x-unknown": {"kept": [1]},
        "messages": [{"role": "system", "content": "Sort it."}, {"role": "user", "content": text}],
    }


def examples() -> list[Example]:
    drawn = random.Random(4)
    made: list[Example] = []
    for n in range(120):
        label = LABELS[n % 3]
        text = f"my {drawn.choice(WORDS[label])} and the {drawn.choice(WORDS[label])} number {n}"
        made.append(
            Example(
                exchange_id=f"e{n}",
                created=datetime(2026, 1, 1, tzinfo=UTC),
                request=request(text),
                text=text,
                input_sha256=sha256_hex(text.encode()),
                cluster=str(n),
                reference=label,
                reference_kind="label",
                hosted_text=None,
                hosted_correct=None,
            )
        )
    return made


COMPLETION: JsonObject = {
    "choices": [
        {
            "message": {"role": "assistant", "content": "card"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "ca", "logprob": -0.5}, {"token": "rd", "logprob": -0.1}]},
        }
    ]
}


def _fits(name: str) -> bool:
    recipe: Recipe = plugins.load("recipes", name)
    return not recipe.trains and recipe.refusal(OUTPUT, len(examples())) is None


@pytest.fixture(params=[name for name in plugins.names("recipes") if _fits(name)])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return plugins.load("recipes", request.param)


@pytest.fixture(params=plugins.names("recipes"))
def any_recipe(request: pytest.FixtureRequest) -> Recipe:
    return plugins.load("recipes", request.param)


def test_a_loaded_recipe_answers_as_the_fitted_one(recipe: Recipe) -> None:
    fitted = recipe.fit(OUTPUT, examples(), seed=0).fitted
    loaded = recipe.load(fitted.artifact())
    assert loaded.artifact() == fitted.artifact()
    for text in ("my card and pin", "send it abroad", "zzz qqq", ""):
        assert loaded.prepare(request(text)) == fitted.prepare(request(text))


def test_the_order_of_examples_does_not_matter(recipe: Recipe) -> None:
    shuffled = examples()
    random.Random(1).shuffle(shuffled)
    one, other = recipe.fit(OUTPUT, shuffled, seed=0), recipe.fit(OUTPUT, examples(), seed=0)
    assert one.fitted.artifact() == other.fitted.artifact()
    assert one.held_out == other.held_out


def test_a_recipe_that_learns_answers_what_it_learnt_from_without_having_seen_it(recipe: Recipe) -> None:
    """A label that is wrong in one example only is not learnt by heart: the answer to it comes from the others."""
    wrong = [replace(e, reference="refund") if e.exchange_id == "e0" else e for e in examples()]
    held_out = recipe.fit(OUTPUT, wrong, seed=0).held_out
    assert bool(held_out) <= recipe.learns
    if held_out:
        assert set(held_out) == {e.exchange_id for e in wrong}
        assert held_out["e0"].text == "card"


def test_preparing_and_reading_change_nothing(recipe: Recipe) -> None:
    fitted = recipe.fit(OUTPUT, examples(), seed=0).fitted
    asked, answered = request("my card"), copy.deepcopy(COMPLETION)
    before = copy.deepcopy(asked)
    prepared = fitted.prepare(asked)
    assert asked == before
    assert fitted.prepare(asked) == prepared
    if isinstance(prepared, Ask):
        read = fitted.read(answered)
        assert answered == COMPLETION
        assert read.text == "card"
        assert 0 < read.confidence <= 1
    else:
        assert not recipe.asks_model


def test_what_the_client_sent_reaches_the_engine(recipe: Recipe) -> None:
    prepared = recipe.fit(OUTPUT, examples(), seed=0).fitted.prepare(request("my card"))
    if isinstance(prepared, LocalAnswer):
        assert prepared.text in LABELS
        return
    sent = request("my card")
    unchanged = sent.keys() - {"stream", "messages"}
    assert {key: prepared.body[key] for key in unchanged} == {key: sent[key] for key in unchanged}
    asked = prepared.body["messages"]
    assert (asked[0], asked[-1]) == (sent["messages"][0], sent["messages"][-1])
    assert "stream" not in prepared.body
    assert prepared.body["logprobs"] is True


def test_fitting_looks_at_its_examples_alone(recipe: Recipe) -> None:
    """Evidence is no argument of a fit, so other labels there can't change a candidate; a second fit, after another one
    with the labels permuted, is the same."""
    before = recipe.fit(OUTPUT, examples(), seed=0).fitted.artifact()
    permuted = [replace(e, reference=LABELS[(LABELS.index(e.reference) + 1) % 3]) for e in examples()]
    after = recipe.fit(OUTPUT, permuted, seed=0).fitted.artifact()
    assert recipe.fit(OUTPUT, examples(), seed=0).fitted.artifact() == before
    assert (after != before) == recipe.learns


def test_what_a_recipe_honours_reaches_the_engine_whole(recipe: Recipe) -> None:
    """Who asks for more than the recipe honours is not sent to it (routing/decide.py)."""
    asking: dict[Demand, JsonObject] = {
        "tools": {"tools": [{"type": "function", "function": {"name": "pay"}}], "tool_choice": "required"},
        "several choices": {"n": 3},
        "log probabilities": {"logprobs": True, "top_logprobs": 5},
    }
    fitted = recipe.fit(OUTPUT, examples(), seed=0).fitted
    for demand in recipe.honours:
        prepared = fitted.prepare({**request("my card"), **asking[demand]})
        assert isinstance(prepared, Ask)
        assert {key: prepared.body[key] for key in asking[demand]} == asking[demand]


@pytest.mark.parametrize("damaged", [b"", b"{}", b"\x80\x04K\x01.", b'{"recipe":"other","version":1}', b"[" * 100_000])
def test_other_bytes_are_no_artifact(any_recipe: Recipe, damaged: bytes) -> None:
    with pytest.raises(BadInput):
        any_recipe.load(damaged)
