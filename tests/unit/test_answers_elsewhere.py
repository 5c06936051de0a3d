"""Answers made elsewhere: read, measured like any other candidate, and moved only behind a model that says the same."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.errors import BadInput, InsourceError, UsageError
from insource.core.evidence import Candidate, Verdict
from insource.core.values import JsonObject, Stage
from insource.workflows.prove.answers_file import parse_stated, read_answers
from insource.workflows.prove.elsewhere import check_stand_in
from insource.workflows.prove.evaluate import TaskEvaluation, Wanted
from insource.workflows.prove.export_log import export_requests
from insource.workflows.prove.move import move_task
from insource.workflows.serve.load_routing import live_routing
from insource.workflows.services import Services
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.traffic import engine_that, exchange, exchanges, label_of, message

SIZE = 1_000
SERVED = "server:http://127.0.0.1:9#big"


@pytest.fixture
def services(tmp_path: Path) -> Generator[Services]:
    with evaluating(tmp_path / "home", recipes=("answers",)) as (opened, _):
        opened.exchanges.append(exchanges(SIZE))
        yield opened


def written(path: Path, rows: list[JsonObject]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(**changes: Any) -> list[JsonObject]:
    return [{"exchange_id": f"x{n:05}", "answer": message(n)[1], **changes} for n in range(SIZE)]


async def measured(services: Services, path: Path, **stated: str) -> TaskEvaluation:
    wanted = Wanted(models=(), answers=(read_answers(services, path, stated),))
    return await evaluate(services, candidates=wanted)


def candidate_of(services: Services, found: TaskEvaluation) -> Candidate:
    (candidate,) = services.registry.candidates(only_task(services).id)
    assert {trial.candidate_id for trial in found.trials} & {candidate.id, None}
    return candidate


async def test_a_model_that_is_not_here_is_certified_and_what_is_only_stated_is_kept(
    services: Services, tmp_path: Path
) -> None:
    path = written(tmp_path / "big.jsonl", rows())
    found = await measured(services, path, model="big-70b", quantisation="Q4_K_M")
    assert found.verdict is Verdict.MOVE, found.reason
    assert found.best is not None
    assert found.best.coverage == 1.0
    candidate = candidate_of(services, found)
    assert (candidate.model_ref, candidate.made_elsewhere) == ("answers:big-70b", True)
    assert candidate.stated == {"model": "big-70b", "quantisation": "Q4_K_M"}
    again = await measured(services, path, model="big-70b", quantisation="Q4_K_M")
    assert again.best is not None
    assert again.best.certificate_id == found.best.certificate_id, "nothing new, so what was handed on stays valid"
    assert services.evidence.ranks(only_task(services).id) == {candidate.id: 1}


async def test_with_a_confidence_it_gets_gates(services: Services, tmp_path: Path) -> None:
    sure = [
        {**row, "confidence": 0.99 - n / 10_000 if n % 3 else 0.3, **({} if n % 3 else {"answer": "card"})}
        for n, row in enumerate(rows())
    ]
    found = await measured(services, written(tmp_path / "a.jsonl", sure))
    assert found.verdict is Verdict.MOVE_PART, found.reason
    assert found.best is not None
    assert found.best.gate is not None
    assert found.best.gate > 0.3
    assert found.best.coverage < 0.75


async def test_what_has_no_answer_is_wrong_and_shuffled_answers_never_move(services: Services, tmp_path: Path) -> None:
    half = [row for n, row in enumerate(rows()) if n % 2]
    found = await measured(services, written(tmp_path / "half.jsonl", half))
    assert found.best is None
    shuffled = [{**row, "answer": message(n + 1)[1]} for n, row in enumerate(rows())]
    found = await measured(services, written(tmp_path / "shuffled.jsonl", shuffled))
    assert found.verdict is Verdict.KEEP, found.reason


async def test_what_a_model_was_trained_on_is_no_evidence(services: Services, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", rows())
    last = exchange(SIZE - 100).created.isoformat()
    found = await measured(services, path, trained_on="this log", trained_until=last)
    assert found.verdict is Verdict.MORE_DATA, found.reason
    assert found.best is None


BATCH = {"custom_id": "x00000", "response": {"status_code": 200, "body": {}}, "error": None}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ({"custom_id": "x00000", "answer": {"a": 1}}, '{"a": 1}'),
        ({"request": exchange(0).request, "answer": "card"}, "card"),
        (
            BATCH | {"response": {"status_code": 200, "body": {"choices": [{"message": {"content": "loan"}}]}}},
            "loan",
        ),
        (
            {
                "custom_id": "x00000",
                "result": {"type": "succeeded", "message": {"content": [{"type": "text", "text": "loan"}]}},
            },
            "loan",
        ),
    ],
)
def test_forms_of_a_line(services: Services, tmp_path: Path, line: JsonObject, answer: str) -> None:
    found = read_answers(services, written(tmp_path / "a.jsonl", [line]), {})
    assert found.answers == 1
    assert found.fitted.prepare(exchange(0).request).text == answer


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "(no|not a) JSON object"),
        ({"answer": "x"}, "names no exchange"),
        ({"id": "x00000", "answer": "x", "confidence": 2}, "confidence"),
        ({"id": "nobody", "answer": "x"}, "No line"),
        (BATCH | {"response": {"status_code": 500, "body": {}}}, "No line"),
    ],
)
def test_a_file_that_answers_nothing_says_so(services: Services, tmp_path: Path, line: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said) as error:
        read_answers(services, written(tmp_path / "a.jsonl", [line]), {})
    assert error.value.next_step


def test_one_file_one_model(services: Services, tmp_path: Path) -> None:
    two = [{"id": f"x{n:05}", "answer": "card", "model": f"m{n}"} for n in range(2)]
    with pytest.raises(BadInput, match="several models"):
        read_answers(services, written(tmp_path / "a.jsonl", two), {})


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=40) | st.recursive(st.none() | st.text(max_size=5), lambda x: st.lists(x)).map(
    lambda value: json.dumps({"id": "x00000", "answer": value, "response": value}).encode()), max_size=5))  # fmt: skip
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    with evaluating(path.parent / "home", recipes=("answers",)) as (opened, _):
        opened.exchanges.append([exchange(0)])
        try:
            assert read_answers(opened, path, {}).answers == 1
        except InsourceError as error:
            if not error.next_step:
                raise


def test_only_what_is_known_can_be_stated() -> None:
    assert parse_stated(["model=a=b", "trained_until=2026-01-01"]) == {"model": "a=b", "trained_until": "2026-01-01"}
    for bad in ("model", "colour=red", "trained_until=soon"):
        with pytest.raises(BadInput):
            parse_stated([bad])


async def test_the_requests_go_out_and_the_answers_come_back(services: Services, tmp_path: Path) -> None:
    await evaluate(services, candidates=Wanted(models=()))
    private = replace(exchange(SIZE + 1), private_kinds=("email",))
    services.exchanges.append([private])
    out = tmp_path / "requests.jsonl"
    report = export_requests(services, out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == report.written >= SIZE - 5
    assert private.id not in {line["custom_id"] for line in lines}
    answered: list[JsonObject] = [
        {
            "custom_id": line["custom_id"],
            "response": {
                "status_code": 200,
                "body": {"model": "big", "choices": [{"message": {"content": message(int(line["custom_id"][1:]))[1]}}]},
            },
        }
        for line in lines
    ]
    found = await measured(services, written(tmp_path / "back.jsonl", answered))
    assert found.verdict is Verdict.MOVE, found.reason
    assert candidate_of(services, found).stated == {"model": "big", "model_from": "the records"}


async def test_it_is_moved_only_behind_a_model_that_says_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    with evaluating(
        tmp_path / "home",
        engine_that(lambda text: said[-1] if said else label_of(text)),
        recipes=("answers",),
    ) as (services, engine):
        services.exchanges.append(exchanges(SIZE))
        found = await measured(services, written(tmp_path / "a.jsonl", rows()))
        assert found.best is not None
        task, candidate = only_task(services), candidate_of(services, found)
        with pytest.raises(UsageError, match="made elsewhere"):
            move_task(services, task.id, to=None, stage=Stage.LIVE)
        await check_stand_in(services, task, candidate, ref=SERVED)
        assert len(engine.calls) == 20
        said.append("card")
        with pytest.raises(UsageError, match="otherwise than the file"):
            await check_stand_in(services, task, candidate, ref=SERVED)
        move = move_task(services, task.id, to=None, stage=Stage.LIVE, engine=SERVED)
        assert move.engine == SERVED
        routing = live_routing(services)
        assert candidate.id in routing.current.locals
