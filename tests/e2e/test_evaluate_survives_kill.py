"""kill -9 in the middle of an evaluation, and start it again: the same certificate, and no answer asked twice."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

from insource.core.values import JsonObject
from insource.workflows.prove.find_tasks import find_tasks
from tests.fakes.evaluating import evaluate, evaluating
from tests.fakes.traffic import exchanges

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.e2e.evaluate_until_killed"]
AT = (30, 200)
"""Answers after which it is killed: while the terms are set, and while evidence is gathered."""
SLOTS = 4


def test_an_evaluation_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    home, whole, notes = tmp_path / "home", tmp_path / "whole", tmp_path / "notes"
    with evaluating(home) as (services, _):
        services.exchanges.append(exchanges(1_000))
        find_tasks(services)
    shutil.copytree(home, whole)
    notes.touch()
    for answers in AT:
        process = subprocess.Popen([*COMMAND, str(home), str(notes)], cwd=ROOT, env=environment(tmp_path))
        try:
            wait_for(notes, answers, process)
        finally:
            process.kill()
            process.wait()
    done = subprocess.run(
        [*COMMAND, str(home), str(notes)], cwd=ROOT, env=environment(tmp_path), capture_output=True, check=True
    )
    certificate = json.loads(done.stdout)
    assert certificate is not None
    asked = Counter(notes.read_text().split())
    twice = [key for key, times in asked.items() if times > 1]
    assert len(twice) <= SLOTS * len(AT), "only what was under way when it was killed"
    with evaluating(home) as (services, engine), evaluating(whole) as (other, engine_of_other):
        in_one_go = asyncio.run(evaluate(other))
        assert in_one_go.best is not None
        assert len(engine_of_other.calls) == len(asked), "the same requests, whether in one go or not"
        assert bundle(services.evidence.bundle(certificate)) == bundle(
            other.evidence.bundle(in_one_go.best.certificate_id or "")
        )
        asyncio.run(evaluate(services))
        assert engine.calls == [], "all that was noted is kept"


def environment(folder: Path) -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "src")]
    return {**os.environ, "INSOURCE_HOME": str(folder / "unused"), "PYTHONPATH": os.pathsep.join(paths)}


def wait_for(notes: Path, answers: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(notes.read_text().split()) < answers:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def bundle(raw: bytes | None) -> JsonObject:
    """All of it but the time at which it was made."""
    assert raw is not None
    document = json.loads(zlib.decompress(raw))
    del document["created"]
    return document
