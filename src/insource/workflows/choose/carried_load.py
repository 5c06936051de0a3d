"""Whether a model carries a task's load on a machine, not only fits it: the queue of `fit/capacity.py`, fed with the
task's own lengths and the predicted speed at every number of requests at once. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from insource.core.architecture import ModelSpec
from insource.core.hardware import Machine
from insource.fit.memory import predict_memory
from insource.fit.speed import NO_CORRECTIONS, Corrections, predict_speed
from insource.fit.values import RunSettings
from insource.fit.work import Load
from insource.workflows.choose.task_traffic import LONG, quantile

if TYPE_CHECKING:
    from insource.fit.capacity import Capacity, Lengths, ServiceSpeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Requests as they come, and how fast each must be answered."""

    prompt_tokens: tuple[int, ...]
    answer_tokens: tuple[int, ...]
    latency_seconds: float

    @property
    def depth_tokens(self) -> int:
        """Of a long request, in the middle of its answer."""
        return quantile(self.prompt_tokens, LONG) + quantile(self.answer_tokens, LONG) // 2


def carried_load(
    spec: ModelSpec, machine: Machine, run: RunSettings, *, demand: Demand, corrections: Corrections = NO_CORRECTIONS
) -> Capacity | None:
    """The most that is carried. None: a speed can't be told."""
    # Late, with NumPy: most questions never ask for a load.
    from insource.fit.capacity import LatencyTarget, capacity

    service = _service(spec, machine, run, depth_tokens=demand.depth_tokens, corrections=corrections)
    if service is None:
        return None
    return capacity(_lengths(demand), service, LatencyTarget(seconds=demand.latency_seconds, share=LONG))


def carries(
    spec: ModelSpec, machine: Machine, run: RunSettings, *, demand: Demand, requests_per_minute: float
) -> bool | None:
    """Whether that many are carried; much cheaper than asking for the most. None: a speed can't be told."""
    from insource.fit.capacity import LatencyTarget, sustains

    service = _service(spec, machine, run, depth_tokens=demand.depth_tokens, corrections=NO_CORRECTIONS)
    if service is None:
        return None
    target = LatencyTarget(seconds=demand.latency_seconds, share=LONG)
    return sustains(_lengths(demand), service, target, requests_per_minute=requests_per_minute)


def _service(
    spec: ModelSpec, machine: Machine, run: RunSettings, *, depth_tokens: int, corrections: Corrections
) -> ServiceSpeed | None:
    """With speeds at the slow end of their intervals."""
    from insource.fit.capacity import ServiceSpeed

    memory = predict_memory(spec, machine, run)
    steps: list[float] = []
    prefill = 0.0
    for concurrency in range(1, run.slots + 1):
        load = Load(depth_tokens=depth_tokens, concurrency=concurrency)
        speed = predict_speed(spec, machine, run, memory=memory, load=load, corrections=corrections)
        if speed is None:
            return None
        steps.append(1 / speed.decode_tokens_per_second.low)
        prefill = prefill or speed.prefill_tokens_per_second.low
    return ServiceSpeed(prefill_tokens_per_second=prefill, step_seconds=tuple(steps))


def _lengths(demand: Demand) -> list[Lengths]:
    from insource.fit.capacity import Lengths

    return [Lengths(p, a) for p, a in zip(demand.prompt_tokens, demand.answer_tokens, strict=True)]
