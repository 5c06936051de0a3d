"""A watched move from the log to the event: rolled back, warned of, promoted, expired; also after a kill."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from insource.core.values import Stage
from insource.routing.share import SharePlan
from insource.workflows.watch.anchors import TRIES, choose_anchors, rounds_of
from tests.fakes.watching import Watched, watching

SOME: dict[str, Any] = {"anchors": 80, "flush_seconds": 0.001}


def flips(text: str) -> str:
    """Another answer to a third of the old requests."""
    return "no" if sum(map(ord, text)) % 3 == 0 else "yes"


async def rounds_begin(watched: Watched) -> None:
    """The first look asks the anchors of both sides."""
    await watched.watcher.tick()
    rounds = rounds_of(watched.services, watched.move)
    assert (len(rounds.hosted), len(rounds.here)) == (1, 2)


@pytest.mark.parametrize("cause", ["system", "reference", "traffic"])
async def test_a_rise_of_losses_is_found_named_and_acted_on(tmp_path: Path, cause: str) -> None:
    with watching(tmp_path, **SOME) as watched:
        await rounds_begin(watched)
        watched.pairs([0.0] * 50)
        await watched.watcher.tick()
        assert watched.events() == watched.events("moved")
        if cause == "system":
            watched.here.answer = flips
        if cause == "reference":
            watched.hosted[0] = flips
        watched.pairs([1.0, 0.0] * 12)
        await watched.watcher.tick()
        (event,) = watched.events("rolled back", "reference changed")
        assert event.figures["causes"] == [cause]
        assert watched.move.stage is (Stage.LIVE if cause == "reference" else Stage.ROLLED_BACK)
        assert event.text.startswith("'Yes or no'")
        await watched.watcher.tick()
        assert len(watched.events("rolled back", "reference changed")) == 1, "it is said once"


@pytest.mark.parametrize("always", [True, False])
async def test_what_is_answered_otherwise_is_asked_again_in_its_round(tmp_path: Path, *, always: bool) -> None:
    """An answer that varies is the first one again at the second or third time; a changed one never is."""
    with watching(tmp_path, **SOME) as watched:
        await rounds_begin(watched)
        asked = Counter[str]()

        def varies(text: str) -> str:
            asked[text] += 1
            return flips(text) if always or asked[text] < TRIES else "yes"

        watched.hosted[0] = varies
        watched.pairs([1.0, 0.0] * 12)
        await watched.watcher.tick()
        (event,) = watched.events("rolled back", "reference changed")
        assert event.figures["causes"] == ["reference" if always else "traffic"]
        others = [text for text in asked if flips(text) == "no"]
        assert {asked[text] for text in others} == {TRIES}
        assert {asked[text] for text in asked.keys() - {*others}} == {1}


async def test_a_first_round_that_was_cut_short_is_made_up_for(tmp_path: Path) -> None:
    """Each anchor's noise is that of its own first round."""
    with watching(tmp_path, budget_usd=0.1, **SOME) as watched:
        await watched.watcher.tick()
        assert 0 < len(next(iter(rounds_of(watched.services, watched.move).hosted.values()))) < 20
        watched.watcher.asking.shares._plan = SharePlan(share=0.02, usd_per_day=100.0)  # pyright: ignore[reportPrivateUsage]
        for _ in range(2):
            watched.clock.advance(8 * 86_400)
            await watched.watcher.tick()
        (watch,) = watched.watcher._watches.values()  # pyright: ignore[reportPrivateUsage]
        again = watch.again()
        assert (again.hosted.asked, again.here.asked) == (80, 80)


async def test_without_budget_or_key_the_cause_is_unknown_and_the_move_goes_back(tmp_path: Path) -> None:
    with watching(tmp_path, budget_usd=0.0, **SOME) as watched:
        watched.pairs([1.0] * 12)
        await watched.watcher.tick()
        assert watched.provider.calls == []
        (event,) = watched.events("rolled back")
        assert event.figures["causes"] == ["unknown"]


async def test_the_cost_of_anchors_stays_within_the_cap(tmp_path: Path) -> None:
    with watching(tmp_path, budget_usd=0.05, **SOME) as watched:
        await watched.watcher.tick()
        assert 0.05 <= watched.watcher.asking.shares.today.spent_usd <= 0.05 + 4 * 0.007 + 1e-9


async def test_a_hosted_model_that_changed_is_told_though_losses_did_not_rise(tmp_path: Path) -> None:
    with watching(tmp_path, **SOME) as watched:
        await rounds_begin(watched)
        watched.hosted[0] = flips
        watched.clock.advance(8 * 86_400)
        await watched.watcher.tick()
        (event,) = watched.events("reference changed")
        assert "The hosted model changed: it answers" in event.text
        assert watched.move.stage is Stage.LIVE


async def test_samples_count_once_whatever_is_stopped(tmp_path: Path) -> None:
    """Another watcher on the same store, as after a kill, or of a second gateway, sees what the first one saw."""
    with watching(tmp_path, **SOME) as watched:
        watched.pairs([1.0, 0.0, 0.0, 0.0] * 3)
        for _ in range(3):
            await watched.watcher.tick()
        watched.services.exchanges.append(watched.services.exchanges.read())
        first = next(iter(watched.watcher._watches.values()))  # pyright: ignore[reportPrivateUsage]
        assert len(first.standing().samples) == 12
        again = type(watched.watcher)(
            services=watched.services, asking=watched.watcher.asking, conversations=watched.watcher.conversations
        )
        await again.tick()
        second = next(iter(again._watches.values()))  # pyright: ignore[reportPrivateUsage]
        assert second.standing().samples == first.standing().samples
        watched.pairs([1.0] * 6)
        one, two = first.move, second.move
        assert one == two
        await watched.watcher.tick()
        await again.tick()
        assert len(watched.events("rolled back")) == 1


@pytest.mark.parametrize("promote", ["suggest", "auto"])
async def test_a_quiet_shadow_goes_on(tmp_path: Path, promote: str) -> None:
    with watching(tmp_path, stage=Stage.SHADOW, promote=promote, **SOME) as watched:
        watched.pairs([0.0] * 99, shadow=True)
        await watched.watcher.tick()
        assert not watched.events("suggestion", "promoted")
        watched.pairs([0.0] * 5, shadow=True)
        for _ in range(3):
            await watched.watcher.tick()
        if promote == "suggest":
            (event,) = watched.events("suggestion")
            assert "insource move t1 --to head-1 --stage canary" in event.text
            assert watched.move.stage is Stage.SHADOW
        else:
            assert watched.move.stage is Stage.CANARY
            assert len(watched.events("promoted")) == 1


async def test_a_certificate_expires_and_its_move_goes_to_the_shadow(tmp_path: Path) -> None:
    with watching(tmp_path, anchors=0, certificate_days=5, flush_seconds=0.001) as watched:
        watched.clock.advance(4.9 * 86_400)
        await watched.watcher.tick()
        assert watched.move.stage is Stage.LIVE
        watched.clock.advance(86_400)
        await watched.watcher.tick()
        assert watched.move.stage is Stage.SHADOW
        (event,) = watched.events("expired")
        assert "insource evaluate t1" in event.text


def test_anchors_are_a_fixed_set(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        chosen = choose_anchors(watched.services, watched.move, most=20)
        watched.pairs([0.0] * 40)
        assert [e.id for e in choose_anchors(watched.services, watched.move, most=20)] == [e.id for e in chosen]
        assert len({e.id for e in chosen}) == 20
        assert [e.id for e in choose_anchors(watched.services, watched.move, most=30)][:20] == [e.id for e in chosen]
