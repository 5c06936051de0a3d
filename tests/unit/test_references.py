"""What people say about right and wrong: criteria, reviews, labels and feedback, and what becomes of it."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.errors import BadInput, UnknownTask, UsageError
from insource.core.evidence import Judgement, Verdict
from insource.core.fakes import FakeClock
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, JsonObject, Route
from insource.wire.chat import completion
from insource.workflows.prove.criterion import (
    checker_arguments,
    choose_criterion,
    criterion_words,
    infer_again,
    show_criterion,
)
from insource.workflows.prove.evaluate import TaskEvaluation
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.label import label_exchange
from insource.workflows.prove.review import judge, judge_all, open_review, read_csv, take_back, write_csv
from insource.workflows.prove.task_log import read_task_log
from insource.workflows.serve.feedback import take_feedback
from insource.workflows.services import Services
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.serving import Bench
from tests.fakes.traffic import LABELS, exchange, exchanges, message


def half_right() -> list[Exchange]:
    """Only hosted answers are known, and two in a hundred of them are wrong."""
    log = exchanges(1_000, reference=None, reference_kind=None)
    for n in range(0, 1_000, 50):
        wrong = next(label for label in LABELS if label != message(n)[1])
        log[n] = replace(log[n], response=completion(id="c", created=0, model="m", text=wrong))
    return log


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where a candidate was measured that is right where the hosted model is wrong, and nobody said so yet."""
    home = tmp_path_factory.mktemp("reviewed") / "home"
    with evaluating(home) as (services, _):
        found = asyncio.run(evaluate(services, half_right()))
        assert found.best is None, "what differs counts against the candidate"
        assert found.verdict is Verdict.MORE_DATA, found.reason
        assert found.evaluations, found.reason
    return home


@pytest.fixture
def services(reviewed: Path, tmp_path: Path) -> Iterator[Services]:
    home = shutil.copytree(reviewed, tmp_path / "home")
    with evaluating(home) as (opened, _):
        yield opened


def evaluated(services: Services) -> TaskEvaluation:
    return asyncio.run(evaluate(services))


# -------------------------------------------------------------------------------------------------- criterion


def test_a_criterion_is_inferred_chosen_and_forgotten(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, _):
        services.exchanges.append(exchanges(60))
        find_tasks(services)
        task = only_task(services)
        inferred = show_criterion(services, task.name)
        assert (inferred.criterion.scorer, inferred.criterion.chosen_by) == ("label", "inferred")
        chosen = choose_criterion(services, task.id, "exact")
        assert (chosen.criterion.scorer, chosen.criterion.chosen_by) == ("exact", "user")
        assert chosen.inferred.scorer == "label"
        assert "You chose it" in criterion_words(chosen.criterion)
        assert [event.kind for event in services.registry.events(task_id=task.id)] == ["criterion"]
        assert infer_again(services, task.id).criterion == inferred.criterion
        with pytest.raises(UsageError, match="not installed"):
            choose_criterion(services, task.id, "no such scorer")
        with pytest.raises(UnknownTask):
            show_criterion(services, "nowhere")
        assert services.registry.criteria() == {}


def test_a_checker_is_tried_before_it_is_chosen_and_its_losses_are_kept(tmp_path: Path) -> None:
    counter, script = tmp_path / "runs", tmp_path / "check.py"
    script.write_text(
        "import json, sys\n"
        "said = json.load(sys.stdin)\n"
        f"open({str(counter)!r}, 'a').write('x')\n"
        "print(0 if said['answer'].lower() == said['reference'].lower() else 1)\n"
    )
    with evaluating(tmp_path / "home") as (services, _):
        services.exchanges.append(exchanges(60))
        find_tasks(services)
        task = only_task(services)
        broken = checker_arguments(f"{sys.executable} -c 'print(7)'", 10.0)
        with pytest.raises(BadInput, match="did not score an answer"):
            choose_criterion(services, task.id, "checker", arguments=broken)
        assert services.registry.criteria() == {}, "what can't score is not chosen"
        with pytest.raises(UsageError, match="No checker"):
            checker_arguments(" ", 10.0)
        choose_criterion(services, task.id, "checker", arguments=checker_arguments(f"{sys.executable} {script}", 10.0))
        runs = len(counter.read_text())
        log = read_task_log(services, task)
        assert log.scoring is not None
        first = next(iter(log.examples.values()))
        assert [log.scoring.loss_local(answer, first) for answer in ("?", first.reference.upper(), "?")] == [1, 0, 1]
        assert len(counter.read_text()) - runs == 2, "an answer is scored once"


# ----------------------------------------------------------------------------------------------------- review


def test_only_disagreements_are_asked_about_in_the_ledgers_order(services: Services) -> None:
    review = open_review(services, only_task(services).id)
    assert review.judged == 0
    assert 0 < len(review.waiting) < review.compared / 10
    assert all(each.answer != each.reference for each in review.waiting)
    places = {place.exchange_id: place.place for place in services.evidence.places(review.task.id)}
    order = [places[each.exchange_id] for each in review.waiting]
    assert order == sorted(order)
    drawn = open_review(services, only_task(services).id, order="random")
    assert {each.exchange_id for each in drawn.waiting} == {each.exchange_id for each in review.waiting}
    assert [each.exchange_id for each in drawn.waiting] != [each.exchange_id for each in review.waiting]
    with pytest.raises(UsageError, match="No candidate 'head'"):
        open_review(services, only_task(services).id, candidate="head")


