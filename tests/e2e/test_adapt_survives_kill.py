"""kill -9 of `insource adapt` in the middle of a training, and start it again: the same adapter, byte for byte.

Skipped without the extra `adapt`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra: pip install 'insource[adapt]'")

from insource.cli.session import load_settings
from insource.core.values import JsonObject
from insource.wiring import open_services
from insource.workflows.prove.find_tasks import find_tasks
from tests.fakes.gateway_process import Installation
from tests.fakes.tiny_gguf import write_tiny_gguf
from tests.fakes.traffic import exchanges

pytestmark = pytest.mark.slow

OPTIONS = ("--recipe", "lora", "--terms-read", "--minutes", "60", "--json")
MARK = 1234.5
"""A loss that no training has: what goes on from the checkpoint reports it, what starts anew does not."""


def test_an_adapt_that_is_killed_in_training_makes_the_same_adapter(tmp_path: Path) -> None:
    whole = Installation(home=tmp_path / "whole", model=write_tiny_gguf(tmp_path / "tiny.gguf"))
    with open_services(load_settings(home=whole.home)) as services:
        services.exchanges.append(exchanges(300))
        find_tasks(services)
        (task,) = services.registry.tasks()
    command = ("adapt", task.id, *OPTIONS)
    killed = Installation(home=tmp_path / "killed", model=whole.model)
    shutil.copytree(whole.home, killed.home)
    kill_after_a_checkpoint(killed, command)
    with ThreadPoolExecutor() as both:  # two processes: most of their time goes into loading libraries
        done = both.map(lambda one: json.loads(one.run(*command).stdout)["rungs"], (killed, whole))
        (reported,), (expected,) = done
    assert (reported["state"], reported["reason"]) == (expected["state"], expected["reason"])
    adapter, log = made(killed)
    other, other_log = made(whole)
    assert adapter.name == other.name
    assert adapter.read_bytes() == other.read_bytes()
    assert log["steps"] == other_log["steps"]
    assert log["losses"] == [MARK, *other_log["losses"][1:]]
    assert log["held_losses"] == other_log["held_losses"]


def kill_after_a_checkpoint(installation: Installation, arguments: Sequence[str]) -> None:
    """And note the mark in what it left. A tiny model has its first checkpoint when an epoch ends."""
    command = [sys.executable, "-m", "insource.cli.main", *arguments]
    checkpoints = "candidates/training/*/training/checkpoints/current"
    with subprocess.Popen(command, env=installation.environment(), stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not (found := list(installation.home.glob(checkpoints))):
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.002)
        finally:
            process.kill()
    (current,) = found
    assert not (current.parents[1] / "result.json").exists(), "it was killed in the middle"
    state = current.parent / current.read_text() / "state.json"
    left = json.loads(state.read_text())
    assert 0 < left["step"] < left["planned_steps"]
    state.write_text(json.dumps({**left, "losses": [MARK, *left["losses"][1:]]}))


def made(installation: Installation) -> tuple[Path, JsonObject]:
    """The one adapter that was kept, and the log of its training."""
    (adapter,) = (installation.home / "candidates").glob("*.gguf")
    return adapter, json.loads(adapter.with_suffix(".json").read_text())
