"""A real gateway with a moved task: its share is sent, its anchors are asked, and what goes wrong is rolled back."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, Stage
from insource.wiring import open_services
from insource.workflows.prove.evaluate import Wanted, evaluate_task
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.move import move_task
from tests.fakes.gateway_process import Installation
from tests.fakes.responder import running_responder
from tests.fakes.traffic import SYSTEM, exchanges, message

pytestmark = pytest.mark.slow


def ask(url: str, text: str) -> str:
    """Answers with the route."""
    body = {"model": "gpt-4", "messages": [SYSTEM, {"role": "user", "content": text}]}
    sent = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(sent, timeout=20) as reply:
        reply.read()
        return str(reply.headers["x-insource-route"])


def marked(home: Path, mark: Any) -> list[Exchange]:
    named: dict[str, Any] = {"home": home}
    with open_services(Settings(**named)) as services:
        return list(services.exchanges.read(ExchangeFilter(mark=mark)))


async def test_a_live_move_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: dict[str, Any] = {"home": tmp_path}
    with open_services(Settings(**named)) as services:
        services.exchanges.append(exchanges(1_500))
        find_tasks(services)
        (task,) = services.registry.tasks()
        found = await evaluate_task(services, task, candidates=Wanted(recipes=["head"], models=()))
        assert found.best is not None, found.reason
        move_task(services, task.id, to=None, stage=Stage.LIVE)
    monkeypatch.setenv("A_KEY", "sk-test")
    settings = {"share": "1.0", "watch_seconds": "0.5", "anchors": "6", "provider_key_env": "A_KEY"}
    with running_responder("--any-model") as hosted:
        installation = Installation(
            home=tmp_path, model=tmp_path / "none.gguf", settings={**settings, "provider_url": hosted.url}
        )
        with installation.serving() as serving:
            deadline = time.monotonic() + 60
            while len(marked(tmp_path, "anchor_of")) < 18 and time.monotonic() < deadline:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.5)
            routes = [ask(serving.url, message(9_000 + n)[0]) for n in range(12)]
            here = sum("engine:" in route for route in routes)
            assert here > 0, routes
            # This provider says other things than the log's, so that every share is a loss.
            while "Rolled back" not in (said := installation.run("moves", "--events").stdout):
                assert time.monotonic() < deadline, said
                await asyncio.sleep(0.5)
            await asyncio.sleep(1.0)
            assert "engine:" not in ask(serving.url, message(9_500)[0])
    anchors, shares = marked(tmp_path, "anchor_of"), marked(tmp_path, "share_of")
    assert len(anchors) >= 18, "six on the provider, and twice on this machine"
    assert len(shares) == here
    assert all(share.route is not None and share.route.upstream.startswith("provider:") for share in shares)
    kinds = [event["kind"] for event in installation.json("moves", "--events")]
    assert kinds == ["moved", "rolled back"]
