"""What a training decides before it computes anything, and what it says without its libraries."""

from __future__ import annotations

import json
import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.extras import require
from insource.adapt.lora.job import Hyperparameters, Job, Row, as_json, job_of
from insource.adapt.lora.rows import training_rows
from insource.adapt.lora.run import train
from insource.adapt.lora.trainer.plan import (
    TIMED_STEPS,
    common_beginning,
    epoch_batches,
    fitting_steps,
    held_apart,
    learning_share,
)
from insource.core.errors import UsageError


@given(st.integers(0, 600), st.floats(0, 0.5), st.integers(0, 60), st.integers(0, 9))
def test_every_row_is_trained_on_or_held(count: int, share: float, most: int, seed: int) -> None:
    trained, held = held_apart(count, share=share, most=most, seed=seed)
    assert sorted(trained + held) == list(range(count))
    assert len(held) <= min(most, share * count)
    assert (trained, held) == held_apart(count, share=share, most=most, seed=seed)
    if count < 40:
        assert not held


@given(st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 16), st.integers(0, 3))
def test_an_epoch_holds_every_row_once(lengths: list[int], size: int, epoch: int) -> None:
    batches = epoch_batches(lengths, size, seed=1, epoch=epoch)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert batches == epoch_batches(lengths, size, seed=1, epoch=epoch)
    assert len(batches) == -(-len(lengths) // size)


def test_epochs_have_orders_of_their_own_and_little_padding() -> None:
    lengths = [10 + 7 * (at % 40) for at in range(320)]
    first, second = (epoch_batches(lengths, 8, seed=0, epoch=epoch) for epoch in (0, 1))
    assert first != second
    padded = sum(len(batch) * max(lengths[place] for place in batch) for batch in first)
    assert padded < 1.2 * sum(lengths)


@given(st.integers(1, 500), st.floats(0.01, 0.3))
def test_the_learning_rate_goes_up_and_then_down(steps: int, warmup: float) -> None:
    shares = [learning_share(step, steps, warmup) for step in range(steps)]
    top = shares.index(max(shares))
    assert all(0 < share <= 1 for share in shares)
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)


@given(
    all_steps=st.integers(TIMED_STEPS, 1000),
    budget=st.floats(1, 10_000),
    step_seconds=st.floats(0.001, 100),
)
def test_a_budget_is_not_overrun_by_more_than_was_needed_to_know_it(
    all_steps: int, budget: float, step_seconds: float
) -> None:
    spent = TIMED_STEPS * step_seconds
    steps = fitting_steps(all_steps, budget_seconds=budget, spent=spent, step_seconds=step_seconds)
    assert TIMED_STEPS <= steps <= all_steps
    assert steps == TIMED_STEPS or steps * step_seconds <= budget
    assert fitting_steps(all_steps, budget_seconds=None, spent=spent, step_seconds=step_seconds) == all_steps


@given(st.lists(st.lists(st.integers(0, 2), max_size=6).map(tuple), min_size=1, max_size=5))
def test_a_common_beginning_is_the_longest(rows: list[tuple[int, ...]]) -> None:
    shared = common_beginning(rows)
    assert len({row[:shared] for row in rows}) == 1
    assert any(len(row) == shared for row in rows) or len({row[: shared + 1] for row in rows}) > 1


def test_a_job_crosses_the_border_unchanged() -> None:
    rows = [Row(request={"messages": [{"role": "user", "content": "ä\n"}]}, answer="{}", weight=2.0)]
    job = Job(base="/b.gguf", workspace="/w", rows=rows, settings=Hyperparameters(rank=4), budget_seconds=60.0)
    assert as_json(job_of(json.loads(as_json(job)))) == as_json(job)


def test_a_library_that_is_missing_is_named_with_the_command() -> None:
    with pytest.raises(UsageError) as error:
        require(("json", "no_such_library"), extra="adapt", purpose="Training")
    assert "Training needs no_such_library" in error.value.message
    assert error.value.next_step == "Install the extra: pip install 'insource[adapt]'"


@pytest.mark.skipif(find_spec("torch") is not None, reason="the extra is installed here")
def test_without_the_extra_training_names_the_command_and_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"insource\[adapt\]"):
        train(Job(base="x.gguf", workspace=str(tmp_path / "w"), rows=[]))
    assert not (tmp_path / "w").exists()


def _asked(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["yes", "no"])), max_size=40), st.randoms())
def test_rows_hold_each_request_once_with_its_most_frequent_answer(
    pairs: list[tuple[str, str]], draw: random.Random
) -> None:
    rows = training_rows((_asked(text), answer) for text, answer in pairs)
    shuffled = list(pairs)
    draw.shuffle(shuffled)
    assert rows == training_rows((_asked(text), answer) for text, answer in shuffled)
    texts = [str(row.request["messages"][0]["content"]) for row in rows]
    assert len(set(texts)) == len(texts)
    for text, row in zip(texts, rows, strict=True):
        own = [answer for other, answer in pairs if other == text]
        assert own.count(row.answer) > len(own) - own.count(row.answer)
    assert {text for text, _ in pairs} - set(texts) == {
        text for text, _ in pairs if pairs.count((text, "yes")) == pairs.count((text, "no"))
    }


def test_rare_labels_weigh_more_and_texts_of_their_own_do_not() -> None:
    labels = ["a"] * 64 + ["b"] * 64 + ["c"] * 4
    rows = training_rows((_asked(str(at)), label) for at, label in enumerate(labels))
    assert {row.answer: row.weight for row in rows} == {"a": 1.0, "b": 1.0, "c": 4.0}
    assert {row.weight for row in training_rows((_asked(str(at)), str(at)) for at in range(20))} == {1.0}
