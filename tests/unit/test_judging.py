"""Free text from the criterion to the review: a judge that nobody checked certifies nothing; people decide blind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insource.cli.side_by_side import side_by_side
from insource.core.values import JsonObject
from insource.workflows.prove import judging
from insource.workflows.prove.criterion import choose_criterion
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.review import judge, open_review, read_csv, write_csv
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.serving import completion
from tests.fakes.traffic import engine_that, exchange, message


def knows(body: JsonObject) -> JsonObject:
    """A judge that sees an answer with a slip in it."""
    shown: Any = json.loads(body["messages"][-1]["content"].split("\n\n", 1)[1])
    slips = ["slip" in shown[f"answer {n}"] for n in (1, 2)]
    return completion(json.dumps({"better": 0 if slips[0] == slips[1] else 2 if slips[0] else 1}))


def written(text: str) -> str:
    """What the candidate writes: another wording, now and then a slip."""
    return f"We read your lines and {'slip' if sum(map(ord, text)) % 5 == 0 else 'answer'} soon: {text[:30]}."


async def test_a_judge_is_calibrated_by_blind_reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging.JudgeUpstream, "ask", lambda self, body: knows(body))
    with evaluating(tmp_path, engine_that(written), margin=0.3) as (services, _):
        log = [
            exchange(n, label=f"Dear customer, we wrote about {message(n)[0][:40]}.", reference=None)
            for n in range(300)
        ]
        services.exchanges.append(log)
        find_tasks(services)
        task = only_task(services)
        choose_criterion(services, task.id, "judge", arguments={"upstream": "http://127.0.0.1:9", "model": "j"})
        first = await evaluate(services)
        assert first.best is None
        assert "0 of 50 pairs" in first.reason + " ".join(e.reason for e in first.evaluations)

        review = open_review(services, task.id)
        assert review.blind
        assert len(review.waiting) > 90, "also those that the judge finds as good"
        firsts = [each.sides[0] == each.answer for each in review.waiting]
        assert 0.3 < sum(firsts) / len(firsts) < 0.7
        for each in review.waiting[:20]:
            side = "a" if "slip" in each.sides[1] else "b" if "slip" in each.sides[0] else None
            judge(services, task, each, choice="both" if side is None else each.choice_of(side))

        path = tmp_path / "review.csv"
        review = open_review(services, task.id)
        write_csv(review, path)
        lines = path.read_text().splitlines()
        assert lines[0] == "exchange_id,request,a,b,verdict"
        told = [lines[0]]
        for line, each in zip(lines[1:], review.waiting, strict=True):
            a, b = ("slip" in side for side in each.sides)
            told.append(line + ("both" if a == b else "b" if a else "a"))
        path.write_text("\n".join(told))
        read_csv(services, review, path)
        assert open_review(services, task.id).waiting == ()

        second = await evaluate(services)
        (evaluation,) = second.evaluations
        assert any("agrees with people" in warning for warning in evaluation.warnings)
        if evaluation.certificate_id is not None:
            assert evaluation.loss_upper is not None
            assert evaluation.loss_upper > 0.15, "a fifth of the answers are slips, less what the gate leaves out"


def test_two_texts_stand_beside_each_other() -> None:
    shown = side_by_side("one two three " * 10, "short", width=80).splitlines()
    assert all(len(line) <= 80 for line in shown)
    assert "short" in shown[1]
    assert side_by_side("x", "y", width=30) == "a: x\n\nb: y"