def test_what_was_judged_counts_and_can_be_taken_back(services: Services) -> None:
    task = only_task(services)
    before = open_review(services, task.id)
    first = before.waiting[0]
    judge(services, task, first, choice="both")
    after = open_review(services, task.id)
    assert (after.judged, len(after.waiting)) == (1, len(before.waiting) - 1)
    take_back(services, task, first)
    assert open_review(services, task.id) == before


def test_a_review_that_finds_them_right_certifies_and_one_that_does_not_does_not(services: Services) -> None:
    task = only_task(services)
    asked = services.evidence.ranks(task.id)
    waiting = open_review(services, task.id).waiting
    judge_all(services, task, [(each, "local") for each in waiting])
    found = evaluated(services)
    assert found.best is not None, found.reason
    assert found.best.covered is not None
    assert found.best.covered.better > 0, "where the hosted answer was wrong the candidate is better"
    assert services.evidence.ranks(task.id) == asked, "a review spends nothing"
    judge_all(services, task, [(each, "hosted") for each in waiting])
    assert evaluated(services).best is None


def test_a_review_goes_through_a_file(services: Services, tmp_path: Path) -> None:
    task, file = only_task(services), tmp_path / "review.csv"
    review = open_review(services, task.id)
    assert write_csv(review, file) == len(review.waiting)
    assert file.stat().st_mode & 0o077 == 0, "it quotes requests"
    rows = _read(file)
    assert [row["exchange_id"] for row in rows] == [each.exchange_id for each in review.waiting]
    assert read_csv(services, review, file) == 0, "nothing is filled in yet"
    for row, verdict in zip(rows, ["both", " HOSTED ", "local", "neither"], strict=False):
        row["verdict"] = verdict
    _write(file, [*rows, {**rows[0], "exchange_id": "nobody", "verdict": "both"}])
    assert read_csv(services, review, file) == 4
    said = {(j.exchange_id, j.answer): j.right for j in services.evidence.judgements(task.id)}
    expected = [(True, True), (True, False), (False, True), (False, False)]
    for each, (hosted, local) in zip(review.waiting, expected, strict=False):
        assert said[each.exchange_id, each.reference] is hosted
        assert said[each.exchange_id, each.answer] is local
    assert open_review(services, task.id).judged == 4


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "exchange_id,verdict\n{first},both\n{first},maybe\n"])
def test_a_bad_review_file_changes_nothing(services: Services, tmp_path: Path, content: str) -> None:
    task, file = only_task(services), tmp_path / "review.csv"
    review = open_review(services, task.id)
    file.write_text(content.format(first=review.waiting[0].exchange_id))
    for path in (file, tmp_path / "missing.csv"):
        with pytest.raises(BadInput):
            read_csv(services, review, path)
    assert services.evidence.judgements(task.id) == []


def test_a_cell_is_no_formula(services: Services, tmp_path: Path) -> None:
    review = open_review(services, only_task(services).id)
    hostile = replace(
        review, waiting=(replace(review.waiting[0], text='=HYPERLINK("x")', answer="+1", reference="@x"),)
    )
    write_csv(hostile, tmp_path / "x.csv")
    (row,) = _read(tmp_path / "x.csv")
    assert all(not row[name].startswith(("=", "+", "@")) for name in ("request", "local", "reference"))


def test_one_key_each_on_the_command_line(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    task = only_task(services)
    waiting = open_review(services, task.id).waiting
    monkeypatch.setenv("INSOURCE_HOME", str(services.settings.home))
    done = CliRunner().invoke(app, ["review", task.id], input="b\nl\nu\ns\nn\nq\n")
    assert done.exit_code == 0, done.output
    assert "2 judged" in done.output
    said = {j.exchange_id: set[bool]() for j in services.evidence.judgements(task.id)}
    for each in services.evidence.judgements(task.id):
        said[each.exchange_id].add(each.right)
    assert said == {waiting[0].exchange_id: {True}, waiting[2].exchange_id: {False}}, "the second was taken back"
    shown = CliRunner().invoke(app, ["review", task.id, "--json"])
    assert json.loads(shown.stdout)["judged"] == 2


# ------------------------------------------------------------------------------------------------------ label


async def test_a_label_stands_instead_of_the_hosted_answer(tmp_path: Path) -> None:
    with evaluating(tmp_path) as (services, _):
        services.exchanges.append(exchanges(60, reference=None, reference_kind=None))
        find_tasks(services)
        task = only_task(services)
        label_exchange(services, task.id, "x00003", reference="loan" if message(3)[1] != "loan" else "card")
        log = read_task_log(services, task)
        assert log.scoring is not None
        labelled = log.examples["x00003"]
        assert labelled.reference_kind == "label"
        assert log.scoring.loss_hosted(labelled) == 1.0
        assert log.scoring.loss_local(labelled.reference, labelled) == 0.0
        assert log.scoring.loss_hosted(log.examples["x00004"]) == 0.0


# --------------------------------------------------------------------------------------------------- feedback


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Services]:
    """A log with an answer from the provider, and one that was given here."""
    with evaluating(tmp_path) as (services, _):
        log = exchanges(60, reference=None, reference_kind=None)
        here = Route(upstream="engine:head", model="head", reason="moved")
        log.append(exchange(60, reference=None, reference_kind=None, route=here))
        services.exchanges.append(log)
        find_tasks(services)
        yield services


