"""Clusters of near-duplicates, and the place that every exchange gets once."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.evidence import Place
from insource.evals.clusters import LIKENESS, NearDuplicates, cluster, folded, grams
from insource.evals.placing import Arrival, Placing, text_rules
from insource.evals.repeats import load_repeats, repeats_artifact

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = (
    "my parcel has not arrived yet although it was due", "the card reader at the till refuses my card",
    "please change the address of my order", "I was charged twice for one booking",
    "how do I set another password for the shop", "the shoes are too small and I want others",
)  # fmt: skip


def arrivals(texts: list[str], *, answers: list[str] | None = None, first: int = 0) -> list[Arrival]:
    said = answers or ["x"] * len(texts)
    return [
        Arrival(exchange_id=f"e{first + n:05}", created=START + timedelta(minutes=first + n), text=text, answer=answer)
        for n, (text, answer) in enumerate(zip(texts, said, strict=True))
    ]


def placed(new: list[Arrival]) -> list[Place]:
    return Placing(text_rules(new), [each.text for each in new]).place(new)


def jaccard(a: str, b: str) -> float:
    return len(grams(a) & grams(b)) / len(grams(a) | grams(b))


@settings(max_examples=60)
@given(st.lists(st.text(alphabet="abc de", min_size=1, max_size=24), min_size=2, max_size=25))
def test_the_search_finds_exactly_what_resembles(texts: list[str]) -> None:
    index = NearDuplicates.for_texts(texts[:3])
    for n, text in enumerate(texts):
        # Of equal texts the first stands for all.
        firsts = {grams(earlier): m for m, earlier in reversed(list(enumerate(texts[:n])))}
        expected = {m for m in firsts.values() if jaccard(texts[m], text) >= LIKENESS}
        assert {each.index for each in index.alike(text)} == expected
        index.add(text)


def test_a_ticket_number_a_greeting_and_a_typo_make_no_new_input() -> None:
    texts = [
        folded(text)
        for text in (
            "Hello, my parcel 10443 has not arrived, it was due yesterday at noon",
            "hello,  my parcel 99821 has not arrived, it was due yesterday at noon",
            "Hello, my parcel has not arived, it was due yesterday at noon!",
            "I want my money back for the broken kettle",
        )
    ]
    assert cluster(texts) == [0, 0, 0, 3]


def test_a_number_that_decides_the_answer_keeps_inputs_apart() -> None:
    sums = [f"What is {n} plus {n * 3 % 17}? Answer with a number." for n in range(60)]
    rules = text_rules(arrivals(sums, answers=[str(n + n * 3 % 17) for n in range(60)]))
    assert not rules.drop_digits
    tickets = [f"Ticket {n}: {TOPICS[n % 3]}" for n in range(60)]
    assert text_rules(arrivals(tickets, answers=[str(n % 3) for n in range(60)])).drop_digits


def test_what_all_inputs_share_does_not_make_them_alike() -> None:
    long = "You are given a message of a customer of the shop. Read it with care and answer with one word. Message: "
    found = placed(arrivals([long + topic for topic in TOPICS]))
    assert len({place.cluster for place in found}) == len(TOPICS)


def _many(n: int, seed: int = 0) -> list[str]:
    drawn = random.Random(seed)
    return [" ".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=12)) + f" {drawn.random()}" for _ in range(n)]


def test_six_of_ten_clusters_are_fitted_on_whoever_computes_it() -> None:
    found = placed(arrivals(_many(2_000)))
    share = sum(place.part == "fit" for place in found) / 2_000
    assert share == pytest.approx(0.6, abs=0.04)
    assert sorted(place.place for place in found) == list(range(2_000))
    assert {p.exchange_id: p.part for p in found} == {p.exchange_id: p.part for p in placed(arrivals(_many(2_000)))}


def test_repeats_of_what_is_fitted_stay_half_out_and_never_become_evidence() -> None:
    texts = [topic for topic in TOPICS for _ in range(60)]
    parts: dict[str, set[str]] = {}
    for place in placed(arrivals(texts)):
        parts.setdefault(place.cluster, set()).add(place.part)
    assert all(each in ({"evidence"}, {"fit", "held out"}) for each in parts.values())


def test_a_place_is_given_once_and_later_exchanges_come_after() -> None:
    first = arrivals(_many(300))
    known = placed(first)
    placing = Placing(text_rules(first), [each.text for each in first])
    text_of = {each.exchange_id: each.text for each in first}
    for place in known:
        placing.know(place, text_of[place.exchange_id])
    later = arrivals([*_many(50, seed=1), first[7].text], first=300)
    found = placing.place(later)
    assert [place.place for place in found] == list(range(300, 351))
    assert [place.exchange_id for place in found] == [each.exchange_id for each in later]
    former = next(place for place in known if place.exchange_id == first[7].exchange_id)
    assert found[-1].cluster == former.cluster
    assert (found[-1].part == "evidence") == (former.part == "evidence")


def test_repeats_are_recognised_by_hashes_alone() -> None:
    fitted = arrivals(list(TOPICS))
    artifact = repeats_artifact([each.text for each in fitted], text_rules(fitted))
    assert b"parcel" not in artifact
    index = load_repeats(artifact)
    assert index.is_repeat("My parcel has not arrived yet, although it was due")
    assert not index.is_repeat("what are your opening hours on Sunday")
    assert artifact == repeats_artifact([each.text for each in reversed(fitted)], text_rules(fitted))
