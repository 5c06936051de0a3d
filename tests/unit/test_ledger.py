"""Bets, gates and the two strata: what a candidate's evidence comes to."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.evidence import Outcome
from insource.evals.ledger import Stakes, bets, bets_needed, fewest_bets, label_figures, look
from insource.stats.betting import (
    highest_log_capital,
    highest_log_capital_for_worse,
    log_capital,
    loss_upper,
    outcomes_expected,
    outcomes_without_loss,
)
from insource.stats.gates import pass_gates, starting_shares
from tests.fakes.evidence import outcome, terms

STAKES = Stakes(margin=0.02, alpha=0.05)
ONE_GATE = terms(thresholds=(0.0,), coverages=(1.0,), first=0)


# ------------------------------------------------------------------------------------------------ the bets


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 177), (0.025, 215)])
def test_a_flawless_candidate_needs_so_many(alpha: float, n: int) -> None:
    assert outcomes_without_loss(0.02, alpha) == n
    assert highest_log_capital([0.0] * n, 0.02) >= math.log(1 / alpha) > highest_log_capital([0.0] * (n - 1), 0.02)


def test_at_half_a_percent_four_of_five_are_certified_by_800() -> None:
    drawn = np.random.default_rng(7)
    certified = sum(
        highest_log_capital((drawn.random(800) < 0.005).astype(float), 0.02) >= math.log(1 / 0.025) for _ in range(200)
    )
    assert certified >= 160


def test_the_capital_of_a_fair_bet_does_not_grow() -> None:
    """At a risk of exactly the margin the expected capital is 1; Ville's inequality needs no more."""
    drawn = np.random.default_rng(1)
    final = [math.exp(log_capital((drawn.random(300) < 0.02).astype(float), 0.02)[-1]) for _ in range(3_000)]
    assert np.mean(final) == pytest.approx(1.0, abs=4 * float(np.std(final)) / math.sqrt(len(final)))


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.0, 0.5, 1.0]), max_size=60))
def test_the_bound_is_the_margin_at_which_the_capital_suffices(differences: list[float]) -> None:
    bound = loss_upper(differences, 0.05)
    assert 0 < bound <= 1
    if bound < 1:
        assert highest_log_capital(differences, bound + 1e-4 if bound < 0.999 else bound) >= math.log(20) - 1e-6


def test_what_is_worse_is_shown_worse() -> None:
    assert highest_log_capital_for_worse([1.0] * 8, 0.02) > math.log(20)
    assert highest_log_capital_for_worse([0.0] * 500, 0.02) < math.log(20)


def test_losses_beyond_the_margin_need_more_than_there_is() -> None:
    assert outcomes_expected(0.03, 0.03, margin=0.02, alpha=0.05) is None
    few, many = (outcomes_expected(mean, mean, margin=0.02, alpha=0.05) for mean in (0.001, 0.01))
    assert few is not None
    assert many is not None
    assert few < many


# ------------------------------------------------------------------------------------------------ the gates


def test_a_certified_gate_passes_its_share_to_the_next_wider_one() -> None:
    assert starting_shares(5, 8) == (0.25, 0.0, 0.0, 0.25, 0.0, 0.5, 0.0, 0.0)
    enough = math.log(1 / (0.5 * 0.05)) + 0.01
    passed = pass_gates([0.0, 0.0, 0.0, 0.0, 0.0, enough, enough, 0.0], starting_shares(5, 8), 0.05)
    assert passed.certified == (5, 6)
    assert passed.widest == 6


def test_the_widest_hands_its_share_to_a_tighter_one() -> None:
    nearly = math.log(1 / (0.75 * 0.05)) + 0.01
    alone = pass_gates([nearly, 0.0], (0.25, 0.75), 0.05)
    assert alone.certified == ()
    both = pass_gates([nearly, nearly], (0.25, 0.75), 0.05)
    assert set(both.certified) == {0, 1}


@given(st.lists(st.floats(0, 12), min_size=1, max_size=16), st.integers(0, 15))
def test_more_capital_certifies_no_fewer(capitals: list[float], first: int) -> None:
    shares = starting_shares(min(first, len(capitals) - 1), len(capitals))
    assert sum(shares) == pytest.approx(1)
    before = pass_gates(capitals, shares, 0.05)
    after = pass_gates([capital + 1 for capital in capitals], shares, 0.05)
    assert set(before.certified) <= set(after.certified)


