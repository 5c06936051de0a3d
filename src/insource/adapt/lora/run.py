"""Training in a process of its own, so that this one stays small and a crash of the libraries is an error like any
other. Start it again with the same job after a kill, and it goes on from the last checkpoint to the same adapter."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from insource.adapt.extras import TRAINING, require
from insource.adapt.lora.job import Job, OnCheckpoint, OnProgress, Progress, Trained, as_json, trained_of
from insource.config import child_environment
from insource.core.errors import BadInput, InsourceError

_MODULE = "insource.adapt.lora.trainer.main"
_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
"""Threads that spin while they wait take the cores from whoever wants them: three times slower beside neighbours."""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_STOP_SECONDS = 10.0
_SHOWN_LINES = 8


def ignore(value: Any) -> None:
    """Nobody wants to know."""


def train(
    job: Job, *, progress: OnProgress = ignore, on_checkpoint: OnCheckpoint = ignore, python: str = sys.executable
) -> Trained:
    """Blocks until the adapter is there. An exception of `progress` (an interrupt too) ends the training; its
    checkpoints stay. Raises UsageError without the extra, BadInput for a job that can't be trained."""
    if python == sys.executable:
        require(TRAINING, extra="adapt", purpose="Training")
    Path(job.workspace).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as talk:
        process = subprocess.Popen(
            [python, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=talk,
            env=child_environment(defaults=_WAITING, **_OFFLINE),
        )
        try:
            found = _listened(process, job, progress, on_checkpoint)
        finally:
            _stop(process)
        if found is None:
            raise _crashed(process.returncode, talk)
        return found


def _listened(
    process: subprocess.Popen[bytes], job: Job, progress: OnProgress, on_checkpoint: OnCheckpoint
) -> Trained | None:
    assert process.stdin is not None, "a pipe was asked for"
    assert process.stdout is not None, "a pipe was asked for"
    try:
        process.stdin.write(as_json(job).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if "progress" in said:
            progress(Progress(**said["progress"]))
        elif "checkpoint" in said:
            on_checkpoint(Path(said["checkpoint"]))
        elif "refused" in said:
            raise BadInput(said["refused"]["message"], next_step=said["refused"]["next_step"])
        elif "trained" in said:
            return trained_of(said["trained"])
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


def _crashed(code: int | None, talk: IO[bytes]) -> InsourceError:
    talk.seek(0)
    lines = [line for line in talk.read().decode(errors="replace").splitlines() if line.strip()]
    return InsourceError(
        f"The training process ended with code {code}: {' | '.join(lines[-_SHOWN_LINES:]) or 'it said nothing'}",
        next_step="Start the same training again: it goes on from its last checkpoint. If memory ran out (code -9), "
        "lower the batch or the longest row.",
    )
