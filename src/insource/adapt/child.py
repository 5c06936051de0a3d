"""Work with the training libraries, in a process of its own: this one stays small, and a crash of theirs is an error
like any other. One JSON line in; JSON lines out, the last one `{"done": …}` or `{"refused": …}`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from insource.config import child_environment
from insource.core.errors import BadInput, InsourceError, TrainingFailed
from insource.core.processes import die_with_parent
from insource.core.values import JsonObject

_WAITING: Mapping[str, str] = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
"""Threads that spin while they wait take the cores from whoever wants them: three times slower beside neighbours."""
_OFFLINE: Mapping[str, str] = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_STOP_SECONDS = 10.0
_SHOWN_LINES = 8

Heard = Callable[[JsonObject], None]
Say = Callable[[str, Any], None]
"""(kind, value) of a line."""


def ignore(value: Any) -> None:
    """Nobody wants to know."""


def answer_of(module: str, request: str, *, heard: Heard = ignore, python: str = sys.executable) -> JsonObject:
    """Runs `python -m module`; the lines before the last go to `heard`. An exception of `heard` (an interrupt too) ends
    the process. Raises BadInput for what it refuses, TrainingFailed where it breaks."""
    with tempfile.TemporaryFile() as talk:
        process = subprocess.Popen(
            [python, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=talk,
            env=child_environment(defaults=_WAITING, **_OFFLINE),
        )
        try:
            found = _listened(process, request, heard)
        finally:
            _stop(process)
        if found is None:
            raise _crashed(process.returncode, talk)
        return found


def _listened(process: subprocess.Popen[bytes], request: str, heard: Heard) -> JsonObject | None:
    assert process.stdin is not None, "a pipe was asked for"
    assert process.stdout is not None, "a pipe was asked for"
    try:
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    for line in process.stdout:
        said: JsonObject = json.loads(line)
        if "refused" in said:
            raise BadInput(said["refused"]["message"], next_step=said["refused"]["next_step"])
        if "done" in said:
            return said["done"]
        heard(said)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(timeout=0.5 if process.poll() is None else None)
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _crashed(code: int | None, talk: IO[bytes]) -> TrainingFailed:
    talk.seek(0)
    lines = [line for line in talk.read().decode(errors="replace").splitlines() if line.strip()]
    return TrainingFailed(
        f"The training process ended with code {code}: {' | '.join(lines[-_SHOWN_LINES:]) or 'it said nothing'}",
        next_step="Start it again: it goes on from its last checkpoint. If memory ran out (code -9), lower the batch "
        "or the longest row.",
    )


def serve(work: Callable[[JsonObject, Say], Any]) -> int:
    """The child's side: does the work of one request. What the libraries print goes to stderr; the process ends with
    its parent."""
    die_with_parent()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)

        def say(kind: str, value: Any) -> None:
            lines.write(json.dumps({kind: value}, ensure_ascii=False) + "\n")
            lines.flush()

        try:
            say("done", work(json.loads(sys.stdin.readline()), say))
        except InsourceError as error:
            say("refused", {"message": error.message, "next_step": error.next_step})
    return 0