# ------------------------------------------------------------------------------------------------ the ledger


def test_a_cluster_of_new_inputs_bets_once_and_repeats_once_a_day() -> None:
    new = [outcome(0, cluster="a"), outcome(1, cluster="a", loss=1.0), outcome(2, cluster="b")]
    repeats = [outcome(n, cluster="c", day=day, stratum="repeats") for n, day in ((3, 1), (4, 1), (5, 2))]
    assert [o.place for o in bets([*reversed(new), *repeats], "new")] == [0, 2]
    assert [o.place for o in bets(repeats, "repeats")] == [3, 5]


def test_whole_when_the_widest_gate_is_certified() -> None:
    found = look(ONE_GATE, [outcome(n) for n in range(260)], STAKES)
    assert (found.gate, found.serves, found.coverage, found.whole) == (0.0, ("new", "repeats"), 1.0, True)
    assert found.loss_upper is not None
    assert found.loss_upper <= 0.02
    assert not look(replace(ONE_GATE, wary=(), thresholds=(0.5, 0.0), coverages=(0.5, 1.0)), [], STAKES).whole


def test_what_is_not_admitted_or_not_answered_is_neither_covered_nor_a_loss() -> None:
    kept = [outcome(n) for n in range(0, 600, 2)]
    others = [
        outcome(n, loss=1.0, **({"admitted": False} if n % 4 == 1 else {"answered": False})) for n in range(1, 600, 2)
    ]
    found = look(ONE_GATE, [*kept, *others], STAKES)
    assert found.gate == 0.0
    assert found.coverage == pytest.approx(0.5)
    assert found.loss_upper == look(ONE_GATE, kept, STAKES).loss_upper


def test_a_part_that_is_safe_moves_alone() -> None:
    drawn = random.Random(3)
    outcomes = [
        outcome(n, confidence=0.9 if sure else 0.2, loss=0.0 if sure else float(drawn.random() < 0.3))
        for n in range(900)
        for sure in [drawn.random() < 0.5]
    ]
    found = look(terms(first=0), outcomes, STAKES)
    assert found.gate == 0.5
    assert not found.whole
    assert found.coverage == pytest.approx(0.5, abs=0.06)


def test_only_repeats_are_served_where_only_they_are_shown() -> None:
    outcomes = [outcome(n, cluster=f"c{n}", stratum="repeats", day=n % 9) for n in range(400)]
    outcomes += [outcome(n, loss=float(n % 10 == 0)) for n in range(1_000, 1_080)]
    found = look(replace(ONE_GATE, new_share=0.2), outcomes, Stakes(margin=0.02, alpha=0.05, repeats_share=0.8))
    assert found.serves == ("repeats",)
    assert found.coverage == pytest.approx(0.8)


def test_repeats_that_are_shown_worse_are_not_served() -> None:
    outcomes = [outcome(n) for n in range(500)]
    outcomes += [outcome(n, stratum="repeats", day=n, loss=float(n % 5 == 0)) for n in range(1_000, 1_200)]
    found = look(replace(ONE_GATE, new_share=0.7), outcomes, Stakes(margin=0.02, alpha=0.05, repeats_share=0.3))
    assert found.serves == ("new",)
    assert found.coverage == pytest.approx(0.7)


def test_a_loss_per_request_above_the_margin_stops_a_move() -> None:
    """One input that is asked for a tenth of the time, and answered wrongly."""
    outcomes = [outcome(n) for n in range(700)]
    outcomes[600] = outcome(600, loss=1.0, requests=80)
    found = look(ONE_GATE, outcomes, STAKES)
    ledger = found.ledger("new")
    assert ledger is not None
    assert ledger.gate == 0
    assert ledger.loss_per_request > 0.02
    assert found.gate is None
    assert found.stopped is not None
    assert "most often" in found.stopped


