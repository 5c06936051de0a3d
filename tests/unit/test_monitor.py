"""What the samples of a move lead to, simulated with fixed seeds; bench/watching.py has more runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import Stage
from insource.routing.monitor import (
    Again,
    Novelty,
    Sample,
    SideAgain,
    Standing,
    after_change,
    after_round,
    change_began,
    diagnose,
    promotion,
)
from insource.stats.change import Watched, detector, watch
from tests.fakes.anchors import side

START = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = detector(0.01)


def standing(differences: Sequence[float], stage: Stage = Stage.LIVE, **more: object) -> Standing:
    samples = [
        Sample(exchange_id=f"e{at}", created=START + timedelta(minutes=at), difference=d)
        for at, d in enumerate(differences)
    ]
    return Standing(stage=stage, samples=samples, margin=0.02, **{"certified": True, **more})  # pyright: ignore[reportArgumentType]


def drawn(n: int, rate: float, seed: int) -> list[float]:
    return [float(each) for each in np.random.default_rng(seed).random(n) < rate]


# ------------------------------------------------------------------------------------------------ the detector


@pytest.mark.parametrize("base", [0.0, 0.005, 0.01])
def test_five_points_more_are_found_within_350_samples_in_nine_of_ten_runs(base: float) -> None:
    """After 1,000 samples without a change."""
    found = 0
    for seed in range(200):
        before = watch(drawn(1_000, base, seed), GOOD)
        if not before.found:
            found += watch(drawn(350, base + 0.05, 10_000 + seed), GOOD, seen=before).found
    assert found >= 180


@pytest.mark.parametrize("base", [0.0, 0.005, 0.01])
def test_without_a_change_nothing_is_found_in_19_of_20_runs(base: float) -> None:
    assert sum(watch(drawn(5_000, base, seed), GOOD).found for seed in range(200)) <= 10


def test_where_the_hosted_model_is_wrong_too_the_sum_must_rise_higher() -> None:
    noisy = detector(0.01, better=0.03)
    assert noisy.threshold > GOOD.threshold
    rng = np.random.default_rng(5)
    runs = [np.where((u := rng.random(5_000)) < 0.04, 1.0, np.where(u < 0.07, -1.0, 0.0)) for _ in range(60)]
    assert sum(watch(run.tolist(), noisy).found for run in runs) <= 3


@given(st.lists(st.floats(-1, 1), max_size=300), st.integers(0, 300))
def test_it_does_not_matter_when_somebody_looks(differences: list[float], at: int) -> None:
    whole = watch(differences, GOOD)
    parts = watch(differences[at:], GOOD, seen=watch(differences[:at], GOOD))
    assert whole == parts
    assert whole.total < GOOD.threshold + 1


def test_when_the_change_began_is_near() -> None:
    state = standing([0.0] * 400 + drawn(300, 0.3, 1))
    watched = state.watched
    assert watched.found_at is not None
    assert 390 <= watched.since <= 420
    assert change_began(state, watched) == START + timedelta(minutes=watched.since)


# ------------------------------------------------------------------------------------------------ what changed


@pytest.mark.parametrize("size", [0.05, 0.06, 0.12])
@pytest.mark.parametrize("cause", ["system", "reference", "traffic"])
def test_what_changed_is_named_right_in_95_of_100_replays(cause: str, size: float) -> None:
    """A loss of five points more needs at least that share of other answers."""
    here, hosted = size * (cause == "system"), size * (cause == "reference")
    named = [diagnose(Again(here=side(here, seed), hosted=side(hosted, 1_000 + seed))) for seed in range(100)]
    assert sum(each == (cause,) for each in named) >= 95


@pytest.mark.parametrize("asked", [40, 100, 200, 300])
@pytest.mark.parametrize("ambiguous", [0.0, 0.04, 0.2])
def test_what_the_anchors_do_not_show_is_unknown_rather_than_wrong(asked: int, ambiguous: float) -> None:
    """Also with few of them, or many whose answer is a matter of chance."""

    def wrong(cause: str, here: float, seed: int) -> bool:
        again = Again(
            here=side(here, seed, asked=asked, ambiguous=ambiguous),
            hosted=side(0.0, 5_000 + seed, asked=asked, ambiguous=ambiguous),
        )
        return diagnose(again) not in ((cause,), ("unknown",))

    assert sum(wrong("system", 0.05, seed) for seed in range(100)) <= 5
    assert sum(wrong("traffic", 0.0, 200 + seed) for seed in range(100)) <= 5


@given(st.integers(0, 500), st.data())
def test_a_side_is_cleared_only_where_it_was_asked_enough(asked: int, data: st.DataObject) -> None:
    turned = data.draw(st.integers(0, asked))
    returned = data.draw(st.integers(0, asked - turned))
    found = SideAgain(asked=asked, turned=turned, returned=returned)
    assert found.changed is not False or asked >= 76
    assert found.changed is not True or turned > returned
    fewer = SideAgain(asked=asked, turned=max(turned - 1, 0), returned=returned)
    assert (found.changed is not False) or fewer.changed is False


def test_what_could_not_be_asked_is_unknown_and_both_may_have_changed() -> None:
    quiet = side(0.0, 1)
    assert diagnose(Again(here=quiet, hosted=SideAgain())) == ("unknown",)
    few = SideAgain(asked=60)
    assert diagnose(Again(here=few, hosted=few)) == ("unknown",)
    assert diagnose(Again(here=side(0.3, 1), hosted=side(0.3, 2))) == ("system", "reference")


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.LIVE])
def test_the_candidates_fault_rolls_back_and_the_hosted_models_does_not(stage: Stage) -> None:
    state = standing([0.0] * 50 + [1.0] * 10, stage)
    watched = state.watched
    quiet, loud = side(0.0, 3), side(0.4, 4)
    for again, kind in (
        (Again(here=loud, hosted=quiet), "rolled back"),
        (Again(here=quiet, hosted=quiet), "rolled back"),
        (Again(here=SideAgain(), hosted=SideAgain()), "rolled back"),
        (Again(here=loud, hosted=loud), "rolled back"),
        (Again(here=quiet, hosted=loud), "reference changed"),
    ):
        step = after_change(state, watched, again, novelty=Novelty(before=100, since=100, escalated_since=40))
        assert step.kind == kind
        assert step.stage is (Stage.ROLLED_BACK if kind == "rolled back" else None)
        assert "of 300" in step.text or "unknown" in step.text or "other things" in step.text
        assert step.text[0].isupper()


def test_a_shadow_that_is_worse_answered_nobody() -> None:
    state = standing([1.0] * 20, Stage.SHADOW)
    step = after_change(state, state.watched, Again(here=SideAgain(), hosted=SideAgain()), novelty=Novelty())
    assert (step.kind, step.stage) == ("worse in shadow", None)


def test_scheduled_rounds_are_quiet_for_years() -> None:
    alarms = [after_round(Again(here=side(0.0, seed), hosted=side(0.0, 9_000 + seed))) for seed in range(500)]
    assert sum(each is not None for each in alarms) <= 3
    step = after_round(Again(here=side(0.0, 1), hosted=side(0.2, 2)))
    assert step is not None
    assert (step.kind, step.stage) == ("reference changed", None)


# ------------------------------------------------------------------------------------------------ promotion


@pytest.mark.parametrize(("stage", "following"), [(Stage.SHADOW, Stage.CANARY), (Stage.CANARY, Stage.LIVE)])
def test_a_quiet_stage_is_followed_by_the_next(stage: Stage, following: Stage) -> None:
    state = standing([0.0] * 100, stage)
    step = promotion(state, by_itself=True)
    assert step is not None
    assert (step.kind, step.stage) == ("promoted", following)
    told = promotion(state, by_itself=False)
    assert told is not None
    assert (told.kind, told.stage, told.figures["to"]) == ("suggestion", None, following.value)


@pytest.mark.parametrize(
    "state",
    [
        standing([0.0] * 99, Stage.CANARY),
        standing([0.0] * 100, Stage.CANARY, certified=False),
        standing([0.0] * 100, Stage.CANARY, faults=0.05),
        standing([0.0] * 95 + [1.0] * 5, Stage.CANARY),
        standing([0.0] * 100, Stage.LIVE),
    ],
    ids=["too few", "no certificate", "faults", "worse", "live already"],
)
def test_what_is_not_shown_is_not_promoted(state: Standing) -> None:
    assert promotion(state, by_itself=True) is None


def test_nothing_is_nothing() -> None:
    assert Standing(stage=Stage.LIVE, certified=True, samples=(), margin=0.02).watched == Watched()
