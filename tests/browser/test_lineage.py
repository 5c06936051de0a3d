"""The lineage of a model with 5,000 descendants in a real browser: drawn, and moved without a pause."""

from __future__ import annotations

import statistics
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Dashboard
from tests.hub_rows import archived, model

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DESCENDANTS = 5_200
MOST_MS = 50
# From the key to the second frame after it: then the moved picture has been painted.
_STEP = """async (key) => {
  const frame = document.getElementById("graph");
  const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await painted();
  const started = performance.now();
  frame.dispatchEvent(new KeyboardEvent("keydown", { key }));
  await painted();
  return performance.now() - started;
}"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rows = [model("org/root", kind=None)]
    rows += [
        model(
            f"o{number}/m{number}", "org/root" if number < 300 else f"o{number % 300}/m{number % 300}", downloads=number
        )
        for number in range(DESCENDANTS)
    ]
    archived(tmp_path / "home/hub", *rows, day=date(2026, 10, 5))
    return tmp_path / "home"


def test_five_thousand_models_are_drawn_and_move_fluently(chromium: Browser, dashboard: Dashboard) -> None:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.goto(dashboard.entrance)
    page.goto(dashboard.page("models/org/root"))
    page.get_by_role("link", name="Show up to 5,000 models").click()
    page.wait_for_url("**all=1*", wait_until="load")
    assert page.locator("#graph circle").count() >= 5_000
    place = "document.querySelector('#graph svg').style.transform"
    before = page.evaluate(place)
    times = {key: [page.evaluate(_STEP, key) for _ in range(15)] for key in ("ArrowRight", "-", "+")}
    assert page.evaluate(place) != before
    medians = {key: statistics.median(each) for key, each in times.items()}
    assert max(medians.values()) <= MOST_MS, medians
    page.close()
