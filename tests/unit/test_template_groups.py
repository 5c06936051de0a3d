"""What templates are found by: recurring text, families of alternatives, sets of tools, and what tells jobs apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.traffic.corpus import READ_CHARACTERS, TOKEN, Corpus, Recurring, clip
from insource.traffic.evidence import Evidence, Outcome, is_json
from insource.traffic.families import Alternative, Case, constant, set_of, strength, tool_sets
from insource.traffic.grouping import Unit, find_groups
from insource.traffic.template_parts import constant_parts
from insource.traffic.templates import END, USER
from insource.traffic.wording import asks, labelled, labelled_as_job

MONEY = ["account", "bank", "card", "cash", "credit", "debit", "fee", "loan", "money", "payment", "refund", "transfer"]
FOOD = ["apple", "bread", "cheese", "dinner", "kitchen", "lunch", "menu", "plate", "rice", "salt", "soup", "table"]
NOTHING = Outcome(answer=None, tool_call=False)


def said(words: list[str], seed: int, count: int = 4) -> str:
    return " ".join(Random(seed).choices(words, k=count))


def message(text: str) -> str:
    return f"{USER}{text}{END}"


# ------------------------------------------------------------------------------------------------------ corpus


@given(st.text(max_size=200))
def test_tokens_leave_out_nothing_but_space(text: str) -> None:
    assert "".join("".join(TOKEN.findall(text)).split()) == "".join(text.split())


@given(st.integers(0, 3 * READ_CHARACTERS))
def test_a_long_text_is_read_at_both_ends(length: int) -> None:
    text = "".join(str(n % 10) for n in range(length))
    clipped = clip(text)
    assert len(clipped) == min(length, READ_CHARACTERS)
    assert text.startswith(clipped[:100])
    assert text.endswith(clipped[-100:])


@given(st.lists(st.text(alphabet="ab 1\n" + USER + END, max_size=30), min_size=1, max_size=12, unique=True))
@settings(deadline=None)
def test_blocks_are_in_the_texts_that_have_them_whatever_the_texts(texts: list[str]) -> None:
    blocks = Recurring(Corpus(texts, least=2)).all
    assert blocks.in_text.shape == (len(texts), len(blocks.texts))
    assert (blocks.texts >= 2).all()
    assert np.asarray(blocks.in_text.sum(axis=0)).ravel().tolist() == blocks.texts.tolist()


@given(st.integers(0, 2**32), st.integers(5, 25))
@settings(max_examples=25, deadline=None)
def test_constant_parts_are_in_every_text_letter_by_letter(seed: int, size: int) -> None:
    texts = [message(f"Name the dish:  {said(FOOD, seed + n)}\n\nAnswer in one word.") for n in range(size)]
    corpus = Corpus(texts, least=5)
    recurring = Recurring(corpus)
    core = constant(recurring.all, size)[recurring.block_of]
    parts = constant_parts(corpus, np.arange(size), core)
    assert all(part in text for part in parts for text in texts)
    assert any("Name the dish:" in part for part in parts)
    assert any(part.endswith(f"Answer in one word.{END}") for part in parts)


# ---------------------------------------------------------------------------------------- what tells jobs apart


def evidence(texts: list[str], answers: list[str | None] | None = None, *, tool_call: bool = False) -> Evidence:
    corpus = Corpus(texts, least=5)
    outcomes = [Outcome(answer=answer, tool_call=tool_call) for answer in answers or [None] * len(texts)]
    return Evidence(corpus, np.zeros(corpus.phrases, dtype=bool), outcomes)


def test_messages_of_different_jobs_show_them_and_halves_of_one_job_do_not() -> None:
    money, food = ([message(said(words, n)) for n in range(100)] for words in (MONEY, FOOD))
    halves = np.arange(200) // 100
    more_money = [message(said(MONEY, n)) for n in range(100, 200)]
    assert evidence(money + food).agreement(np.arange(200), halves) > 0.95
    assert evidence(money + more_money).agreement(np.arange(200), halves) < 0.3


def test_answers_that_repeat_the_request_say_nothing_of_its_job() -> None:
    texts = [message(said(MONEY, n)) for n in range(200)]
    halves = np.arange(200) % 2
    echoed = [text.strip(USER + END).split()[0] for text in texts]
    own = [["yes", "no", "maybe"][n % 3] if n % 2 else "{" + f'"n": {n}' + "}" for n in range(200)]
    assert evidence(texts, [*echoed]).agreement(np.arange(200), halves) < 0.3
    assert evidence(texts, [*own]).agreement(np.arange(200), halves) > 0.9


@pytest.mark.parametrize(
    ("second", "answer", "tool_call", "two"),
    [
        (FOOD, '{"dish": "soup"}', False, True),
        (FOOD, "a long sentence about what there is to eat tonight, and why it is good", False, True),
        (FOOD, "cash", False, False),
        (MONEY, '{"dish": "soup"}', False, False),
        (FOOD, '{"dish": "soup"}', True, False),
    ],
    ids=["json", "prose", "one kind", "messages alike", "tool calls"],
)
def test_two_kinds_of_answers_are_two_jobs_if_the_messages_show_which(
    second: list[str], answer: str, tool_call: bool, two: bool
) -> None:
    texts = [message(said(MONEY, n)) for n in range(60)] + [message(said(second, n + 60)) for n in range(60)]
    answers: list[str | None] = [*["card"] * 60, *[answer] * 60]
    assert evidence(texts, answers, tool_call=tool_call).of_two_kinds(np.arange(120)) is two


def test_json_is_what_can_be_read_as_an_object_or_a_list() -> None:
    assert [text for text in ("{}", "[1]", ' {"a": 1}', "[Yes]", "{a}", "42", "") if is_json(text)] == [
        "{}",
        "[1]",
        ' {"a": 1}',
    ]


ONE = Alternative(
    text="Sort the mail", before="\n", texts=100, words=3, elsewhere=0.0, at_edge=False, framed=False, inside=1.0,
    shared=0.0, whole=False, last=False,
)  # fmt: skip


def case(one: Alternative, *, cover: float = 1.0, agreement: float = 0.0, answered: bool = True) -> Case:
    other = replace(one, text="Name the dish")
    return Case(alternatives=[one, other], cover=cover, agreement=agreement, answered=answered, texts=200)


@pytest.mark.parametrize(
    ("found", "sure"),
    [
        (case(ONE, agreement=0.9), 3),
        (case(ONE), 2),
        (case(replace(ONE, before="Customer: ")), 0),
        (case(replace(ONE, before="Customer: "), agreement=0.9), 3),
        (case(replace(ONE, text="Anna Berg", words=2)), 0),
        (case(replace(ONE, text="Intent", words=1, at_edge=True, framed=True)), 1),
        (case(replace(ONE, text="Customer", words=1, at_edge=True, framed=True, shared=1.0)), 0),
        (case(replace(ONE, text="why is", words=2, at_edge=True, inside=0.5)), 0),
        (case(replace(ONE, last=True, whole=True), agreement=0.9), 0),
        (case(replace(ONE, text="the long plain line of a job with many words", words=9), answered=False), 1),
        (case(ONE, cover=0.5), 0),
    ],
    ids=["answers", "asking", "labelled slot", "labelled, yet apart", "names", "framed word", "quoted talk",
         "a user's own words", "one question of many", "long lines", "half covered"],
)  # fmt: skip
def test_how_surely_alternatives_are_jobs(found: Case, sure: int) -> None:
    assert strength(found) == sure


def test_what_asks_and_what_labels() -> None:
    for text in ("Sort this.", "please list all", "Context. Translate it", "Du bist Koch. Übersetze das", "请翻译"):
        assert asks(text)
    assert not any(asks(text) for text in ("my card is lost", "the sort of thing", ""))
    assert labelled("## Memory\n")
    assert labelled("<user>")
    assert not labelled("</user>")
    assert labelled_as_job('{"task": "')
    assert not labelled_as_job("Context: ")


# --------------------------------------------------------------------------------------------------------- tools


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_random_subsets_of_tools_come_together_again(seed: int) -> None:
    rng = Random(seed)
    sets = [frozenset(f"{name}{n}" for n in range(6)) for name in ("find", "book", "play")]
    offered = [tuple(sorted([*rng.sample(sorted(own), 4), "search"])) for own in sets for _ in range(40)]
    found = tool_sets(offered)
    assert {names for names in found if len(names) > 1} == set(sets)
    assert all(set_of(one, found) == set_of(other, found) for one, other in combinations(offered[:40], 2))


@given(st.lists(st.lists(st.text(alphabet="abc", min_size=1, max_size=2), max_size=5).map(tuple), max_size=20))
def test_every_tool_is_in_one_set(offered: list[tuple[str, ...]]) -> None:
    sets = tool_sets(offered)
    names = [name for own in sets for name in own]
    assert sorted(names) == sorted({name for own in offered for name in own})


# --------------------------------------------------------------------------------------------------- hostile input


@pytest.mark.parametrize(
    "texts",
    [
        [" ".join(["word"] * n) for n in range(1, 400)],
        [f"{n} " * 50 for n in range(100)],
        [USER * n + END for n in range(1, 60)],
        ["a" * 30_000 + str(n) for n in range(30)],
        ["\n" * n for n in range(1, 60)],
    ],
    ids=["one word", "numbers", "marks", "a long word", "line breaks"],
)
def test_texts_without_a_template_end_too(texts: list[str]) -> None:
    groups = find_groups([Unit(text=message(text), tools=(), outcome=NOTHING) for text in texts], 10)
    assert sum(len(group.texts) for group in groups) <= len(texts)
