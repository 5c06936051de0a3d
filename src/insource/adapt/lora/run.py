"""Training in a process of its own. Start it again with the same job after a kill, and it goes on from the last
checkpoint to the same adapter."""

from __future__ import annotations

import sys
from pathlib import Path

from insource.adapt.child import answer_of, ignore
from insource.adapt.extras import TRAINING, require
from insource.adapt.lora.job import Job, OnCheckpoint, OnProgress, Progress, Trained, as_json, trained_of
from insource.core.values import JsonObject

_MODULE = "insource.adapt.lora.trainer.main"


def train(
    job: Job, *, progress: OnProgress = ignore, on_checkpoint: OnCheckpoint = ignore, python: str = sys.executable
) -> Trained:
    """Blocks until the adapter is there. An exception of `progress` (an interrupt too) ends the training; its
    checkpoints stay. Raises UsageError without the extra, BadInput for a job that can't be trained."""
    if python == sys.executable:
        require(TRAINING, extra="adapt", purpose="Training")
    Path(job.workspace).mkdir(parents=True, exist_ok=True)

    def heard(said: JsonObject) -> None:
        if "progress" in said:
            progress(Progress(**said["progress"]))
        elif "checkpoint" in said:
            on_checkpoint(Path(said["checkpoint"]))

    return trained_of(answer_of(_MODULE, as_json(job), heard=heard, python=python))