async def post(services: Services, data: bytes, *, method: str = "POST") -> tuple[int, JsonObject]:
    """Through the gateway's ASGI application."""
    bench = Bench(feedback=lambda body: take_feedback(services, body))
    sent: list[Any] = []

    async def receive() -> JsonObject:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    headers = [(b"host", b"127.0.0.1"), (b"content-length", str(len(data)).encode())]
    scope: Any = {
        "type": "http",
        "method": method,
        "path": "/insource/feedback",
        "raw_path": b"/insource/feedback",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 9),
    }
    await bench.app()(scope, receive, send)
    assert bench.provider.calls == [], "it is no request for the provider"
    body = b"".join(event.get("body", b"") for event in sent)
    return sent[0]["status"], json.loads(body)


def _logged(services: Services, id: str) -> Exchange:
    return next(iter(services.exchanges.read(ExchangeFilter(ids=frozenset({id})))))


async def test_feedback_on_a_hosted_answer_is_kept_with_it(desk: Services) -> None:
    said = {"exchange": "x00003", "correct": False, "reference": "loan"}
    assert await post(desk, json.dumps(said).encode()) == (200, {"taken": True})
    kept = _logged(desk, "x00003")
    assert (kept.reference, kept.reference_kind, kept.reference_correct) == ("loan", "feedback", False)
    assert (await post(desk, b'{"exchange": "x00004", "correct": true}'))[0] == 200
    assert (_logged(desk, "x00004").reference_correct, _logged(desk, "x00004").reference) == (True, None)
    log = read_task_log(desk, only_task(desk))
    assert log.scoring is not None
    assert [log.scoring.loss_hosted(log.examples[id]) for id in ("x00003", "x00004")] == [1.0, 0.0]


async def test_feedback_on_an_answer_given_here_judges_that_answer(desk: Services) -> None:
    assert (await post(desk, b'{"exchange": "x00060", "correct": false}'))[0] == 200
    (judged,) = desk.evidence.judgements(only_task(desk).id)
    assert (judged.exchange_id, judged.answer, judged.right) == ("x00060", message(60)[1], False)
    assert _logged(desk, "x00060").reference_correct is None, "nobody spoke of a hosted answer"


def test_what_was_said_counts_for_every_way_to_say_the_same(desk: Services) -> None:
    """Judged as it was written; compared as labels are."""
    task = only_task(desk)
    said = Judgement(exchange_id="x00003", answer="  [Card]. ", right=True, judged=FakeClock().now())
    desk.evidence.put_judgements(task.id, [said])
    log = read_task_log(desk, task)
    assert log.scoring is not None
    assert log.scoring.loss_local("card", log.examples["x00003"]) == 0.0


MALFORMED = [
    b"",
    b"[]",
    b"{",
    b"\xff",
    b"{}",
    b'{"exchange": 7, "correct": true}',
    b'{"exchange": "x00003"}',
    b'{"exchange": "x00003", "correct": "yes"}',
    b'{"exchange": "x00003", "reference": " "}',
    b'{"exchange": "x00003", "reference": "' + b"a" * 100_001 + b'"}',
    b'{"exchange": "x00003", "correct": true, "x": "' + b"a" * (1 << 20) + b'"}',
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
async def test_malformed_feedback_is_refused_with_what_to_send(desk: Services, data: bytes) -> None:
    status, body = await post(desk, data)
    assert status == 400
    assert body["error"]["message"]
    kept = _logged(desk, "x00003")
    assert (kept.reference, kept.reference_correct) == (None, None)


async def test_feedback_on_what_is_not_in_the_log_says_so(desk: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insource.workflows.serve.feedback._WAIT_SECONDS", 0.2)
    status, body = await post(desk, b'{"exchange": "nobody", "correct": true}')
    assert status == 400
    assert "'nobody'" in body["error"]["message"]


async def test_feedback_waits_for_an_exchange_that_is_still_being_written(desk: Services) -> None:
    taken = asyncio.create_task(post(desk, b'{"exchange": "late", "correct": true}'))
    await asyncio.sleep(0.15)
    desk.exchanges.append([replace(exchange(70), id="late")])
    assert (await taken)[0] == 200
    assert _logged(desk, "late").reference_correct is True


async def test_only_a_post_is_feedback(desk: Services) -> None:
    assert (await post(desk, b"", method="GET"))[0] == 404
