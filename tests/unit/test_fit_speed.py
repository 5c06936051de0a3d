"""The speed formulas: what must hold for every model and machine, and how devices, experts and sequences add up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.architecture import ModelSpec
from insource.core.hardware import Device, Machine, Rate
from insource.fit.calibration import NO_CORRECTION, update
from insource.fit.memory import predict_memory
from insource.fit.speed import Corrections, predict_speed
from insource.fit.values import CacheType, RunSettings, SpeedPrediction
from insource.fit.work import Load, cache_bytes_read, expected_share, multiplied_parameters, weight_bytes_read
from insource.machine.parse import parse_machine
from tests.fit_models import CONFIGS, spec_named

ONE = RunSettings(slots=1, context_tokens=8192)


@cache
def machine(name: str) -> Machine:
    return parse_machine(name)


def speed(spec: ModelSpec, machine: Machine, run: RunSettings = ONE, load: Load | None = None) -> SpeedPrediction:
    found = predict_speed(
        spec, machine, run, memory=predict_memory(spec, machine, run), load=load or Load(depth_tokens=512)
    )
    assert found is not None
    return found


def decode(spec: ModelSpec, machine: Machine, run: RunSettings = ONE, load: Load | None = None) -> float:
    return speed(spec, machine, run, load).decode_tokens_per_second.mid


def with_rates(machine: Machine, *, bandwidth: float, flops: float) -> Machine:
    def changed(device: Device) -> Device:
        rate = Rate(value=bandwidth, source="stated")
        return replace(device, bandwidth_bytes_per_second=rate, matmul_flops=Rate(value=flops, source="stated"))

    return replace(machine, devices=tuple(changed(device) for device in machine.devices))


models = st.sampled_from(sorted(CONFIGS))
quantizations = st.sampled_from(["Q2_K", "Q4_K_M", "Q8_0", "BF16"])
machines = st.sampled_from(["2x h100", "rtx-4090", "m4 max 128gb", "rx 7900 xtx", "arc b580"])
depths = st.integers(0, 100_000)


@given(models, quantizations, machines, depths, st.integers(1, 16))
def test_intervals_are_ordered_and_positive(name: str, quantization: str, where: str, depth: int, n: int) -> None:
    found = speed(spec_named(name, quantization), machine(where), load=Load(depth_tokens=depth, concurrency=n))
    for estimate in (found.decode_tokens_per_second, found.prefill_tokens_per_second):
        assert 0 < estimate.low < estimate.mid < estimate.high


@given(models, quantizations, st.floats(20e9, 4e12), st.floats(1.01, 10), depths)
def test_more_bandwidth_or_throughput_is_never_slower(
    name: str, quantization: str, bandwidth: float, factor: float, depth: int
) -> None:
    spec, load = spec_named(name, quantization), Load(depth_tokens=depth)
    slow = with_rates(machine("2x h100"), bandwidth=bandwidth, flops=50e12)
    fast = with_rates(machine("2x h100"), bandwidth=bandwidth * factor, flops=50e12)
    wide = with_rates(machine("2x h100"), bandwidth=bandwidth, flops=50e12 * factor)
    base = speed(spec, slow, load=load)
    assert decode(spec, slow, load=load) < decode(spec, fast, load=load) < factor * decode(spec, slow, load=load)
    assert base.prefill_tokens_per_second.mid < speed(spec, wide, load=load).prefill_tokens_per_second.mid


@given(models, machines, depths, st.integers(1, 50_000))
def test_a_deeper_context_is_never_faster(name: str, where: str, depth: int, more: int) -> None:
    spec, on = spec_named(name, "Q4_K_M"), machine(where)
    assert decode(spec, on, load=Load(depth_tokens=depth)) >= decode(spec, on, load=Load(depth_tokens=depth + more))


@given(models, depths)
def test_more_bytes_are_slower(name: str, depth: int) -> None:
    on, load = machine("2x h100"), Load(depth_tokens=depth)
    speeds = [round(decode(spec_named(name, q), on, load=load), 9) for q in ("Q4_K_M", "Q8_0", "BF16")]
    assert speeds == sorted(speeds, reverse=True)
    caches: list[CacheType] = ["q4_0", "q8_0", "f16", "f32"]
    runs = [replace(ONE, cache_type_k=kind, cache_type_v=kind) for kind in caches]
    speeds = [round(decode(spec_named(name, "Q4_K_M"), on, run, load), 9) for run in runs]  # equal at depth 0
    assert speeds == sorted(speeds, reverse=True)


@given(models, st.integers(1, 32), st.integers(1, 32))
def test_together_sequences_are_each_slower_and_in_sum_faster(name: str, n: int, more: int) -> None:
    spec, on = spec_named(name, "Q4_K_M"), machine("2x h100")
    few, many = (decode(spec, on, load=Load(depth_tokens=1000, concurrency=c)) for c in (n, n + more))
    assert few > many
    assert few * n < many * (n + more)


def test_experts_are_read_as_far_as_they_are_chosen() -> None:
    spec = spec_named("qwen3.6-35b-a3b", "Q4_K_M")
    dense = sum(spec.weights.layer_bytes) - spec.weights.expert_bytes + spec.weights.output_bytes
    assert weight_bytes_read(spec) == pytest.approx(dense + spec.weights.expert_bytes * 8 / 256)
    assert weight_bytes_read(spec, 1e6) == pytest.approx(dense + spec.weights.expert_bytes)
    assert expected_share(8 / 256, 2) == pytest.approx(1 - (1 - 8 / 256) ** 2)
    assert weight_bytes_read(spec, 2) < 2 * weight_bytes_read(spec)


def test_a_tied_embedding_is_read_as_the_head_and_other_inputs_are_not() -> None:
    untied, tied = spec_named("qwen3-8b", "BF16"), spec_named("qwen3-0.6b", "BF16")
    assert multiplied_parameters(untied) == pytest.approx(untied.parameters - 151936 * 4096)
    assert weight_bytes_read(untied) == pytest.approx(2 * multiplied_parameters(untied), rel=0.001)
    assert multiplied_parameters(tied) == tied.parameters
    assert weight_bytes_read(tied) == pytest.approx(2 * tied.parameters, rel=0.001)
    small = spec_named("gemma-4-e2b", "BF16")  # 4.7 B with its embeddings per layer, 2.3 B that are multiplied
    assert multiplied_parameters(small) == pytest.approx(small.parameters - 35 * 256 * 262144)
    assert weight_bytes_read(small) == pytest.approx(2 * multiplied_parameters(small), rel=0.01)


def test_cache_reads_follow_the_layers() -> None:
    depth = 10_000
    dense = cache_bytes_read(spec_named("qwen3-8b", "Q4_K_M"), ONE, depth)
    assert dense == 36 * 2 * 8 * 128 * 2 * depth
    q8 = cache_bytes_read(
        spec_named("qwen3-8b", "Q4_K_M"), replace(ONE, cache_type_k="q8_0", cache_type_v="q8_0"), depth
    )
    assert q8 == pytest.approx(dense * 34 / 64)
    sliding = cache_bytes_read(spec_named("gemma-3-12b", "Q4_K_M"), ONE, depth)
    assert sliding == 2 * 8 * 256 * 2 * (8 * depth + 40 * 1024)
    latent = cache_bytes_read(spec_named("deepseek-coder-v2-lite", "Q4_K_M"), ONE, depth)
    assert latent == 27 * 576 * 2 * depth
    hybrid = spec_named("qwen3.6-27b", "Q4_K_M")
    state = 48 * (128 * 128 * 48 + 3 * (128 * 48 + 2 * 16 * 128)) * 4 * 2
    assert cache_bytes_read(hybrid, ONE, 0) == state
    assert cache_bytes_read(hybrid, ONE, depth) == state + 16 * 2 * 4 * 256 * 2 * depth


def test_equal_gpus_work_one_after_the_other() -> None:
    spec = spec_named("qwen3-32b", "Q4_K_M")
    assert decode(spec, machine("2x rtx 4090")) == pytest.approx(decode(spec, machine("rtx 4090")), rel=0.01)


def test_layers_in_slow_memory_cost_what_they_cost_there() -> None:
    spec, on = spec_named("qwen3-32b", "Q4_K_M"), machine("rtx 4090")
    speeds = [decode(spec, on, replace(ONE, gpu_layers=n)) for n in (65, 60, 40, 20, 0)]
    assert speeds == sorted(speeds, reverse=True)
    times = [1 / each for each in speeds]
    between = times[0] + (times[4] - times[0]) * (25 / 65)  # 40 of 65 on the GPU
    assert times[2] == pytest.approx(between, rel=0.1)


def test_prompts_of_layers_in_slow_memory_are_read_on_the_accelerator() -> None:
    spec, run = spec_named("qwen3-8b", "Q8_0"), replace(ONE, gpu_layers=10)
    with_card, alone = machine("rtx-4090"), machine("rtx-4090")
    alone = replace(alone, devices=alone.devices[-1:])
    load = Load(depth_tokens=4096)
    spilled, on_cpu = speed(spec, with_card, run, load), speed(spec, alone, replace(run, gpu_layers=None), load)
    whole = speed(spec, with_card, ONE, load)
    assert on_cpu.prefill_tokens_per_second.mid * 5 < spilled.prefill_tokens_per_second.mid
    assert spilled.prefill_tokens_per_second.mid < whole.prefill_tokens_per_second.mid
    assert spilled.decode_tokens_per_second.mid < 3 * on_cpu.decode_tokens_per_second.mid


def test_without_a_known_bandwidth_nothing_is_said() -> None:
    spec, on = spec_named("qwen3-8b", "Q4_K_M"), machine("rtx 4090")
    unknown = replace(on, devices=(replace(on.devices[0], bandwidth_bytes_per_second=None), on.devices[1]))
    assert predict_speed(spec, unknown, ONE, memory=predict_memory(spec, unknown, ONE), load=Load()) is None


def test_the_basis_says_where_the_bandwidth_comes_from() -> None:
    found = speed(spec_named("qwen3-8b", "Q4_K_M"), machine("rtx 4090"))
    assert "1,008 GB/s (from the table)" in found.basis
    assert "published speeds on" in found.basis


@settings(max_examples=30)
@given(models, st.floats(0.5, 2.0))
def test_a_correction_moves_the_prediction_and_narrows_it(name: str, ratio: float) -> None:
    spec, on = spec_named(name, "Q4_K_M"), machine("2x h100")
    before = speed(spec, on).decode_tokens_per_second
    correction = NO_CORRECTION
    for _ in range(20):
        correction = update(correction, before.mid * ratio, before.mid)
    memory = predict_memory(spec, on, ONE)
    found = predict_speed(
        spec, on, ONE, memory=memory, load=Load(depth_tokens=512), corrections=Corrections(decode=correction)
    )
    assert found is not None
    after = found.decode_tokens_per_second
    assert after.mid == pytest.approx(before.mid * ratio, rel=0.03)
    assert after.high / after.low < before.high / before.low
    assert found.prefill_tokens_per_second == speed(spec, on).prefill_tokens_per_second
