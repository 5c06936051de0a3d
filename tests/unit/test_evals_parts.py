"""Splits, examples, screening, verdicts and certificates: the deciding parts, which need no fake."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.evidence import Example, Outcome, Verdict
from insource.core.values import Exchange, JsonObject, OutputKind, OutputProfile, ReferenceKind, Route
from insource.evals.comparison import (
    Decision,
    Trial,
    TrialEnd,
    decide_verdict,
    exchanges_for_gate,
    figures,
    search_gate,
)
from insource.evals.examples import hosted_loss, self_agreement, to_example
from insource.evals.scorers import LabelScorer
from insource.evals.screening import Screen
from insource.evals.splits import compared_since, input_sha256, part_of, split, split_warnings

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = OutputProfile(kind=OutputKind.LABEL, labels=("no", "yes"))


def ask(text: str, **more: object) -> JsonObject:
    return {"messages": [{"role": "user", "content": text}], **more}


def exchange(text: str = "q", answer: str | None = "yes", **more: object) -> Exchange:
    response = None if answer is None else {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    fields: JsonObject = {"id": text, "created": START, "request": ask(text), "response": response, **more}
    return Exchange(**fields)


def example(n: int, *, reference: str = "yes", kind: ReferenceKind = "label", hosted: str | None = None) -> Example:
    return Example(
        exchange_id=f"e{n:05}",
        created=START + timedelta(minutes=n),
        request=ask(str(n)),
        input_sha256=input_sha256(ask(str(n))),
        cluster=str(n),
        reference=reference,
        reference_kind=kind,
        hosted_text=hosted,
        hosted_correct=None,
    )


def made(found: Example | str) -> Example:
    assert isinstance(found, Example)
    return found


# ------------------------------------------------------------------------------------------------- splits


def test_the_model_and_its_sampling_are_not_the_input() -> None:
    same = ask("a", model="gpt-4-0314", temperature=0.1, stream=True, user="u")
    assert input_sha256(same) == input_sha256(ask("a", model="gpt-4-0613"))
    assert input_sha256(ask("a", tools=[{"type": "function"}])) != input_sha256(ask("a"))
    assert input_sha256(ask("a", response_format={"type": "json_object"})) != input_sha256(ask("a"))


def test_parts_have_their_shares_and_know_no_order() -> None:
    examples = [example(n) for n in range(4000)]
    parts = split(examples)
    assert [round(len(parts[p]) / 4000, 1) for p in ("train", "calibration", "test")] == [0.5, 0.3, 0.2]
    shuffled = list(examples)
    random.Random(0).shuffle(shuffled)
    assert split(shuffled) == parts
    assert all(part_of(e.input_sha256) == part for part, found in parts.items() for e in found)


def test_doubtful_logs_are_said() -> None:
    def said(references: Sequence[str], losses: Sequence[float] = ()) -> str:
        examples = [example(n, reference=text) for n, text in enumerate(references)]
        categories = list(references) if len(set(references)) < 5 else []
        return " ".join(split_warnings(examples, categories=categories, hosted_losses=losses or [0.0] * len(examples)))

    mixed = [random.Random(n).choice(["yes", "no"]) for n in range(400)]
    assert said(mixed) == ""
    assert "sorted by label" in said(sorted(mixed))
    assert "drifted: the labels" in said(sorted(mixed))
    assert "a constant or a dummy" in said(["(A)"] * 50)
    assert "hosted quality drifted: 100.0% in the first half of the time, 50.0%" in said(
        mixed, [0.0] * 200 + [0.0, 1.0] * 100
    )
    assert split_warnings([], categories=[], hosted_losses=[]) == ()


def test_after_a_drift_only_the_present_counts() -> None:
    examples = [example(n) for n in range(400)]
    assert compared_since(examples, [0.0] * 400) is None
    since = compared_since(examples[::-1], [0.5 if n % 2 else 0.0 for n in range(200)] + [0.0] * 200)
    assert since == examples[200].created


# ------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("found", "reference", "kind", "lost"),
    [
        (exchange(), "yes", "hosted", 0),
        (exchange(reference="no", reference_kind="label"), "no", "label", 1),
        (exchange(reference="yes", reference_kind="label", reference_correct=False), "yes", "label", 1),
        (exchange(answer="[Yes] because", reference="yes", reference_kind="label"), "yes", "label", 0),
        (exchange(answer=None, reference="no", reference_kind="label"), "no", "label", 0),
        (exchange(reference_correct=True), "yes", "hosted", 0),
    ],
)
def test_references_and_hosted_losses(found: Exchange, reference: str, kind: str, lost: float) -> None:
    usable = made(to_example(found))
    assert (usable.reference, usable.reference_kind) == (reference, kind)
    assert hosted_loss(usable, scorer=LabelScorer(), output=LABELS) == lost


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (exchange(answer=None), "neither"),
        (exchange(reference_correct=False), "known to be wrong"),
        (exchange(request={}), "no messages"),
        (exchange(status=500), "neither"),
        (exchange(incomplete="its stream was cut"), "neither"),
        (exchange(route=Route(upstream="engine:llamacpp", model="m", reason="")), "neither"),
    ],
)
def test_what_is_no_example_says_why(found: Exchange, why: str) -> None:
    said = to_example(found)
    assert isinstance(said, str)
    assert why in said


def test_a_session_is_a_cluster() -> None:
    one = made(to_example(exchange("a", metadata={"session_id": "s"})))
    assert one.cluster == made(to_example(exchange("b", metadata={"session_id": "s"}))).cluster == "s"
    assert made(to_example(exchange("a"))).cluster == one.input_sha256


def test_the_hosted_model_beside_itself() -> None:
    def repeats(*answers: str) -> list[Example]:
        return [
            replace(example(n // 2, kind="hosted", hosted=text), exchange_id=str(n)) for n, text in enumerate(answers)
        ]

    def ceiling(found: list[Example]) -> object:
        return self_agreement(found, scorer=LabelScorer(), output=LABELS, confidence=0.95)

    assert ceiling([example(n, hosted="yes") for n in range(5)]) is None
    always = self_agreement(repeats(*["yes"] * 40), scorer=LabelScorer(), output=LABELS, confidence=0.95)
    never = self_agreement(repeats(*["yes", "no"] * 20), scorer=LabelScorer(), output=LABELS, confidence=0.95)
    assert always is not None
    assert never is not None
    assert (always.high, never.low) == (1.0, 0.0)
    assert always.low == pytest.approx(0.025 ** (1 / 20))


# ------------------------------------------------------------------------------------------------- screening


def screened(rows: Sequence[tuple[float, float]]) -> Screen:
    screen = Screen(margin=0.02, alpha=0.05, min_coverage=0.25)
    for confidence, difference in rows:
        if screen.add(confidence=confidence, difference=difference):
            break
    return screen


def test_a_hopeless_candidate_costs_dozens_of_answers() -> None:
    drawn = random.Random(0)
    result = screened([(drawn.random(), 1.0) for _ in range(400)]).result()
    assert result.futile
    assert result.n <= 48
    assert result.lower > 0.02


def test_no_gate_can_save_what_is_nearly_always_wrong() -> None:
    """Shown without any luck in where the thresholds fall: all confidences are equal, then the surest come first."""
    assert screened([(1.0, 1.0)] * 400).result().futile
    first_sure = [(1.0, 1.0)] * 16 + [(0.1, 1.0)] * 80
    assert screened(first_sure).result().futile


def test_futile_means_that_the_bound_is_above_the_margin() -> None:
    drawn = random.Random(3)
    for rate in (0.0, 0.1, 0.3, 0.6, 0.9):
        result = screened([(drawn.random(), float(drawn.random() < rate)) for _ in range(96)]).result()
        assert result.futile == (result.lower > 0.02)


def test_a_candidate_that_is_right_when_sure_is_kept() -> None:
    drawn = random.Random(0)
    rows = [(c, float(c < 0.6)) for c in (drawn.random() for _ in range(400))]
    result = screened(rows).result()
    assert not result.futile
    assert result.promising
    assert result.n == 400


def test_a_good_candidate_is_rarely_dropped() -> None:
    drawn = random.Random(7)
    dropped = 0
    for _ in range(200):
        dropped += screened([(drawn.random(), float(drawn.random() < 0.02)) for _ in range(96)]).futile
    assert dropped <= 200 * 0.05 + 2 * (200 * 0.05 * 0.95) ** 0.5


def test_nothing_asked_is_not_futile() -> None:
    result = screened([]).result()
    assert (result.n, result.futile) == (0, False)


# ------------------------------------------------------------------------------------------------- verdicts


def trial(end: TrialEnd, **more: object) -> Trial:
    fields: JsonObject = {"recipe": "prompt", "end": end, "reason": "why.", **more}
    return Trial(**fields)


@pytest.mark.parametrize(
    ("trials", "untried", "references", "verdict"),
    [
        ([trial("certified", gate=0.0, coverage=1.0)], [], 900, Verdict.MOVE),
        ([trial("certified", gate=0.0, coverage=0.9)], [], 900, Verdict.MOVE),
        ([trial("certified", gate=0.4, coverage=0.996)], [], 900, Verdict.MOVE),
        ([trial("certified", gate=0.4, coverage=0.9)], [], 900, Verdict.MOVE_PART),
        ([trial("dropped"), trial("certified", gate=0.4, coverage=0.9)], ["head"], 900, Verdict.MOVE_PART),
        ([trial("dropped")], [], 900, Verdict.KEEP),
        ([trial("dropped"), trial("refused")], [], 900, Verdict.KEEP),
        ([trial("no gate")], [], 900, Verdict.KEEP),
        ([trial("void")], [], 900, Verdict.KEEP),
        ([trial("dropped")], ["head"], 900, Verdict.ADAPT),
        ([trial("no gate", n_needed=3000)], [], 900, Verdict.MORE_DATA),
        ([trial("too few", n_needed=497)], [], 90, Verdict.MORE_DATA),
        ([trial("dropped"), trial("refused", n_needed=120)], [], 90, Verdict.MORE_DATA),
        ([trial("certified", gate=0.0, coverage=1.0)], [], 59, Verdict.MORE_DATA),
        ([], [], 900, Verdict.KEEP),
    ],
)
def test_verdicts(trials: list[Trial], untried: list[str], references: int, verdict: Verdict) -> None:
    decision = decide_verdict(trials, untried=untried, references=references, least=60)
    assert decision.verdict is verdict
    assert decision.reason
    assert (decision.n_needed is not None) == (verdict is Verdict.MORE_DATA)
    assert all(name in decision.reason for name in (untried if verdict is Verdict.ADAPT else []))


def test_the_nearest_need_is_named() -> None:
    both = [trial("no gate", n_needed=3000), trial("refused", recipe="head", n_needed=120)]
    assert decide_verdict(both, untried=[], references=100, least=60) == Decision(
        verdict=Verdict.MORE_DATA, reason="prompt: why. head: why.", recipe="head", n_needed=120
    )


# ------------------------------------------------------------------------------------------------- figures and gates


def outcomes(losses: Sequence[float], *, hosted: float = 0.0, confidence: float = 0.9) -> list[Outcome]:
    return [
        Outcome(
            exchange_id=f"e{n:04}",
            part="calibration",
            cluster=str(n),
            answer="",
            confidence=confidence,
            loss_local=loss,
            loss_hosted=hosted,
        )
        for n, loss in enumerate(losses)
    ]


def test_figures_of_a_pair() -> None:
    found = figures(outcomes([0.0] * 95 + [1.0] * 5), margin=0.02, alpha=0.05, confidence=0.95)
    assert found is not None
    assert (found.n, found.clusters, found.worse, found.better) == (100, 100, 5, 0)
    assert (found.quality, found.hosted_quality, found.difference) == pytest.approx((0.95, 1.0, 0.05))
    assert found.quality_interval.low < 0.95 < found.quality_interval.high
    assert found.mcnemar_p == pytest.approx(2 * 0.5**5)
    assert found.n_needed is None
    assert figures([], margin=0.02, alpha=0.05, confidence=0.95) is None


def test_shares_have_no_flips_to_count() -> None:
    found = figures(outcomes([0.0, 0.25] * 20), margin=0.2, alpha=0.05, confidence=0.95)
    assert found is not None
    assert found.mcnemar_p is None
    assert found.n_needed is not None


def test_what_it_takes_to_certify() -> None:
    def needed(losses: Sequence[float], *, hosted: float = 0.0) -> int | None:
        found = outcomes(losses, hosted=hosted)
        search = search_gate(found, margin=0.02, delta=0.05, min_coverage=0.25)
        assert search.gate is None
        return exchanges_for_gate(search, found, delta=0.05)

    assert search_gate(outcomes([0.0] * 100), margin=0.02, delta=0.05, min_coverage=0.25).too_few
    assert (needed([1.0] * 3 + [0.0] * 197) or 0) > 1000
    assert needed([1.0] * 100 + [0.0] * 100) is None
    assert (needed([1.0] * 50 + [0.0] * 50, hosted=0.5) or 0) > 1000  # d of both signs varies although its mean is 0


@given(st.permutations(range(30)))
def test_a_gate_does_not_depend_on_the_order(order: list[int]) -> None:
    rows = [replace(o, confidence=n / 30, loss_local=float(n < 8)) for n, o in enumerate(outcomes([0.0] * 30))]
    expected = search_gate(rows, margin=0.3, delta=0.1, min_coverage=0.25)
    assert search_gate([rows[n] for n in order], margin=0.3, delta=0.1, min_coverage=0.25) == expected
