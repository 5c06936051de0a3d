"""A task evaluated from end to end on a real store with a fake engine; certificates derived again and tampered with."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insource.config import Settings
from insource.core.errors import EmptyLog, EngineFailed, UpstreamError, UsageError
from insource.core.evidence import Example, Verdict
from insource.core.fakes import FakeEngine, json_reply
from insource.core.hashing import file_sha256
from insource.core.ports import Ask, Call, Reply
from insource.core.stores import ExchangeFilter
from insource.core.values import EngineState, Exchange, JsonObject, Matcher, ModelFile, OutputKind, OutputProfile, Task
from insource.engines.llamacpp import LlamaCppEngine
from insource.evals.answering import ANSWER_TOKENS, Answerer, bounded
from insource.evals.examples import to_example
from insource.evals.splits import part_of
from insource.wiring import open_services
from insource.workflows.prove.evaluate import TaskEvaluation, evaluate_task, evaluation_json, read_examples
from insource.workflows.prove.verify import VerifyReport, verify
from insource.workflows.serve.load_routing import engine_settings
from insource.workflows.services import Services

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = ("card", "refund", "transfer")
WORDS = {
    "card": ["card", "chip", "contactless", "plastic", "pin code"],
    "refund": ["refund", "money back", "returned item", "reimbursement", "charged twice"],
    "transfer": ["transfer", "wire", "iban", "abroad payment", "standing order"],
}
TASK = Task(
    id="task-00000001",
    name="Sort messages",
    matchers=(Matcher(kind="declared", value="sort"),),
    output=OutputProfile(kind=OutputKind.LABEL, labels=LABELS),
)


def message(n: int, label: str) -> str:
    drawn = random.Random(n)
    return f"{n}: about my {drawn.choice(WORDS[label])} and the {drawn.choice(WORDS[label])}, please"


def log(size: int) -> list[Exchange]:
    """Human labels, no hosted answers, in a mixed order."""
    return [
        Exchange(
            id=f"x{n:05}",
            created=START + timedelta(minutes=n),
            request={"model": "gpt", "messages": [{"role": "user", "content": message(n, label)}]},
            reference=label,
            reference_kind="label",
        )
        for n in range(size)
        for label in [LABELS[random.Random(n).randrange(3)]]
    ]


def completion(text: str, *, logprob: float = -0.1, finish: str = "stop") -> Reply:
    choice: JsonObject = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
        "logprobs": {"content": [{"token": text, "logprob": logprob}]},
    }
    return json_reply({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})


def told(call: Call) -> str:
    return json.loads(call.body)["messages"][-1]["content"]


def knowing(call: Call) -> Reply:
    """Always right."""
    text = told(call)
    return completion(next(label for label, words in WORDS.items() if any(word in text for word in words)))


def ignorant(call: Call) -> Reply:
    return completion("I would rather talk about the weather.")


@pytest.fixture
def model_file(tmp_path: Path) -> ModelFile:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    return ModelFile(ref="fake", path=path, sha256=file_sha256(path), size_bytes=13, source="file")


@pytest.fixture
def services(tmp_path: Path, model_file: ModelFile) -> Iterator[Services]:
    with open_services(Settings(home=tmp_path / "home")) as opened:  # pyright: ignore[reportCallIssue]  # fields have defaults
        yield replace(opened, find_model=lambda ref: model_file)


def with_engine(
    services: Services, answer: Callable[[Call], Reply], size: int, *, fail_start: bool = False
) -> tuple[Services, FakeEngine]:
    exchanges = log(size)
    services.exchanges.append(exchanges)
    services.registry.put_tasks([TASK])
    services.exchanges.assign({exchange.id: TASK.id for exchange in exchanges})
    engine = FakeEngine(answer, fail_start=fail_start)
    return replace(services, make_engine=lambda model, settings: engine), engine


async def test_a_flawless_model_moves_with_the_least_effort(services: Services) -> None:
    services, engine = with_engine(services, knowing, 700)
    found = await evaluate_task(services, TASK)
    assert found.verdict is Verdict.MOVE
    assert [e.gate for e in found.evaluations] == [0.0]
    assert found.best is not None
    assert found.best.loss_upper is not None
    assert found.best.loss_upper <= services.settings.margin
    assert found.best.covered is not None
    assert found.best.covered.quality == 1.0
    assert engine.state is EngineState.STOPPED
    assert services.registry.evaluations(TASK.id) == list(found.evaluations)


async def test_a_head_takes_over_from_a_hopeless_model(services: Services) -> None:
    services, engine = with_engine(services, ignorant, 900)
    found = await evaluate_task(services, TASK)
    assert found.verdict in (Verdict.MOVE, Verdict.MOVE_PART)
    assert found.decision.recipe == "head"
    assert [trial.end for trial in found.trials] == ["dropped", "dropped", "certified"]
    assert len(engine.calls) <= 2 * 48
    assert {part_of(e.input_sha256) for e in _asked(services, engine)} == {"train"}
    best = found.best
    assert best is not None
    assert best.alpha_used == pytest.approx(0.05)  # only the head survived to calibration


def _asked(services: Services, engine: FakeEngine) -> list[Example]:
    texts = {told(call) for call in engine.calls}
    examples, _ = read_examples(services, TASK.id)
    return [e for e in examples if e.request["messages"][-1]["content"] in texts]


async def test_nothing_that_works_is_kept(services: Services) -> None:
    services, _ = with_engine(services, ignorant, 700)
    found = await evaluate_task(services, TASK, recipes=["prompt", "constrained"])
    assert found.verdict is Verdict.ADAPT
    assert "head" in found.reason
    only_models = replace(services, recipes={k: v for k, v in services.recipes.items() if k != "head"})
    kept = await evaluate_task(only_models, TASK)
    assert kept.verdict is Verdict.KEEP
    assert "at least" in kept.reason
    assert kept.best is None


async def test_verdicts_repeat(services: Services) -> None:
    services, engine = with_engine(services, ignorant, 700)
    first = await evaluate_task(services, TASK)
    asked = sorted(call.body for call in engine.calls)
    engine.calls.clear()
    second = await evaluate_task(services, TASK)
    assert sorted(call.body for call in engine.calls) == asked
    assert (second.decision, second.trials) == (first.decision, first.trials)
    assert [e.candidate_id for e in second.evaluations] == [e.candidate_id for e in first.evaluations]


async def test_repeats_are_no_further_evidence(services: Services) -> None:
    services, engine = with_engine(services, ignorant, 700)
    await evaluate_task(services, TASK, recipes=["prompt"])
    once = len(engine.calls)
    repeated = [replace(e, id=f"{e.id}-{n}") for e in log(700) for n in range(3)]
    services.exchanges.append(repeated)
    services.exchanges.assign({exchange.id: TASK.id for exchange in [*log(700), *repeated]})
    engine.calls.clear()
    found = await evaluate_task(services, TASK, recipes=["prompt"])
    assert len(engine.calls) == once
    assert found.trials[0].n == once


async def test_too_few_exchanges_say_how_many_are_needed(services: Services) -> None:
    services, engine = with_engine(services, knowing, 40)
    found = await evaluate_task(services, TASK)
    assert (found.verdict, found.n_needed, engine.calls) == (Verdict.MORE_DATA, 60, [])
    services.exchanges.append(log(200))
    services.exchanges.assign({exchange.id: TASK.id for exchange in log(200)})
    more = await evaluate_task(services, TASK)
    assert more.verdict is Verdict.MORE_DATA
    assert more.n_needed is not None
    assert 400 < more.n_needed < 600  # 149 calibration inputs without a loss, at 30 % of the log
    assert engine.calls == []


async def test_what_can_not_be_evaluated_is_said(services: Services) -> None:
    with pytest.raises(EmptyLog):
        await evaluate_task(services, TASK)
    services, _ = with_engine(services, knowing, 700, fail_start=True)
    with pytest.raises(UsageError, match="nonsense"):
        await evaluate_task(services, TASK, recipes=["nonsense"])
    with pytest.raises(EngineFailed):
        await evaluate_task(services, TASK)


async def test_a_ready_engine_is_used_and_left_running(services: Services) -> None:
    services, engine = with_engine(services, ignorant, 700)
    await engine.start()
    await evaluate_task(services, TASK, recipes=["prompt"], engine=engine)
    assert engine.state is EngineState.READY


async def test_the_json_has_every_figure(services: Services) -> None:
    services, _ = with_engine(services, knowing, 700)
    found = await evaluate_task(services, TASK)
    shown = json.loads(json.dumps(evaluation_json(found.evaluations[0])))
    assert shown["verdict"] == "MOVE"
    assert {"n", "clusters", "worse", "better", "minimum_detectable_difference", "n_needed"} <= set(shown["covered"])


def test_an_answer_is_bounded_and_the_client_s_own_limit_kept() -> None:
    assert bounded(Ask(body={"a": 1})) == ({"a": 1, "max_tokens": ANSWER_TOKENS}, True)
    assert bounded(Ask(body={"max_tokens": 2000})) == ({"max_tokens": ANSWER_TOKENS}, True)
    assert bounded(Ask(body={"max_completion_tokens": 9})) == ({"max_completion_tokens": 9}, False)


@pytest.mark.parametrize(
    ("reply", "text", "confidence"),
    [
        (lambda call: completion("car", finish="length"), "", 1.0),
        (lambda call: json_reply({"error": {"message": "too long"}}, status=400), "", 0.0),
    ],
    ids=["cut", "refused"],
)
async def test_what_is_no_answer_counts_as_the_worst(
    services: Services, reply: Callable[[Call], Reply], text: str, confidence: float
) -> None:
    engine = FakeEngine(reply)
    await engine.start()
    fitted = services.recipes["prompt"].fit(TASK.output, [], seed=0)
    example = to_example(log(1)[0])
    assert not isinstance(example, str)
    answerer = Answerer(fitted, engine, slots=2)
    first, second = await answerer.answers([example, replace(example, exchange_id="again")])
    assert (first.text, first.confidence) == (text, confidence)
    assert second == first
    assert len(engine.calls) == answerer.asked == 1


async def test_a_broken_engine_is_not_a_wrong_answer(services: Services) -> None:
    services, _ = with_engine(services, lambda call: json_reply({}, status=500), 700)
    with pytest.raises(ExceptionGroup) as raised:
        await evaluate_task(services, TASK, recipes=["prompt"])
    assert raised.group_contains(UpstreamError)


@pytest.fixture
async def certified(services: Services) -> tuple[Services, TaskEvaluation, str]:
    services, _ = with_engine(services, knowing, 700)
    found = await evaluate_task(services, TASK)
    assert found.best is not None
    assert found.best.certificate_id is not None
    return services, found, found.best.certificate_id


def failed(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if not check.ok}


async def test_a_certificate_is_derived_again(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, _, name = certified
    report = verify(services, name)
    assert report.ok, failed(report)
    assert {"split", "scores", "gate", "audit", "artifact", "model file"} <= {c.name for c in report.checks}
    services.exchanges.append([replace(e, id=f"later-{e.id}") for e in log(20)])
    assert verify(services, name).ok  # a log that grew is no contradiction
    with pytest.raises(UsageError):
        verify(services, "cert-unknown")


async def test_a_changed_outcome_is_found(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, found, name = certified
    evaluation = found.evaluations[0]
    outcomes = services.registry.outcomes(evaluation.id)
    services.registry.put_evaluation(evaluation, [replace(outcomes[0], loss_local=1.0), *outcomes[1:]])
    report = verify(services, name)
    assert {"scores", "hash of outcomes"} <= failed(report)
    assert outcomes[0].exchange_id in next(c.detail for c in report.checks if c.name == "scores")


async def test_an_outcome_in_another_part_is_found(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, found, name = certified
    evaluation = found.evaluations[0]
    outcomes = services.registry.outcomes(evaluation.id)
    moved = replace(outcomes[0], part="test" if outcomes[0].part == "calibration" else "calibration")
    services.registry.put_evaluation(evaluation, [moved, *outcomes[1:]])
    assert {"split", "hash of outcomes"} <= failed(verify(services, name))


async def test_a_changed_reference_is_found(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, found, name = certified
    exchange_id = services.registry.outcomes(found.evaluations[0].id)[0].exchange_id
    held = next(iter(services.exchanges.read(ExchangeFilter(ids=frozenset({exchange_id})))))
    other = next(label for label in LABELS if label != held.reference)
    services.exchanges.set_reference(exchange_id, reference=other, kind="label")
    assert {"scores", "hash of references"} <= failed(verify(services, name))


async def test_a_changed_bound_is_found(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, found, name = certified
    evaluation = found.evaluations[0]
    outcomes = services.registry.outcomes(evaluation.id)
    services.registry.put_evaluation(replace(evaluation, loss_upper=0.001, gate=0.1), outcomes)
    assert {"gate", "loss_upper"} <= failed(verify(services, name))
    services.registry.put_evaluation(replace(evaluation, margin=0.2), outcomes)
    assert "hash of settings" in failed(verify(services, name))


async def test_a_forged_certificate_is_found(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, found, name = certified
    stored = services.registry.certificate(name)
    assert stored is not None
    forged = replace(stored[0], id="cert-forged", coverage=0.5)
    services.registry.put_certificate(forged, found.evaluations[0].id)
    assert {"certificate", "coverage", "derived again"} <= failed(verify(services, "cert-forged"))


async def test_a_changed_task_or_candidate_is_found(certified: tuple[Services, TaskEvaluation, str]) -> None:
    services, found, name = certified
    services.registry.put_tasks([replace(TASK, output=replace(TASK.output, labels=("card", "refund")))])
    assert "hash of task" in failed(verify(services, name))
    used = found.evaluations[0].candidate_id
    candidate = next(c for c in services.registry.candidates(TASK.id) if c.id == used)
    services.registry.put_candidate(replace(candidate, recipe="constrained"))
    assert "hash of candidate" in failed(verify(services, name))
    services.registry.put_tasks([])
    assert failed(verify(services, name)) == {"stored"}


async def test_a_changed_file_or_artifact_is_found(
    certified: tuple[Services, TaskEvaluation, str], model_file: ModelFile
) -> None:
    services, _, name = certified
    model_file.path.write_bytes(b"another model")
    assert failed(verify(services, name)) == {"model file"}
    model_file.path.unlink()
    assert failed(verify(services, name)) == {"model file"}

    class Swapped:
        def __getattr__(self, attribute: str) -> object:
            return getattr(services.registry, attribute)

        def artifact(self, sha256: str) -> bytes:
            return b"swapped"

    swapped = replace(services, registry=Swapped())  # pyright: ignore[reportArgumentType]  # everything else passes through
    assert "artifact" in failed(verify(swapped, name))


@pytest.mark.engine
async def test_the_real_model_is_asked_and_screened(services: Services, default_model_path: Path) -> None:
    model = ModelFile(
        ref="file:model",
        path=default_model_path,
        sha256=file_sha256(default_model_path),
        size_bytes=98_362_432,
        source="file",
    )
    exchanges = log(700)
    services.exchanges.append(exchanges)
    services.registry.put_tasks([TASK])
    services.exchanges.assign({exchange.id: TASK.id for exchange in exchanges})
    services = replace(services, find_model=lambda ref: model)
    engine = LlamaCppEngine(model, engine_settings(services))
    await engine.start()
    try:
        found = await evaluate_task(services, TASK, recipes=["constrained"], engine=engine)
    finally:
        await engine.stop()
    (evaluation,) = found.evaluations
    outcomes = services.registry.outcomes(evaluation.id)
    assert evaluation.answers > 0
    assert {o.answer for o in outcomes} <= set(LABELS)
    assert all(0 < o.confidence <= 1 for o in outcomes)
