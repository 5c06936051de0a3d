"""observe and enforce as they are served: the real services, a real scanner process, a provider on loopback."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from insource.config import Settings
from insource.core.values import Exchange
from insource.gateway.server import gateway_app
from insource.wiring import open_services
from insource.workflows.services import Services
from tests.fakes.gateway_process import Installation
from tests.fakes.loopback import hosted
from tests.fakes.old_store import old_store
from tests.fakes.plugins import install_moody_detector
from tests.fakes.responder import running_responder
from tests.fakes.servers import FakeProvider, ServerThread

PATIENCE_SECONDS = 60.0
PRIVATE, HARMLESS = "write to a@b.com", "write to nobody"


@dataclass(frozen=True, slots=True)
class Served:
    services: Services
    provider: FakeProvider
    url: str

    def ask(self, text: str, **more: Any) -> httpx.Response:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=PATIENCE_SECONDS)

    def exchange(self, answer: httpx.Response, *, scanned: bool = True) -> Exchange:
        """As the log holds it, once it was scanned."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for exchange in self.services.exchanges.read():
                known = exchange.private_kinds is not None
                if exchange.id == answer.headers["x-insource-exchange"] and (known or not scanned):
                    return exchange
            time.sleep(0.02)
        raise AssertionError("it was not recorded")


@contextmanager
def served(home: Path, **settings: Any) -> Generator[Served]:
    provider = FakeProvider(answer=hosted)
    with ServerThread(provider) as upstream:
        given: dict[str, Any] = {"home": home, "provider_url": upstream.url, "model": "file:/no/model.gguf", **settings}
        with open_services(Settings(**given)) as services, ServerThread(gateway_app(services)) as server:
            yield Served(services, provider, server.url)


def test_observe_sends_private_requests_on_and_finds_out_afterwards(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        answers = [it.ask(text) for text in (PRIVATE, HARMLESS)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len(it.provider.calls) == 2
        assert [it.exchange(answer).private_kinds for answer in answers] == [("email",), ()]
        assert httpx.get(f"{it.url}/health").json()["privacy"] == "observe"
        assert 'insource_private_requests_total{kind="email"} 1.0' in httpx.get(f"{it.url}/metrics").text


def test_observe_waits_for_no_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = str(install_moody_detector(tmp_path))
    monkeypatch.setenv("PYTHONPATH", site)
    monkeypatch.syspath_prepend(site)
    with served(tmp_path / "home", privacy_detector="moody", scan_cpu_seconds=2.0, scan_processes=1) as it:
        looping = it.ask("loop for ever")
        unscanned = it.exchange(looping, scanned=False)
        assert (unscanned.private_kinds, unscanned.is_whole) == (None, True), "answered and recorded before its scan"
        after = it.ask("a secret")
        assert it.exchange(looping).private_kinds == ("unscanned",)
        assert it.exchange(after).private_kinds == ("word",)


def test_enforce_keeps_private_requests_here(tmp_path: Path) -> None:
    with served(tmp_path, privacy="enforce") as it:
        refused, passed = it.ask(PRIVATE), it.ask(HARMLESS)
        assert (refused.status_code, passed.status_code) == (503, 200)
        assert "insource privacy show" in refused.json()["error"]["message"]
        assert len(it.provider.calls) == 1
        assert [it.exchange(answer).private_kinds for answer in (refused, passed)] == [("email",), ()]
        tools = it.ask(PRIVATE, tools=[{"type": "function", "function": {"name": "pay"}}])
        assert tools.status_code == 503


@pytest.mark.parametrize("privacy", ["", "observe"])
def test_a_store_that_an_older_insource_began_enforces_until_told_otherwise(tmp_path: Path, privacy: str) -> None:
    old_store(tmp_path / "insource.db", {"id": "old"})
    with served(tmp_path, privacy=privacy) as it:
        mode = privacy or "enforce"
        assert httpx.get(f"{it.url}/health").json()["privacy"] == mode
        assert it.ask(PRIVATE).status_code == (200 if mode == "observe" else 503)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "said"),
    [
        (False, "Mode: observe. Every request goes to the provider unchanged"),
        (True, "Mode: enforce because this store was begun by an older insource."),
    ],
)
def test_serve_says_what_it_does_and_what_would_change_it(tmp_path: Path, old: bool, said: str) -> None:
    if old:
        old_store(tmp_path / "insource.db", {"id": "old"})
    with running_responder("--any-model") as provider:
        settings = {"provider_url": provider.url}
        installation = Installation(home=tmp_path, model=tmp_path / "none.gguf", settings=settings)
        with installation.serving() as serving:
            httpx.get(f"{serving.url}/health")
    (line,) = [line for line in serving.said if line.startswith("Mode: ")]
    assert line.startswith(said)
    assert "INSOURCE_PRIVACY=" in line
