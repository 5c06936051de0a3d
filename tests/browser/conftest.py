"""`make browser`: a gateway with its dashboard over a small measured store, and the system's Chromium.

INSOURCE_TEST_STORE names another store to walk over, such as the demo's folder; it is copied first.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from insource.cli.session import load_settings
from insource.gateway.server import bind, gateway_app, make_server
from insource.web.access import ROOT
from insource.web.dashboard import dashboard_app
from insource.wiring import open_services
from insource.workflows.plan import make_plan, plan_json
from insource.workflows.saved_plan import plan_file, save_plan
from insource.workflows.services import Services
from tests.fakes.evaluating import evaluating
from tests.fakes.traffic import exchanges

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOKEN = "browser-token"
STORE = os.environ.get("INSOURCE_TEST_STORE", "")  # read before the isolating fixture clears it
CHROMIUM = shutil.which(os.environ.get("INSOURCE_TEST_CHROMIUM", ""))


@dataclass(frozen=True, slots=True)
class Dashboard:
    url: str
    services: Services

    @property
    def entrance(self) -> str:
        return f"{self.url}{ROOT}?token={TOKEN}"

    def page(self, path: str) -> str:
        return self.url + ROOT + path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="skipped: Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("skipped: INSOURCE_TEST_CHROMIUM names no Chromium (`make browser` does)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "home"
    if STORE:
        shutil.copytree(STORE, folder)
        return folder
    with evaluating(folder, recipes=("head",)) as (services, _):
        services.exchanges.append(exchanges(1_500))
        # In a thread: Playwright's own loop runs in this one.
        save_plan(plan_json(_in_thread(make_plan, services)), plan_file(services.settings))
    return folder


def _in_thread(make: Any, services: Services) -> Any:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(asyncio.run(make(services))))
    thread.start()
    thread.join()
    return made[0]


@pytest.fixture
def dashboard(chromium: Browser, home: Path) -> Iterator[Dashboard]:
    with open_services(load_settings(home=home, provider_replay=True)) as services, _served(services) as url:
        yield Dashboard(url, services)


@contextmanager
def _served(services: Services) -> Generator[str]:
    listener = bind("127.0.0.1", 0)
    server = make_server(gateway_app(services, dashboard=dashboard_app(services, TOKEN)))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
