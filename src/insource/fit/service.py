"""From a predicted speed to what the queue needs: how fast an engine with so many slots serves a task. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from insource.core.architecture import ModelSpec
from insource.core.hardware import Machine
from insource.fit.capacity import Lengths, ServiceSpeed
from insource.fit.speed import NO_CORRECTIONS, Corrections, predict_speed
from insource.fit.values import MemoryPrediction, RunSettings
from insource.fit.work import Load


def service_speed(
    spec: ModelSpec,
    machine: Machine,
    run: RunSettings,
    *,
    memory: MemoryPrediction,
    lengths: Sequence[Lengths],
    corrections: Corrections = NO_CORRECTIONS,
) -> ServiceSpeed | None:
    """At the mean depth of the task's answers, with as many slots as `run` has. None: the speed can't be said."""
    count = max(1, len(lengths))
    prompt = sum(each.prompt_tokens for each in lengths) // count
    depth = prompt + sum(each.answer_tokens for each in lengths) // count // 2
    alone = predict_speed(
        spec, machine, run, memory=memory, load=Load(depth_tokens=max(1, prompt)), corrections=corrections
    )
    if alone is None:
        return None
    steps: list[float] = []
    for concurrency in range(1, run.slots + 1):
        load = Load(depth_tokens=depth, concurrency=concurrency)
        found = predict_speed(spec, machine, run, memory=memory, load=load, corrections=corrections)
        if found is None:
            return None
        steps.append(1 / found.decode_tokens_per_second.mid)
    return ServiceSpeed(prefill_tokens_per_second=alone.prefill_tokens_per_second.mid, step_seconds=tuple(steps))
