"""Every page of the dashboard: what it shows, what its forms change, and that nothing of a stranger acts."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.cli.session import load_settings
from insource.core.evidence import Event, Interval
from insource.core.values import Exchange, JsonObject, Marks, Route, Stage
from insource.wiring import open_services
from insource.workflows.saved_plan import plan_file, save_plan
from insource.workflows.services import Services, policy_in_force
from tests.fakes.dashboard import Browser, client_of, task
from tests.fakes.evaluating import evaluate, evaluating
from tests.fakes.evidence import START, candidate, evaluation
from tests.fakes.serving import completion, request
from tests.fakes.traffic import exchanges, message

PAGES = ("", "tasks", "review", "requests", "privacy", "models", "ecosystem", "machine", "playground", "plan")
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31mred\x1b]0;title\x07\u202eevil\u2066\x00 "
    "[a](javascript:x)"
)
LONG = "x" * (1 << 20)
OTHER = {"card": "loan", "loan": "transfer", "transfer": "card"}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with open_services(load_settings(home=tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
async def browser(services: Services) -> AsyncIterator[Browser]:
    async with client_of(services) as client:
        yield Browser(client)


def _exchange(id: str, text: str = "hello", *, minutes: int = 0, **more: Any) -> Exchange:
    fields: JsonObject = {
        "id": id,
        "created": START + timedelta(minutes=minutes),
        "request": request(text),
        "response": completion(text),
        "cost_usd": 0.5,
        "latency_seconds": 0.2,
        "private_kinds": (),
    }
    return Exchange(**{**fields, **more})


def _fill(services: Services, *, text: str = "hello", name: str = "Sort the mail") -> None:
    """A task with a certified and an uncertified candidate, answered by everybody who may answer."""
    here = Route(upstream="engine:head", model="head", reason=text, task_id="t1", candidate_id="head-1", confidence=0.9)
    back = replace(here, upstream="provider:openai")
    services.exchanges.append(
        [
            _exchange("imported", text),
            _exchange("here", text, minutes=1, route=here, cost_usd=None),
            _exchange("escalated", text, minutes=2, route=back, marks=Marks(escalated=True)),
            _exchange("private", text, minutes=3, private_kinds=("email",)),
            _exchange("failed", text, minutes=4, status=500, response=None),
        ]
    )  # fmt: skip
    services.registry.put_tasks([task(name=name)])
    services.exchanges.assign(dict.fromkeys(("imported", "here", "escalated", "private", "failed"), "t1"))
    services.registry.put_candidate(candidate("head-1"))
    services.registry.put_candidate(candidate("prompt-1", recipe="prompt"))
    certified = evaluation("head-1", certificate_id="cert-1", coverage=0.5, gate=0.25, end="certified", reason=text)
    services.evidence.put_evaluation(replace(certified, self_agreement=Interval(low=0.5, high=1.0)))
    services.evidence.put_evaluation(evaluation("prompt-1", reason=text))
    services.registry.put_event(Event(created=START, task_id="t1", kind="moved", text=text))


def _plan(text: str = "It is proven.") -> JsonObject:
    row: JsonObject = {
        "id": "t1", "name": "Sort the mail", "exchanges": 5, "verdict": "MOVE PART", "coverage": 0.5, "quality": 0.97,
        "hosted_quality": 0.98, "loss_upper": 0.0123, "confidence": 0.95, "n_test": 400, "reason": text,
        "spend_usd": 8.0, "spend_after_usd": 4.0, "n_needed": None, "criterion": {"kind": "label", "reason": text},
        "examples": [text],
    }  # fmt: skip
    return {
        "created": "2026-01-02T00:00:00+00:00", "exchanges": 5, "tasks": [row], "spend_usd": 8.0,
        "spend_after_usd": 4.0, "spend_estimated_usd": 0.0, "private_share": 0.2, "moved_share": 0.5,
    }  # fmt: skip


async def test_an_empty_store_has_every_page(browser: Browser) -> None:
    for path in PAGES:
        html = await browser.get(path)
        assert re.search("<code>(insource|curl)", html), "it names the next command"
        assert html.count("<h1") == 1


async def test_a_page_needs_nothing_from_elsewhere_and_no_inline_code(browser: Browser, services: Services) -> None:
    _fill(services)
    for path in (*PAGES, "tasks/t1", "requests/here"):
        html = await browser.get(path)
        assert not re.findall(r"(?:src|href|action)=\"(?!/insource/ui/|\?|#)", html)
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", html)


async def test_the_overview_sums_what_each_upstream_answered(browser: Browser, services: Services) -> None:
    _fill(services)
    html = await browser.get("?days=7")
    assert "5 requests" in html
    assert "$2.00" in html
    assert "20.0 %" in html, "one of five was answered here"
    assert "engine:head" in html
    assert "hosted (imported)" in html


async def test_what_the_next_move_saves_is_the_plans(browser: Browser, services: Services) -> None:
    _fill(services)
    save_plan(_plan(), plan_file(services.settings))
    assert "would have saved $4.00" in await browser.get("")
    monthly = _plan()
    monthly["tasks"][0]["saving_usd_per_month"] = 123.0
    save_plan(monthly, plan_file(services.settings))
    assert "$123.00 a month" in await browser.get("")


async def test_the_page_to_print_shows_the_plans_numbers(browser: Browser, services: Services) -> None:
    plan = _plan()
    plan |= {"saving_usd_per_month": 77.5, "break_even_share": 0.4, "machine": {"usd_per_month": 31.0}}
    save_plan(plan, plan_file(services.settings))
    html = await browser.get("plan")
    for shown in ("$8.00", "$4.00", "50.0 %", "97.0 %", "98.0 %", "1.23 %", "400", "$77.50", "$31.00", "40 %"):
        assert shown in html
    assert "It is proven." in html


async def test_a_plan_that_cannot_be_read_is_none(browser: Browser, services: Services) -> None:
    for text in ("", "[]", "{", json.dumps({"tasks": 3})):
        plan_file(services.settings).write_text(text)
        assert "There is no plan yet" in await browser.get("plan")


async def test_a_task_is_moved_after_a_question_and_rolled_back(browser: Browser, services: Services) -> None:
    _fill(services)
    assert "Move to live" in await browser.get("tasks/t1")
    question = await browser.get("tasks/t1/move?stage=live&to=head-1")
    assert "Move it" in question
    assert not services.registry.moves(), "asking changes nothing"
    assert (await browser.send("tasks/t1/move", stage="live", to="head-1")).status_code == 303
    (move,) = services.registry.moves()
    assert (move.stage, move.candidate_id, move.certificate_id) == (Stage.LIVE, "head-1", "cert-1")
    assert "Roll back" in await browser.get("tasks/t1?done=moved")
    assert "Roll it back" in await browser.get("tasks/t1/rollback")
    await browser.send("tasks/t1/rollback")
    assert services.registry.moves()[0].stage is Stage.ROLLED_BACK
    assert [event.kind for event in services.registry.events()] == ["moved", "moved", "rolled back"]


async def test_what_is_not_certified_answers_nobody(browser: Browser, services: Services) -> None:
    _fill(services)
    answer = await browser.send("tasks/t1/move", stage="live", to="prompt-1")
    assert answer.status_code == 400
    assert "no certificate" in answer.text
    assert not services.registry.moves()
    assert (await browser.send("tasks/t1/move", stage="observe")).status_code == 400


async def test_unknown_things_are_a_page_that_says_so(browser: Browser) -> None:
    assert "There is no task" in await browser.get("tasks/nobody", status=404)
    assert "There is no exchange" in await browser.get("requests/nobody/at all", status=404)


async def test_the_criterion_is_chosen_and_inferred_again(browser: Browser, services: Services) -> None:
    _fill(services)
    await browser.send("tasks/t1/criterion", scorer="exact")
    assert services.registry.criteria()["t1"].scorer == "exact"
    assert "which you chose" in await browser.get("tasks/t1")
    await browser.send("tasks/t1/criterion", scorer="")
    assert not services.registry.criteria()
    assert (await browser.send("tasks/t1/criterion", scorer="os.system")).status_code == 400


async def test_the_log_is_filtered_searched_and_paged(browser: Browser, services: Services) -> None:
    _fill(services)
    services.exchanges.append([_exchange(f"more-{n:03}", f"number {n}", minutes=10 + n) for n in range(60)])
    first = await browser.get("requests")
    assert first.count("<tr>") == 51
    older = re.search(r'href="(\?before=[^"]+)"', first)
    assert older is not None
    assert (await browser.get("requests" + older[1])).count("<tr>") == 16
    assert 'requests/here"' in (found := await browser.get("requests?where=here"))
    assert 'requests/imported"' not in found
    assert (await browser.get("requests?text=number 17")).count("<tr>") == 2
    assert (await browser.get("requests?task=t1")).count("<tr>") == 6
    assert "No request matches" in await browser.get("requests?text=nowhere")
    assert "No request matches" in await browser.get("requests?task=' OR 1=1")


async def test_private_text_is_not_in_the_list(browser: Browser, services: Services) -> None:
    services.exchanges.append([_exchange("p", "my address is secret-street 5", private_kinds=("address",))])
    assert "secret-street" not in await browser.get("requests")
    assert "secret-street" in await browser.get("requests/p"), "who opens it sees it"


async def test_one_exchange_says_why_it_went_where_it_went(browser: Browser, services: Services) -> None:
    _fill(services, text="It is above the gate.")
    html = await browser.get("requests/here")
    for sentence in ("Answered here", "It is above the gate.", "head-1", "confidence was 0.900"):
        assert sentence in html
    assert "It escalated" in await browser.get("requests/escalated")
    assert "It was imported" in await browser.get("requests/imported")


async def test_a_policy_is_tried_then_set(browser: Browser, services: Services) -> None:
    services.exchanges.append(
        [_exchange("e", "write to ada.lovelace@posteo.de please"), _exchange("n", "nothing", minutes=1)]
    )
    tried = await browser.send("privacy/test", kind_email="refuse")
    assert tried.status_code == 200
    assert "What this policy would have done" in tried.text
    assert "<b>1</b><span>refused</span>" in tried.text
    assert not policy_in_force(services.settings, services.registry).policy.acts, "trying sets nothing"
    assert (await browser.send("privacy", kind_email="refuse")).status_code == 303
    assert policy_in_force(services.settings, services.registry).policy.rules(None).of("email").action == "refuse"
    assert "A policy acts" in await browser.get("privacy?done=set")
    assert (await browser.send("privacy", kind_nonsense="refuse")).status_code == 400
    assert (await browser.send("privacy", kind_email="explode")).status_code == 400


async def test_disagreements_are_decided_one_by_one_and_taken_back(tmp_path: Path) -> None:
    with evaluating(tmp_path / "home") as (services, _):
        await evaluate(services, exchanges(1_000))
        for number in range(0, 1_000, 25):  # labels that nobody here answers with
            services.exchanges.set_reference(f"x{number:05}", reference=OTHER[message(number)[1]], kind="label")
        (found,) = services.registry.tasks()
        async with client_of(services) as client:
            browser = Browser(client)
            assert found.name in await browser.get("review")
            path = f"review/{found.id}"
            html = await browser.get(path)
            total = re.search(r"0 of (\d+) disagreements", html)
            assert total is not None
            for choice in ("hosted", "local"):
                asked = re.search(r'name="exchange" value="([^"]+)"', await browser.get(path))
                assert asked is not None
                await browser.send(path, exchange=asked[1], choice=choice)
            assert f"2 of {total[1]} disagreements" in await browser.get(path)
            assert len(services.evidence.judgements(found.id)) == 4, "both answers of both"
            await browser.send(path, choice="undo")
            assert len(services.evidence.judgements(found.id)) == 2
            assert f"1 of {total[1]} disagreements" in await browser.get(f"{path}?again")


@pytest.mark.parametrize("text", [HOSTILE, LONG], ids=["hostile", "long"])
async def test_strangers_text_is_text(browser: Browser, services: Services, text: str) -> None:
    _fill(services, text=text, name=text)
    if text is LONG:
        services.exchanges.assign({})  # how long a review of such texts takes is not the pages' matter
    save_plan(_plan(text), plan_file(services.settings))
    for path in (*PAGES, "tasks/t1", "tasks/t1/move?stage=live", "tasks/t1/rollback", "review/t1", "requests/here",
                 "requests/private", "requests?text=" + text[:20], "playground?exchange=here"):  # fmt: skip
        html = await browser.get(path)
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html) or "playground" in path
        assert len(html) < 400_000 or "playground" in path, "what is asked again is asked whole"


async def test_each_figure_of_the_ecosystem_has_its_definition_and_its_numbers(browser: Browser) -> None:
    page = await browser.get("ecosystem")
    figures = re.findall(r'href="[^"]*ecosystem/(\w+)\.csv"', page)
    assert len(figures) > 5
    assert page.count("<summary>Definition") == len(figures)
    lines = (await browser.get(f"ecosystem/{figures[0]}.csv")).splitlines()
    assert len(lines) > 2
    assert "no figure" in await browser.get("ecosystem/nothing.csv", status=404)


async def test_a_request_is_asked_of_a_candidate_again_and_nothing_is_recorded(tmp_path: Path) -> None:
    with evaluating(tmp_path / "home", recipes=("head",)) as (services, _):
        services.exchanges.append(exchanges(400))
        await evaluate(services)
        before = services.exchanges.count()
        id, task_id = next(iter(services.exchanges.assignments().items()))
        candidate_id = services.registry.candidates(task_id)[0].id
        async with client_of(services) as client:
            browser = Browser(client)
            assert candidate_id in await browser.get(f"requests/{id}")
            page = (await browser.send(f"replay/{id}", candidate=candidate_id)).text
            assert "<h1>Two answers to one request</h1>" in page
            assert "confidence" in page
            assert (await browser.send(f"replay/{id}", candidate="<none>")).status_code == 400
        assert services.exchanges.count() == before
