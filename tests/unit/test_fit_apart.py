"""Experts in the system's memory: which tensors go, that nothing is lost, and what it is worth."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.architecture import ModelSpec
from insource.core.errors import UsageError
from insource.engines.models.gguf import read_header
from insource.fit.advice import experts_apart, is_whole
from insource.fit.families import spec_of_family
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.memory import predict_memory
from insource.fit.speed import predict_speed
from insource.fit.values import RunSettings
from insource.fit.work import Load
from insource.machine.parse import parse_machine
from insource.workflows.choose.apart import Apart, expert_layers
from tests.oracle.cases import QWEN3_30B_A3B

RUN = RunSettings(context_tokens=4096, slots=1)
MACHINE = parse_machine("rtx-2080+ddr4-3200 quad channel")


def moe() -> ModelSpec:
    spec = spec_of_family("Qwen/Qwen3-30B-A3B", quantization="Q4_K_M")
    assert spec is not None
    return spec


@pytest.mark.parametrize("layers", [0, 1, 20, 48])
def test_what_stays_behind_is_what_llama_cpp_pattern_names(layers: int, tmp_path: Path) -> None:
    """`llm_ffn_exps_block_regex` of common/common.h, for each of the first layers."""
    header = read_header(QWEN3_30B_A3B.write(tmp_path))
    pattern = re.compile(r"blk\.(\d+)\.ffn_(up|down|gate|gate_up)_(ch|)exps")
    named = [(pattern.match(tensor.name), tensor.size_bytes or 0) for tensor in header.tensors]
    truth = sum(size for found, size in named if found and int(found[1]) < layers)
    spec = spec_of_gguf(header, name="x")
    plenty = parse_machine("h100")
    run = replace(RUN, cpu_expert_layers=tuple(range(layers)))
    whole, apart = (predict_memory(spec, plenty, each) for each in (RUN, run))
    assert apart.devices[-1].weights_bytes - whole.devices[-1].weights_bytes == truth
    assert apart.devices[-1].expert_bytes == truth
    assert apart.weights_bytes == whole.weights_bytes
    assert apart.kv_cache_bytes == whole.kv_cache_bytes
    assert apart.apart_layers == layers


@given(st.integers(0, 49), st.sets(st.integers(0, 60), max_size=48))
def test_no_byte_is_lost_or_counted_twice(gpu_layers: int, apart: set[int]) -> None:
    spec = moe()
    run = replace(RUN, gpu_layers=gpu_layers, cpu_expert_layers=tuple(sorted(apart)))
    held = predict_memory(spec, MACHINE, run)
    plain = predict_memory(spec, MACHINE, replace(run, cpu_expert_layers=()))
    assert held.weights_bytes == plain.weights_bytes
    assert sum(device.expert_bytes for device in held.devices) == spec.weights.expert_bytes
    assert held.devices[0].weights_bytes <= plain.devices[0].weights_bytes


def test_the_advice_puts_all_else_on_the_accelerator_and_is_faster() -> None:
    spec = moe()
    spilled = predict_memory(spec, MACHINE, RUN)
    assert not is_whole(spec, MACHINE, spilled)
    chosen = experts_apart(spec, MACHINE, RUN)
    assert chosen is not None
    held = predict_memory(spec, MACHINE, chosen)
    assert held.fits
    assert is_whole(spec, MACHINE, held)
    fewer = replace(chosen, cpu_expert_layers=chosen.cpu_expert_layers[:-1])
    assert not predict_memory(spec, MACHINE, fewer).devices[0].fits
    slow, fast = (
        predict_speed(spec, MACHINE, run, memory=memory, load=Load(depth_tokens=2048))
        for run, memory in ((RUN, spilled), (chosen, held))
    )
    assert slow is not None
    assert fast is not None
    assert fast.decode_tokens_per_second.mid > 1.2 * slow.decode_tokens_per_second.mid


def test_there_is_no_such_advice_where_it_would_not_help() -> None:
    dense = spec_of_family("Qwen/Qwen3-32B", quantization="Q4_K_M")
    assert dense is not None
    assert experts_apart(dense, MACHINE, RUN) is None
    assert experts_apart(moe(), parse_machine("rtx-5090"), RUN) is None
    assert experts_apart(moe(), parse_machine("m4-pro-24gb"), RUN) is None


@pytest.mark.parametrize(
    ("asked", "layers"),
    [
        (Apart(), ()),
        (Apart(first_layers=3), (0, 1, 2)),
        (Apart(first_layers=999), tuple(range(48))),
        (Apart(patterns=(r"ffn_.*_exps=CPU",)), tuple(range(48))),
        (Apart(patterns=(r"blk\.(3[3-9])\.ffn_.*_exps=CPU",)), tuple(range(33, 40))),
        (Apart(first_layers=1, patterns=(r"blk\.47\.ffn_(gate|up|down)_exps=cpu",)), (0, 47)),
        (Apart(patterns=("nothing=CPU",)), ()),
    ],
)
def test_options_mean_layers(asked: Apart, layers: tuple[int, ...]) -> None:
    assert expert_layers(moe(), asked) == layers


@pytest.mark.parametrize("pattern", ["exps", "exps=CUDA0", "(=CPU", "attn=CPU", "ffn_up_exps=CPU", "=CPU", "blk=CPU"])
def test_what_is_no_set_of_experts_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        expert_layers(moe(), Apart(patterns=(pattern,)))


def test_a_dense_model_has_no_experts_to_keep() -> None:
    dense = spec_of_family("Qwen/Qwen3-8B")
    assert dense is not None
    with pytest.raises(UsageError):
        expert_layers(dense, Apart(first_layers=1))
