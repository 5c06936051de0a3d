"""A model on a machine, a task's lengths, and what they carry together."""

from __future__ import annotations

from bench.fit_capacity import service_speed

from insource.fit.capacity import LatencyTarget, Lengths, capacity
from insource.fit.values import RunSettings
from insource.machine.parse import parse_machine
from tests.fit_models import spec_named

TASK = [Lengths(n * 37 % 900 + 100, n * 11 % 80 + 20) for n in range(60)]


def carried(name: str, where: str, slots: int) -> float:
    spec, machine, run = spec_named(name, "Q4_K_M"), parse_machine(where), RunSettings(slots=slots)
    speed = service_speed(spec, machine, run, TASK)
    assert len(speed.step_seconds) == slots
    assert list(speed.step_seconds) == sorted(speed.step_seconds), "each is slower beside others"
    shared = [step / count for count, step in enumerate(speed.step_seconds, start=1)]
    assert shared == sorted(shared, reverse=True), "all together are faster"
    return capacity(TASK, speed, LatencyTarget(seconds=5)).requests_per_minute


def test_more_slots_faster_machines_and_smaller_models_carry_more() -> None:
    assert carried("qwen3-8b", "rtx 4090", 1) < carried("qwen3-8b", "rtx 4090", 4)
    assert carried("qwen3-8b", "rtx 3060", 4) < carried("qwen3-8b", "rtx 4090", 4)
    assert carried("qwen3-32b", "rtx 4090", 4) < carried("qwen3-8b", "rtx 4090", 4)


def test_a_machine_may_fit_a_model_and_not_carry_the_load() -> None:
    assert carried("qwen3-32b", "ddr5-5600", 4) == 0
