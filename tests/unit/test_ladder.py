"""The ladder: what a dearer candidate must show, and the command from the log to its report."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from insource.core.errors import TrainingFailed, UsageError
from insource.core.evidence import Outcome, Verdict
from insource.core.fakes import FakeEngine
from insource.core.values import EngineSettings, Model
from insource.evals.ladder import Answers, area_of, compare
from insource.workflows.prove.adapt import Wish, adapt_larger, adapt_task, ladder_json
from insource.workflows.prove.find_tasks import find_tasks
from tests.fakes.evaluating import KNOWING, evaluating, only_task
from tests.fakes.traffic import engine_that, exchanges


def outcomes(seed: int, *, right: float, knows: float, n: int = 600) -> list[Outcome]:
    """Right so often; `knows`: how far the confidence of right answers lies above that of wrong ones."""
    draw = random.Random(seed)
    found: list[Outcome] = []
    for place in range(n):
        wrong = draw.random() >= right
        found.append(
            Outcome(
                exchange_id=f"x{place}",
                place=place,
                cluster=f"x{place}",
                stratum="new",
                day=0,
                answer="",
                confidence=draw.random() * (1 - knows) + (0.0 if wrong else knows),
                admitted=True,
                answered=True,
                label=None,
                loss_local=float(wrong),
                loss_hosted=0.0,
            )
        )
    return found


def step(cheaper: Answers, dearer: Answers) -> bool:
    found = compare(cheaper, dearer, confidence=0.95, seed=0)
    assert found is not None
    return found.gains


def test_more_coverage_is_a_gain_and_less_is_none() -> None:
    same = outcomes(0, right=0.9, knows=0.5)
    assert step(Answers(outcomes=same, gate=0.8), Answers(outcomes=same, gate=0.5))
    assert not step(Answers(outcomes=same, gate=0.5), Answers(outcomes=same, gate=0.8))
    assert step(Answers(outcomes=same, gate=None), Answers(outcomes=same, gate=0.5))


def test_to_know_better_is_a_gain_and_to_be_right_more_often_without_knowing_is_not() -> None:
    cheaper = Answers(outcomes=outcomes(1, right=0.85, knows=0.1), gate=None)
    assert step(cheaper, Answers(outcomes=outcomes(1, right=0.85, knows=0.9), gate=None))
    knowing = Answers(outcomes=outcomes(1, right=0.85, knows=0.9), gate=None)
    assert not step(knowing, Answers(outcomes=outcomes(2, right=0.90, knows=0.0), gate=None))


@pytest.mark.parametrize("seed", range(20))
def test_equal_candidates_hardly_ever_gain(seed: int) -> None:
    """All twenty would be by chance once in 10^26; one or two are the level."""
    one, other = (Answers(outcomes=outcomes(s, right=0.9, knows=0.4), gate=0.5) for s in (seed, seed + 100))
    found = compare(one, other, confidence=0.999, seed=0)
    assert found is not None
    assert not found.gains


def test_who_knows_has_less_area_and_a_constant_has_its_mean_loss() -> None:
    knowing, unknowing = (area_of(outcomes(3, right=0.8, knows=k)) for k in (0.9, 0.0))
    assert knowing is not None
    assert unknowing is not None
    assert knowing < 0.1 < unknowing
    assert area_of([]) is None


def test_few_inputs_are_not_compared() -> None:
    few = Answers(outcomes=outcomes(0, right=0.9, knows=0.5, n=20), gate=0.5)
    assert compare(few, few, confidence=0.95, seed=0) is None


async def test_it_stops_where_the_rest_could_buy_little_and_says_so(tmp_path: Path) -> None:
    with evaluating(tmp_path, recipes=("head", "prompt"), margin=0.05) as (services, engine):
        services.exchanges.append(exchanges(500))
        find_tasks(services)
        ladder = await adapt_task(services, only_task(services))
        assert [rung.recipe for rung in ladder.rungs] == ["head"]
        assert ladder.stopped.startswith("Stopped at head: it may answer")
        assert engine.calls == []
        (rung,) = ladder.rungs
        assert rung.state == "taken"
        assert rung.milliseconds is not None
        assert rung.size_bytes > 0
        told = ladder_json(ladder)
        assert told["best"] == ladder.evaluation.decision.candidate_id
        (event,) = services.registry.events(kind="adapted")
        assert event.figures["coverage"] == rung.coverage


async def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, _):
        services.exchanges.append(exchanges(100))
        find_tasks(services)
        with pytest.raises(UsageError, match="no recipe"):
            await adapt_task(services, only_task(services), wish=Wish(recipes=["magic"]))


@pytest.mark.parametrize("knows", [True, False])
async def test_a_larger_model_is_a_rung_by_the_same_rule(knows: bool, tmp_path: Path) -> None:
    unknowing = engine_that(lambda text: "card")
    with evaluating(tmp_path, unknowing, margin=0.05) as (services, small):
        large, file = FakeEngine(KNOWING if knows else unknowing), services.find_model("")

        def engine(model: Model, settings: EngineSettings) -> FakeEngine:
            return large if model.ref == "large" else small

        both = replace(services, make_engine=engine, find_model=lambda ref: replace(file, ref=ref or "small"))
        services.exchanges.append(exchanges(500))
        find_tasks(services)
        before = await adapt_task(both, only_task(both))
        assert before.may_go_on
        assert large.calls == []
        asked = len(small.calls)
        after = await adapt_larger(both, only_task(both), before, ref="large")
        assert [rung.recipe for rung in after.rungs] == ["prompt", "prompt on large"]
        assert after.rungs[:1] == before.rungs
        assert len(small.calls) == asked, "what is known is not measured again"
        assert after.rungs[1].state == ("taken" if knows else "refused")
        assert after.may_go_on is not knows
        assert (after.best is not None) is knows


async def test_a_training_that_breaks_ends_its_rung_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*job: object, **more: object) -> None:
        raise TrainingFailed("The training process ended with code -9.", next_step="Start it again.")

    monkeypatch.setattr("insource.adapt.lora.recipe.train", breaks)
    unknowing = engine_that(lambda text: "card")
    with evaluating(tmp_path, unknowing, recipes=("prompt", "lora"), margin=0.05) as (services, _):
        services.exchanges.append(exchanges(500))
        find_tasks(services)
        ladder = await adapt_task(services, only_task(services), wish=Wish(terms_noticed=True))
        prompt, lora = ladder.rungs
        assert prompt.trial is not None
        assert (lora.recipe, lora.state) == ("lora", "refused")
        assert lora.reason == "The training process ended with code -9. Start it again."
        assert ladder.evaluation.verdict is Verdict.MORE_DATA
