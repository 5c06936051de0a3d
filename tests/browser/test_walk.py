"""A walk over every page as a person would take it, and pictures of the pages (`make screenshots`)."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from insource.wire import json_text
from tests.browser.conftest import Dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = os.environ.get("INSOURCE_TEST_AXE", "")
PICTURES = os.environ.get("INSOURCE_TEST_SCREENSHOTS", "")  # read before the isolating fixture clears it
MODEL = "Qwen/Qwen2.5-7B-Instruct"
WIDTHS = (360, 390, 1440, 2000)
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def _opened(chromium: Browser, dashboard: Dashboard, *, width: int = 1440, scheme: str = "light") -> Generator[Page]:
    """A page that fails the test on a console error and on a request to another host."""
    dark = "dark" if scheme == "dark" else "light"
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=dark)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(dashboard.url) else wrong.append(sent.url))
    page.goto(dashboard.entrance)
    yield page
    context.close()
    assert not wrong


def _paths(dashboard: Dashboard) -> list[str]:
    measured = dashboard.services.evidence.evaluations()[0].task_id
    exchange = next(iter(dashboard.services.exchanges.read())).id
    return [
        "", "tasks", f"tasks/{measured}", f"tasks/{measured}/move?stage=live", "review", f"review/{measured}",
        "requests", f"requests/{exchange}", "privacy", "models?text=qwen", f"models/{MODEL}", "ecosystem", "machine",
        "playground", "plan",
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_asks_nobody_else(chromium: Browser, dashboard: Dashboard, width: int, scheme: str) -> None:
    with _opened(chromium, dashboard, width=width, scheme=scheme) as page:
        for path in _paths(dashboard):
            answer = page.goto(dashboard.page(path))
            assert answer is not None
            assert answer.status == 200, path
            assert page.evaluate(_OVERFLOW) <= 0, f"{path} is wider than {width} px"
            assert page.locator("h1").count() == 1
            if PICTURES and width in (390, 1440):
                name = re.sub(r"\W+", "-", path.partition("?")[0]) or "overview"
                page.screenshot(path=str(Path(PICTURES) / f"{name}-{width}-{scheme}.png"), full_page=True)


def _answers_here(dashboard: Dashboard) -> int:
    """Of ten requests that were answered, sent again, how many this machine answers."""
    here = 0
    answered = (exchange for exchange in dashboard.services.exchanges.read() if exchange.response is not None)
    for exchange in islice(answered, 10):
        body, kind = json_text.encode(exchange.request), {"content-type": "application/json"}
        asked = urllib.request.Request(f"{dashboard.url}/v1/chat/completions", data=body, headers=kind)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            here += json.loads(answer.headers["x-insource-route"])["upstream"].startswith("engine:")
    return here


def test_a_task_is_moved_live_and_rolled_back(chromium: Browser, dashboard: Dashboard) -> None:
    best = max(dashboard.services.evidence.evaluations(), key=lambda each: each.coverage)
    with _opened(chromium, dashboard) as page:
        page.goto(dashboard.page(f"tasks/{best.task_id}"))
        page.get_by_role("link", name="Move to live").click()
        page.get_by_role("button", name="Move it").click()
        assert page.get_by_role("status").inner_text().startswith("Moved.")
        page.wait_for_timeout(1500)
        assert _answers_here(dashboard) > 0
        page.reload()
        page.get_by_role("link", name="Roll back").click()
        page.get_by_role("button", name="Roll it back").click()
        assert "Rolled back." in page.get_by_role("status").inner_text()
        page.wait_for_timeout(1500)
        assert _answers_here(dashboard) == 0
    kinds = [event.kind for event in dashboard.services.registry.events(task_id=best.task_id)]
    assert kinds[-2:] == ["moved", "rolled back"]


def test_disagreements_are_decided_by_one_key_each(chromium: Browser, dashboard: Dashboard) -> None:
    task_id = max(dashboard.services.evidence.evaluations(), key=lambda each: each.coverage).task_id
    registry, log = dashboard.services.registry, dashboard.services.exchanges
    labels = next(task for task in registry.tasks() if task.id == task_id).output.labels
    places = [place for place in dashboard.services.evidence.places(task_id) if place.part == "evidence"]
    for place in places[:30]:
        log.set_reference(place.exchange_id, reference=labels[0], kind="label")
    with _opened(chromium, dashboard) as page:
        page.goto(dashboard.page(f"review/{task_id}"))
        for key in "hlbnhlbnhl":
            with page.expect_navigation():
                page.keyboard.press(key)
        assert page.locator(".lead").inner_text().startswith("10 of ")
        with page.expect_navigation():
            page.keyboard.press("u")
        assert page.locator(".lead").inner_text().startswith("9 of ")


def test_a_policy_is_tried_and_set(chromium: Browser, dashboard: Dashboard) -> None:
    with _opened(chromium, dashboard) as page:
        page.goto(dashboard.page("privacy"))
        page.get_by_label("email", exact=True).select_option("refuse")
        page.get_by_role("button", name="Try it on the log").click()
        assert page.locator("h1").inner_text() == "What this policy would have done"
        page.get_by_role("button", name="Set this policy").click()
        assert "A policy acts" in page.locator(".lead").inner_text()
        page.get_by_label("email", exact=True).select_option("watch")
        page.get_by_role("button", name="Try it on the log").click()
        page.get_by_role("button", name="Set this policy").click()


def test_the_playground_shows_the_answer_as_text(chromium: Browser, dashboard: Dashboard) -> None:
    exchange = next(iter(dashboard.services.exchanges.read()))
    with _opened(chromium, dashboard) as page:
        page.goto(dashboard.page(f"playground?exchange={exchange.id}"))
        page.get_by_role("button", name="Ask").click()
        page.locator("#answers pre", has_text=re.compile(r"\w")).wait_for()
        assert page.locator("#answers h2").inner_text() == exchange.request["model"]


def test_everything_is_read_without_scripts(chromium: Browser, dashboard: Dashboard) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(dashboard.entrance)
    for path in _paths(dashboard):
        page.goto(dashboard.page(path))
        assert page.locator("h1").is_visible()
    page.goto(dashboard.page(""))
    page.get_by_role("link", name="Tasks", exact=True).click()
    assert page.locator("h1").inner_text() == "Tasks"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_no_serious_violation(chromium: Browser, dashboard: Dashboard, width: int, scheme: str) -> None:
    if not AXE:
        pytest.skip("skipped: INSOURCE_TEST_AXE names no axe.min.js (`make browser` does)")
    source, found = Path(AXE).read_text(), list[str]()
    with _opened(chromium, dashboard, width=width, scheme=scheme) as page:
        for path in _paths(dashboard):
            page.goto(dashboard.page(path))
            page.evaluate(source)
            for violation in page.evaluate("axe.run()")["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    first = violation["nodes"][0]
                    found.append(f"{path}: {violation['id']}, {len(violation['nodes'])} x, {first['html'][:200]}")
    assert not found, "\n".join(found)
