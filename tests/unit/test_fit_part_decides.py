"""The fit part alone decides what a candidate is: features, examples, gates, floor. Evidence has no say in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from insource.core.values import Exchange
from insource.wire.chat import completion
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.traffic import LABELS, exchanges

RECIPES = ("head", "fewshot")
SIZE = 500


def relabelled(held: Exchange) -> Exchange:
    label = LABELS[(LABELS.index(held.reference or "") + 1) % len(LABELS)]
    return replace(held, reference=label, response=completion(id="c", created=0, model="gpt-4", text=label))


async def test_permuting_the_labels_of_evidence_changes_no_candidate(tmp_path: Path) -> None:
    log = exchanges(SIZE)
    with evaluating(tmp_path / "one", recipes=RECIPES) as (services, _):
        await evaluate(services, log)
        task = only_task(services)
        parts = {place.exchange_id: place.part for place in services.evidence.places(task.id)}
        before = {each.id for each in services.registry.candidates(task.id)}
    evidence = {id for id, part in parts.items() if part in ("evidence", "between")}
    assert len(evidence) > SIZE / 4
    assert {id.partition("-")[0] for id in before} == set(RECIPES)
    permuted = [relabelled(each) if each.id in evidence else each for each in log]
    with evaluating(tmp_path / "other", recipes=RECIPES) as (services, _):
        await evaluate(services, permuted)
        assert {each.id for each in services.registry.candidates(only_task(services).id)} == before
