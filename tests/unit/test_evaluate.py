"""Evaluations from the log to the verdict, with a scripted engine: what is certified, what not, and what is asked."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from insource.core.errors import EngineFailed
from insource.core.evidence import Example, Verdict
from insource.core.fakes import FakeClock, json_reply
from insource.core.ports import Call, Demand, Fitted, Learnt, Refusal, Reply
from insource.core.values import Exchange, JsonObject, LocalAnswer, OutputProfile
from insource.wire.chat import completion, user_text
from insource.workflows.prove import answers
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.criterion import choose_criterion
from insource.workflows.services import Services
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.traffic import LABELS, engine_that, exchange, exchanges, label_of, message


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(answers, "_PAUSE_SECONDS", 0.0)


async def test_what_is_right_is_certified_and_the_engine_is_asked_once_for_each(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, engine):
        found = await evaluate(services, exchanges(1_000))
        assert found.verdict in (Verdict.MOVE, Verdict.MOVE_PART), found.reason
        best = found.best
        assert best is not None
        assert best.loss_upper is not None
        assert best.loss_upper <= best.margin == 0.02
        assert best.coverage > 0.7
        assert (best.rank, best.alpha) == (1, pytest.approx(0.025))
        assert {each.label for each in best.labels} == set(LABELS)
        bodies = [call.body for call in engine.calls]
        assert len(bodies) == len(set(bodies))

        asked = len(bodies)
        again = await evaluate(services)
        assert len(engine.calls) == asked, "looking again asks nothing"
        assert again.best is not None
        assert again.best.alpha == best.alpha
        assert services.evidence.ranks(only_task(services).id) == {best.candidate_id: 1}, "and spends nothing"

        later = await evaluate(services, exchanges(200, start=1_000))
        assert later.best is not None
        assert later.best.candidate_id == best.candidate_id
        assert later.best.n >= best.n
        assert services.evidence.ranks(only_task(services).id) == {best.candidate_id: 1}


async def test_free_text_says_what_counts(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, engine):
        texts = [
            exchange(n, label=f"Dear customer, {message(n + 5_000)[0]}. We are sorry.", reference=None)
            for n in range(300)
        ]
        found = await evaluate(services, texts)
        assert found.verdict is Verdict.SAY_WHAT_COUNTS
        assert found.criterion.scorer is None
        assert "free text" in found.reason
        assert engine.calls == []


@pytest.mark.parametrize("size", [10, 150])
async def test_too_few_exchanges_are_more_data_with_a_number(tmp_path: Path, size: int) -> None:
    with evaluating(tmp_path) as (services, _):
        found = await evaluate(services, exchanges(size))
        assert found.verdict is Verdict.MORE_DATA
        assert found.n_needed is not None
        assert found.n_needed > size
        assert services.evidence.ranks(only_task(services).id) == {}, "nothing was looked at, so nothing is spent"


async def test_the_number_that_is_named_suffices(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, _):
        first = await evaluate(services, exchanges(400))
        assert first.verdict is Verdict.MORE_DATA
        assert first.n_needed is not None
        assert first.n_needed < 2_000
        second = await evaluate(services, exchanges(first.n_needed, start=400))
        assert second.best is not None, second.reason


def too_busy(call: Call) -> Reply:
    return json_reply({"error": {"message": "slow down", "type": "rate_limit"}}, status=429)


async def test_an_engine_that_never_answers_was_not_measured(tmp_path: Path) -> None:
    with evaluating(tmp_path, too_busy) as (services, engine):
        found = await evaluate(services, exchanges(400))
        assert found.verdict is Verdict.MORE_DATA
        assert [trial.end for trial in found.trials] == ["unmeasured"]
        assert "could not be measured" in found.reason
        assert "slow down" in found.reason
        assert len(engine.calls) < 100, "it is not asked for ever"


async def test_an_engine_that_fails_midway_was_not_measured_and_goes_on_there(tmp_path: Path) -> None:
    knows, alive = engine_that(label_of), [True]

    def answer(call: Call) -> Reply:
        if not alive[0]:
            raise EngineFailed("The engine is gone.", next_step="Start it.")
        if len(engine.calls) >= 250:
            alive[0] = False
        return knows(call)

    with evaluating(tmp_path, answer) as (services, engine):
        found = await evaluate(services, exchanges(1_000))
        assert found.best is None
        assert found.verdict is Verdict.MORE_DATA
        assert "could not be measured" in found.reason
        answered = {call.body for call in engine.calls[:250]}
        failed = len(engine.calls)
        engine.calls.clear()
        with evaluating(tmp_path, knows) as (second, healthy):
            again = await evaluate(second)
            assert again.best is not None, again.reason
            assert answered.isdisjoint(call.body for call in healthy.calls)
        assert failed < 350


async def test_a_fault_now_and_then_is_asked_again_and_no_loss(tmp_path: Path) -> None:
    knows = engine_that(label_of)
    tried: set[bytes] = set()

    def answer(call: Call) -> Reply:
        if random.Random(call.body).random() < 0.2 and call.body not in tried:
            tried.add(call.body)
            return too_busy(call)
        return knows(call)

    with evaluating(tmp_path, answer) as (services, _):
        found = await evaluate(services, exchanges(1_000))
        assert found.best is not None, found.reason
        assert found.best.covered is not None
        assert (found.best.covered.quality, found.best.unanswered) == (1.0, 0)
        assert len(tried) > 50


async def test_requests_at_which_the_engine_always_fails_are_counted_and_escalate(tmp_path: Path) -> None:
    knows = engine_that(label_of)

    def answer(call: Call) -> Reply:
        return too_busy(call) if random.Random(call.body).random() < 0.1 else knows(call)

    with evaluating(tmp_path, answer) as (services, _):
        found = await evaluate(services, exchanges(1_200))
        assert found.best is not None, found.reason
        assert found.best.unanswered > 0
        assert found.best.coverage < 0.95
        assert "The engine failed at" in found.reason


async def test_what_is_wrong_too_often_is_kept_hosted(tmp_path: Path) -> None:
    def often_wrong(text: str) -> str:
        return random.Random(text).choice(LABELS)

    with evaluating(tmp_path, engine_that(often_wrong)) as (services, engine):
        found = await evaluate(services, exchanges(1_000))
        assert found.verdict is Verdict.KEEP
        assert found.best is None
        assert len(engine.calls) <= 100, "the fit part tells"


async def test_a_budget_of_time_is_kept_and_the_next_look_goes_on(tmp_path: Path) -> None:
    clock, knows = FakeClock(), engine_that(label_of)

    def slow(call: Call) -> Reply:
        clock.advance(1.0)
        return knows(call)

    with evaluating(tmp_path, slow) as (services, engine):
        found = await evaluate(services, exchanges(1_000), budget=Budget(now=clock.monotonic, until=60.0))
        assert found.best is None
        assert "time was over" in found.reason
        first = {call.body for call in engine.calls}
        assert 60 <= len(engine.calls) <= 64
        again = await evaluate(services)
        assert again.best is not None, again.reason
        assert first.isdisjoint(call.body for call in engine.calls[len(first) :])


# -------------------------------------------------------------------------------- answerers that know nothing


def number(text: str) -> str:
    return str(random.Random(f"answer to {text}").randrange(1_000, 9_000))


def slots(text: str) -> str:
    drawn = random.Random(f"answer to {text}")
    return json.dumps({"size": drawn.randrange(900), "colour": drawn.choice(["red", "blue", "green", "black"])})


def rare(text: str) -> str:
    """Ninety-nine in a hundred say the same: within the margin, and every other answer would be missed."""
    return "card" if random.Random(f"answer to {text}").random() < 0.99 else "loan"


def any_label(text: str) -> str:
    return random.Random(f"answer to {text}").choice(LABELS)


def words(text: str) -> str:
    return f"Dear customer, {message(int(number(text)))[0]}."


ANSWERS: dict[str, Callable[[str], str]] = {
    "number": number, "json": slots, "rare label": rare, "label": any_label, "text": words
}  # fmt: skip
CRITERIA = {"text": "exact"}
"""Where no rule is sure, one that a user might choose all the same."""


@pytest.mark.parametrize("kind", ANSWERS)
async def test_who_knows_nothing_is_never_moved(tmp_path: Path, kind: str) -> None:
    """An echo, a constant, and one that knows by heart what it was fitted on, over every kind of output. The texts
    say nothing of the answers, so nobody can know them."""
    right = ANSWERS[kind]
    texts = [message(9_000 + n)[0] for n in range(640)]
    log = [
        exchange(
            n,
            text=text,
            response=completion(id="c", created=0, model="m", text=right(text)),
            reference=None,
            reference_kind=None,
        )
        for n, text in enumerate(texts)
    ]
    common = Counter(right(text) for text in texts).most_common(1)[0][0]
    knows_nothing = {"echo": lambda text: text, "constant": lambda text: common}
    for name, says in knows_nothing.items():
        with evaluating(tmp_path / name, engine_that(says)) as (opened, _):
            await _is_not_moved(opened, log, CRITERIA.get(kind))
    with evaluating(tmp_path / "heart") as (opened, _):
        await _is_not_moved(replace(opened, recipes={"by heart": ByHeart()}), log, CRITERIA.get(kind))


async def _is_not_moved(services: Services, log: Sequence[Exchange], criterion: str | None) -> None:
    found = await evaluate(services, log)
    if criterion is not None:
        assert found.verdict is Verdict.SAY_WHAT_COUNTS
        choose_criterion(services, only_task(services).id, criterion)
        found = await evaluate(services)
    assert found.criterion.scorer is not None
    assert found.best is None, found.reason
    assert found.verdict not in (Verdict.MOVE, Verdict.MOVE_PART)


class ByHeart:
    """A recipe that repeats what it was fitted on, says that it had not seen it, and is always sure."""

    name, effort = "by heart", 1
    learns, asks_model, trains, streams = True, False, False, False
    honours: frozenset[Demand] = frozenset()

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        return None if examples else Refusal(reason="There is no example.", examples_needed=1)

    def fit(self, output: OutputProfile, examples: Sequence[Example], *, seed: int) -> Learnt:
        known = Known({user_text(e.request): e.reference for e in examples})
        return Learnt(fitted=known, held_out={e.exchange_id: known.prepare(e.request) for e in examples})

    def load(self, artifact: bytes) -> Fitted:
        return Known(json.loads(artifact))


class Known:
    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._usual = Counter(answers.values()).most_common(1)[0][0]

    def prepare(self, request: JsonObject) -> LocalAnswer:
        return LocalAnswer(text=self._answers.get(user_text(request), self._usual), confidence=1.0)

    def read(self, completion: JsonObject) -> LocalAnswer:
        raise NotImplementedError

    def artifact(self) -> bytes:
        return json.dumps(self._answers, sort_keys=True).encode()
