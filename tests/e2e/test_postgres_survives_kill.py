"""kill -9 of the database server, or of who uses it: no sample counts twice, no event and no exchange is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.stores import ExchangeFilter
from insource.core.values import Stage
from insource.wiring import open_services
from insource.workflows.services import Services
from tests.fakes.gateway_process import Installation
from tests.fakes.postgres import own_postgres
from tests.fakes.responder import running_responder

pytestmark = pytest.mark.slow

CLIENTS = 4
_WATCH = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from insource.core.errors import InsourceError
from insource.core.evidence import Event
from insource.core.values import Stage
from tests.fakes.watching import MOVE, watching

async def main() -> None:
    with watching(Path(sys.argv[1]), database_url=sys.argv[2], past=20, anchors=10, flush_seconds=0.001) as watched:
        print("ready", flush=True)
        while True:
            rows = [row for n in range(20) for row in watched.pair(float(n % 2 == 0))]
            watched.clock.advance(60)
            while True:
                try:
                    watched.services.exchanges.append(rows)
                    break
                except InsourceError:
                    await asyncio.sleep(0.1)
            await watched.watcher.tick()
            try:
                if watched.move.stage is Stage.ROLLED_BACK:
                    again = replace(MOVE, changed=watched.clock.now())
                    event = Event(created=again.changed, task_id="t1", kind="moved", text="x")
                    watched.services.registry.put_move(again, event)
            except InsourceError:
                pass

asyncio.run(main())
"""


def rolled_back(services: Services) -> int:
    return len(services.registry.events(task_id="t1", kind="rolled back"))


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("dies", ["watcher", "server"])
def test_what_was_decided_is_whole(tmp_path: Path, dies: str) -> None:
    root = Path(__file__).parents[2]
    with own_postgres() as server:
        command = [sys.executable, "-c", _WATCH, str(tmp_path), server.url]
        named: dict[str, Any] = {"home": tmp_path, "database_url": server.url}
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as watcher,
            open_services(Settings(**named)) as services,
        ):
            try:
                assert watcher.stdout is not None
                assert watcher.stdout.readline() == b"ready\n"
                wait_until(lambda: rolled_back(services) >= 2)
                if dies == "server":
                    server.kill()
                    server.start()
                    before = rolled_back(services)
                    wait_until(lambda: rolled_back(services) >= before + 2)
            finally:
                watcher.send_signal(signal.SIGKILL)
        with open_services(Settings(**named)) as services:
            history = Counter(move.stage for move in services.registry.move_history("t1"))
            events = services.registry.events(task_id="t1")
            shares = list(services.exchanges.read(ExchangeFilter(mark="share_of")))
    kinds = Counter(event.kind for event in events)
    assert (kinds["rolled back"], kinds["moved"]) == (history[Stage.ROLLED_BACK], history[Stage.LIVE])
    assert len({(event.kind, event.created) for event in events}) == len(events), "nothing is said twice"
    assert len(shares) == len({share.marks.share_of for share in shares}), "no request counts twice"


def test_the_gateway_answers_while_its_database_is_dead_and_records_it_all(tmp_path: Path) -> None:
    answered: list[str] = []
    enough = threading.Event()

    def ask_on(url: str, number: int) -> None:
        for count in range(10_000):
            if enough.is_set():
                return
            body = {"model": "m", "messages": [{"role": "user", "content": f"question {number} {count}"}]}
            request = urllib.request.Request(
                f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                answered.append(response.headers["x-insource-exchange"])
                response.read()
            time.sleep(0.02)

    with own_postgres() as server, running_responder("--any-model") as hosted:
        settings = {"provider_url": hosted.url, "database_url": server.url}
        installation = Installation(home=tmp_path, model=tmp_path / "none.gguf", settings=settings)
        with installation.serving() as serving:
            clients = [threading.Thread(target=ask_on, args=(serving.url, n), daemon=True) for n in range(CLIENTS)]
            for client in clients:
                client.start()
            wait_until(lambda: len(answered) >= 50)
            server.kill()
            at_death = len(answered)
            wait_until(lambda: len(answered) >= at_death + 50)
            server.start()
            at_start = len(answered)
            wait_until(lambda: len(answered) >= at_start + 50)
            enough.set()
            for client in clients:
                client.join(30)
            time.sleep(2.0)  # longest pause of the writer before it tries again, and one to write
            os.kill(serving.process.pid, signal.SIGKILL)
        named: dict[str, Any] = {"home": tmp_path, "database_url": server.url}
        with open_services(Settings(**named)) as services:
            kept = Counter(exchange.id for exchange in services.exchanges.read())
    assert kept == Counter(answered)