@pytest.mark.parametrize(("lost", "stops"), [(6, True), (0, False)])
def test_a_rare_label_that_is_always_missed_stops_a_move(lost: int, stops: bool) -> None:
    """Whatever the mean loss, and together with other rare ones."""
    outcomes = [outcome(n) for n in range(900)]
    for n in range(100, 108):
        missed = n - 100 < lost
        outcomes[n] = outcome(n, label=("no", "maybe")[n % 2], loss=float(missed), hosted=0.0)
    found = look(ONE_GATE, outcomes, STAKES)
    ledger = found.ledger("new")
    assert ledger is not None
    assert ledger.gate == 0
    assert ledger.loss_upper <= 0.02
    assert (found.gate is None) is stops
    assert ("rare" in (found.stopped or "")) is stops
    assert look(ONE_GATE, [replace(o, label=None) for o in outcomes], STAKES).gate == 0.0


def test_a_frequent_label_may_be_wrong_now_and_then() -> None:
    outcomes = [outcome(n, label="no" if n % 15 == 0 else "yes") for n in range(1_500)]
    few = [replace(o, loss_local=1.0) if o.place in (150, 300, 450) else o for o in outcomes]
    many = [replace(o, loss_local=1.0) if o.label == "no" and o.place % 60 == 0 else o for o in outcomes]
    assert look(ONE_GATE, few, STAKES).gate == 0.0
    stopped = look(ONE_GATE, many, replace(STAKES, margin=0.05))
    assert stopped.gate is None
    assert "'no'" in (stopped.stopped or "")


def test_a_hopeless_candidate_is_futile_after_dozens() -> None:
    assert look(ONE_GATE, [outcome(n, loss=1.0) for n in range(12)], STAKES).futile
    assert not look(ONE_GATE, [outcome(n, loss=float(n == 3)) for n in range(60)], STAKES).futile


@given(st.permutations(range(40)))
def test_the_order_in_which_outcomes_are_handed_in_does_not_matter(order: list[int]) -> None:
    outcomes = [outcome(n, loss=float(n % 13 == 5), confidence=(n * 7 % 10) / 10) for n in range(40)]
    shuffled: list[Outcome] = [outcomes[n] for n in order]
    assert look(terms(), shuffled, STAKES) == look(terms(), outcomes, STAKES)


def test_how_many_more_are_needed() -> None:
    few = [outcome(n, loss=float(n == 20)) for n in range(60)]
    found = look(ONE_GATE, few, STAKES)
    needed = bets_needed(ONE_GATE, found, STAKES)
    assert needed is not None
    assert needed > fewest_bets(ONE_GATE, STAKES) == 177
    lost = look(ONE_GATE, [outcome(n, loss=float(n % 8 == 0)) for n in range(60)], STAKES)
    assert bets_needed(ONE_GATE, lost, STAKES) is None


def test_figures_by_label_show_a_rare_answer_that_is_missed() -> None:
    outcomes = [outcome(n, label="no", answer="no") for n in range(90)]
    outcomes += [outcome(n, label="yes", answer="no", loss=1.0) for n in range(90, 100)]
    no, yes = label_figures(outcomes, 0.0)
    assert (no.label, no.n, no.recall, no.wrong) == ("no", 90, 1.0, 0.0)
    assert (yes.label, yes.n, yes.recall, yes.wrong) == ("yes", 10, 0.0, 1.0)
    assert yes.high < 0.35


# -------------------------------------------------------------------------------------- the promise, simulated


def test_a_task_is_wrongly_certified_in_at_most_the_budget() -> None:
    """Candidate after candidate (recipes, models, refits), each exactly at the margin at every gate and looked at after
    every exchange. `bench/looks.py` does it through the whole pipeline, beside the former design."""
    drawn = np.random.default_rng(11)
    runs = 250
    wrong = sum(any(_ever_certified(drawn, 0.05 / (k * (k + 1))) for k in range(1, 13)) for _ in range(runs))
    assert wrong / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def _ever_certified(drawn: np.random.Generator, alpha: float, n: int = 800) -> bool:
    """The highest capital is what any of the looks saw."""
    lost, confidence = (drawn.random(n) < 0.02).astype(float), drawn.random(n)
    capitals = [highest_log_capital(lost[confidence >= threshold], 0.02) for threshold in (0.6, 0.3, 0.0)]
    return bool(pass_gates(capitals, starting_shares(1, 3), alpha).certified)
