"""Free text from the criterion to the review: a judge that nobody checked certifies nothing; people decide blind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insource.cli.side_by_side import side_by_side
from insource.core.evidence import Verdict
from insource.core.fakes import json_reply
from insource.core.ports import Call, Reply
from insource.core.values import JsonObject
from insource.wire.chat import completion as chat_completion
from insource.wire.chat import user_text
from insource.workflows.prove import judging
from insource.workflows.prove.criterion import choose_criterion
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.review import judge, open_review, read_csv, write_csv
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.serving import completion
from tests.fakes.traffic import engine_that, exchange, exchanges, label_of, message


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


@pytest.mark.parametrize("slips", [0.0, 0.3])
async def test_free_text_is_decided_by_reviews_alone(tmp_path: Path, slips: float) -> None:
    """Nothing is certified or dropped before a person has said which answers are right; the ledger waits for her."""

    def worded(text: str) -> str:
        return f"Shortly said, {'slip' if sum(map(ord, text)) % 100 < 100 * slips else 'fine'}: {text[:30]}."

    with evaluating(tmp_path, engine_that(worded), margin=0.05) as (services, _):
        services.exchanges.append(
            exchange(n, label=f"Dear customer, we wrote about {message(n)[0][:40]}.", reference=None)
            for n in range(300)
        )
        find_tasks(services)
        task = only_task(services)
        choose_criterion(services, task.id, "review", arguments={})
        found = await evaluate(services)
        assert found.verdict is Verdict.SAY_WHAT_COUNTS
        assert [trial.end for trial in found.trials] == ["waiting"]
        assert f"insource review {task.id}" in found.reason

        for _ in range(5):
            review = open_review(services, task.id)
            assert review.blind
            assert review.waiting
            for each in review.waiting:
                judge(services, task, each, choice="hosted" if "slip" in each.answer else "both")
            found = await evaluate(services)
            if found.verdict is not Verdict.SAY_WHAT_COUNTS:
                break
        assert found.verdict is (Verdict.KEEP if slips else Verdict.MOVE), found.reason


@pytest.mark.parametrize("reference_kind", ["hosted", "label"])
async def test_what_merely_differs_from_the_hosted_answer_is_worth_a_look(tmp_path: Path, reference_kind: str) -> None:
    """A label was given by a person; that a hosted answer differs says only that one of the two is wrong."""

    def nearly(call: Call) -> Reply:
        text = user_text(json.loads(call.body))
        said = "loan" if sum(map(ord, text)) % 15 == 0 else label_of(text)
        return json_reply(chat_completion(id="l", created=0, model="fake", text=said))

    with evaluating(tmp_path, nearly) as (services, _):
        found = await evaluate(services, exchanges(600, reference_kind=reference_kind))
        assert found.verdict not in (Verdict.MOVE, Verdict.MOVE_PART), found.reason
        assert ("insource review" in found.reason) == (reference_kind == "hosted"), found.reason
