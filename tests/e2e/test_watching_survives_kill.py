"""kill -9 of a watcher at work: a move and its event go together, no sample counts twice, nothing is said twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.stores import ExchangeFilter
from insource.core.values import Stage
from insource.wiring import open_services

pytestmark = pytest.mark.slow

_WATCH = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from insource.core.evidence import Event
from insource.core.values import Stage
from tests.fakes.watching import MOVE, watching

async def main() -> None:
    with watching(Path(sys.argv[1]), anchors=10, flush_seconds=0.001) as watched:
        print("ready", flush=True)
        while True:
            watched.pairs([1.0, 0.0] * 10, days=0.0001)
            await watched.watcher.tick()
            if watched.move.stage is Stage.ROLLED_BACK:
                again = replace(MOVE, changed=watched.clock.now())
                event = Event(created=again.changed, task_id="t1", kind="moved", text="x")
                watched.services.registry.put_move(again, event)

asyncio.run(main())
"""


@pytest.mark.parametrize("after_seconds", [0.3, 0.8, 1.5])
def test_a_killed_watcher_leaves_whole_decisions(tmp_path: Path, after_seconds: float) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.Popen([sys.executable, "-c", _WATCH, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    assert done.stdout is not None
    assert done.stdout.readline() == b"ready\n"
    time.sleep(after_seconds)
    done.send_signal(signal.SIGKILL)
    done.wait()
    done.stdout.close()
    named: dict[str, Any] = {"home": tmp_path}
    with open_services(Settings(**named)) as services:
        history = services.registry.move_history("t1")
        events = services.registry.events(task_id="t1")
        rolled = [event for event in events if event.kind == "rolled back"]
        assert len(rolled) == sum(move.stage is Stage.ROLLED_BACK for move in history)
        assert len([event for event in events if event.kind == "moved"]) == sum(
            move.stage is Stage.LIVE for move in history
        )
        assert len(rolled) == len({event.created for event in rolled}), "nothing is said twice"
        shares = list(services.exchanges.read(ExchangeFilter(mark="share_of")))
        assert len(shares) == len({share.marks.share_of for share in shares}), "no request counts twice"
