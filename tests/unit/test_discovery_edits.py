"""`find_tasks` and the edits on a real store: an edit survives every later discovery."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.core.errors import BadInput, EmptyLog, UnknownTask, UsageError
from insource.core.fakes import FakeDetector
from insource.core.values import Exchange, JsonObject, Move, Route, Stage
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.store.registry import SqlRegistry
from insource.traffic.figures import task_figures
from insource.traffic.resolve import resolve_task
from insource.wire.chat import completion
from insource.workflows.prove.edit_tasks import merge_tasks, rename_task, split_task
from insource.workflows.prove.find_tasks import find_tasks, masker, task_json, write_assignments
from insource.workflows.prove.label import label_exchange, label_file
from insource.workflows.services import Services
from tests.fakes.evidence import event
from tests.fakes.scans import ScanHere

START = datetime(2026, 1, 1, tzinfo=UTC)
SYSTEMS = ("Sort the message of a bank customer: card, loan.", "Translate the message into French.")


def exchange(number: int, request: JsonObject | None = None, *, private: bool = False) -> Exchange:
    text = f"message {number} about a {'refund' if number % 4 == 0 else 'card'}" + (" secret" if private else "")
    system = {"role": "system", "content": SYSTEMS[number % 2]}
    body = {"messages": [system, {"role": "user", "content": text}]}
    return Exchange(
        id=f"e{number:04}",
        created=START + timedelta(seconds=number),
        request=body if request is None else request,
        response=completion(id="c", created=0, model="m", text=["card", "loan"][number % 3 == 0]),
        latency_seconds=float(number),
        cost_usd=0.5,
        private_kinds=("word",) if private else (),
    )


def make_services(tmp_path: Path) -> Services:
    """A real store and a fake detector; whatever else a workflow may use is not there, so using it fails."""
    database = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    parts: dict[str, Any] = {field.name: None for field in fields(Services)}
    parts["exchanges"] = SqlExchangeStore(database)
    parts["registry"] = SqlRegistry(database)
    parts["detector"] = FakeDetector()
    parts["make_scan"] = lambda: ScanHere(FakeDetector())
    return Services(**parts)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    made = make_services(tmp_path)
    made.exchanges.append(exchange(number, private=number % 10 == 0) for number in range(40))
    return made


def test_an_empty_log_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EmptyLog, match="insource import"):
        find_tasks(make_services(tmp_path))


def test_tasks_are_stored_with_figures_and_assignments(services: Services, tmp_path: Path) -> None:
    reports = find_tasks(services)
    assert [report.figures.exchanges for report in reports] == [20, 20]
    assert {task.name for task in services.registry.tasks()} == {
        "Sort the message of a bank customer",
        "Translate the message into French",
    }
    sort = next(report for report in reports if report.task.name.startswith("Sort"))
    assert sort.figures.private_share == 0.2
    assert sort.figures.cost_usd == 10.0
    assert sort.figures.latency_p50_seconds == 19.0
    assert len(sort.figures.examples) == 3
    privates = {f"message {number} about" for number in range(0, 40, 10)}
    examples = [example for report in reports for example in report.figures.examples]
    assert not [example for example in examples if any(example.startswith(each) for each in privates)]
    shown = task_json(sort)
    assert (shown["exchanges"], shown["output_kind"], shown["labels"]) == (20, "label", ["card", "loan"])
    assert shown["routable"] is True
    assert write_assignments(services, tmp_path / "a.csv") == 40
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == ["exchange_id,task_id", f"e0000,{sort.task.id}"]
    assert find_tasks(services) == reports


@pytest.mark.parametrize(
    "body",
    [
        {"instructions": SYSTEMS[0], "input": "my card is lost"},
        {
            "contents": [{"parts": [{"text": "my card is lost"}]}],
            "systemInstruction": {"parts": [{"text": SYSTEMS[0]}]},
        },
        {"model": "m", "prompt": "my card is lost"},
        {"model": "embed", "input": [[17, 4]]},
    ],
    ids=["Responses", "Gemini", "completions", "token ids"],
)
def test_requests_of_every_api_get_a_task(tmp_path: Path, body: JsonObject) -> None:
    services = make_services(tmp_path)
    services.exchanges.append([exchange(n, {**body, "seed": n}) for n in range(12)])
    assert [report.figures.exchanges for report in find_tasks(services)] == [12]


def test_a_name_and_a_merge_survive_rediscovery(services: Services) -> None:
    reports = find_tasks(services)
    rename_task(services, "translate", "French letters")
    merged = merge_tasks(services, ["french letters", "sort"])
    assert (merged.task.name, merged.figures.exchanges) == ("French letters", 40)
    services.exchanges.append(exchange(number) for number in range(40, 60))
    again = find_tasks(services)
    assert [(report.task.id, report.task.name, report.figures.exchanges) for report in again] == [
        (merged.task.id, "French letters", 60)
    ]
    assert merged.task.id in {report.task.id for report in reports}


def test_a_split_survives_rediscovery_and_a_merge_of_its_parent(services: Services) -> None:
    find_tasks(services)
    part = split_task(services, "sort", contains="refund", name="Refunds")
    assert part.figures.exchanges == 10
    services.exchanges.append(exchange(number) for number in range(40, 60))
    sizes = {report.task.name: report.figures.exchanges for report in find_tasks(services)}
    assert sizes["Refunds"] == 15
    merge_tasks(services, ["translate", "sort"])
    sizes = {report.task.name: report.figures.exchanges for report in find_tasks(services)}
    assert sizes == {"Refunds": 15, "Translate the message into French": 45}
    merge_tasks(services, ["translate", "refunds"])
    assert [report.figures.exchanges for report in find_tasks(services)] == [60]


def test_a_task_known_by_shape_can_be_split_and_merged(tmp_path: Path) -> None:
    services = make_services(tmp_path)
    colours = "red blue green tall small old new fast slow warm"
    words = colours.split()
    texts = [f"{words[n % 10]} {words[n // 10]} {'refund' if n % 5 == 0 else 'thing'} {n}" for n in range(60)]
    services.exchanges.append(
        exchange(n, {"messages": [{"role": "user", "content": text}]}) for n, text in enumerate(texts)
    )
    (whole,) = find_tasks(services)
    assert not whole.routable
    part = split_task(services, whole.task.id, contains="refund")
    assert (part.figures.exchanges, part.routable) == (12, True)
    assert [report.figures.exchanges for report in find_tasks(services)] == [48, 12]
    merged = merge_tasks(services, [whole.task.id, part.task.id])
    assert merged.figures.exchanges == 60
    assert len(find_tasks(services)) == 1


def test_edits_that_make_no_sense_are_refused(services: Services) -> None:
    sort, translate = find_tasks(services)
    with pytest.raises(UsageError, match="Another task"):
        rename_task(services, sort.task.id, translate.task.name.upper())
    with pytest.raises(UsageError, match="not a name"):
        rename_task(services, sort.task.id, "\x1b <>")
    with pytest.raises(UsageError, match="two different"):
        merge_tasks(services, [sort.task.id, sort.task.name])
    for text in ("nowhere", "message", " "):
        with pytest.raises(UsageError, match="requests of"):
            split_task(services, sort.task.id, contains=text)
    move = Move(
        task_id=translate.task.id,
        candidate_id="c",
        stage=Stage.LIVE,
        gate=0.0,
        certificate_id=None,
        canary_share=0.1,
        changed=START,
        reason="",
    )
    services.registry.put_move(move, event())
    with pytest.raises(UsageError, match="moved or pinned"):
        merge_tasks(services, [sort.task.id, translate.task.id])


def test_a_task_is_named_by_id_or_by_what_is_clear(services: Services) -> None:
    find_tasks(services)
    tasks = services.registry.tasks()
    first = tasks[0]
    for text in (first.id, first.name.upper(), first.name[:6], f" {first.name} "):
        assert resolve_task(tasks, text) == first
    with pytest.raises(UnknownTask, match="several"):
        resolve_task(tasks, "the message")
    with pytest.raises(UnknownTask, match="Near: 'Translate the message into French'"):
        resolve_task(tasks, "Translat message into French")
    with pytest.raises(UnknownTask, match="no task was found yet"):
        resolve_task([], "x")


def test_labels_become_references(services: Services, tmp_path: Path) -> None:
    """Of exchanges of the task that was named, and of no other."""
    find_tasks(services)
    label_exchange(services, "translate", "e0003", reference="loan")
    file = tmp_path / "labels.csv"
    file.write_text('exchange_id,reference\ne0001,card\n"e0005","a, b"\nnobody,card\ne0002,card\n')
    report = label_file(services, "translate", file)
    assert (report.labelled, report.unknown) == (2, ("e0002", "nobody"))
    found = {item.id: item for item in services.exchanges.read()}
    assert (found["e0005"].reference, found["e0005"].reference_kind) == ("a, b", "label")
    assert (found["e0003"].reference, found["e0002"].reference) == ("loan", None)
    for id in ("nobody", "e0002"):
        with pytest.raises(UsageError, match=f"has no exchange {id!r}"):
            label_exchange(services, "translate", id, reference="x")


@pytest.mark.parametrize(
    "text", ["", "id,label\n1,2\n", "exchange_id,reference\ne0001\n", "exchange_id,reference\n,x\n"]
)
def test_a_bad_label_file_changes_nothing(services: Services, tmp_path: Path, text: str) -> None:
    find_tasks(services)
    file = tmp_path / "labels.csv"
    file.write_text(text)
    for path in (file, tmp_path / "missing.csv"):
        with pytest.raises(BadInput):
            label_file(services, "translate", path)
    assert all(item.reference is None for item in services.exchanges.read())


def test_exchanges_without_bodies_stay_with_the_task_they_were_routed_as(services: Services) -> None:
    (first, *_) = find_tasks(services)
    route = Route(upstream="provider:x", model="m", reason="", task_id=first.task.id)
    bare = Exchange(id="bare", created=START, request={}, route=route)
    unknown = Exchange(id="unknown", created=START, request={})
    services.exchanges.append([bare, unknown])
    find_tasks(services)
    assigned = services.exchanges.assignments()
    assert assigned["bare"] == first.task.id
    assert "unknown" not in assigned


def test_no_example_is_of_a_private_request_whoever_finds_out(tmp_path: Path) -> None:
    services = make_services(tmp_path)
    services.exchanges.append(exchange(number, private=True) for number in range(0, 20, 2))
    (only,) = find_tasks(services)
    assert only.figures.examples == ()
    unknown = [replace(exchange(number, private=number > 2), private_kinds=None) for number in range(0, 10, 2)]
    assert {text[:9] for text in task_figures(unknown, mask=masker(FakeDetector())).examples} == {
        "message 0",
        "message 2",
    }
    failing = masker(FakeDetector(error=RuntimeError("x")))
    assert task_figures(unknown, mask=failing).examples == ()


def test_a_detector_that_fails_hides_the_whole_text() -> None:
    assert masker(FakeDetector("word"))("a word here") == "a [word] here"
    assert masker(FakeDetector(error=RuntimeError("x")))("a word here") == "[private]"
