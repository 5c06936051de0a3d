"""The memory formulas without an engine: sums that can be done by hand, and where the parts go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.architecture import Architecture, Layer, ModelSpec, Weights
from insource.core.hardware import Device, DeviceKind, Machine
from insource.engines.worker import CHECKPOINTS
from insource.fit.memory import predict_memory
from insource.fit.placement import ranges
from insource.fit.values import RunSettings

MIB = 1 << 20
_FULL = Layer(
    kind="full", key_width=1024, value_width=1024, query_heads=32, query_width=4096, feed_forward_width=12_288
)
_RUN = RunSettings(context_tokens=32_768, slots=1)


def _spec(*layers: Layer, window: int | None = None, tied: bool = False, extra_bytes: int = 0) -> ModelSpec:
    return ModelSpec(
        name="made",
        architecture=Architecture(
            name="qwen3",
            layers=layers,
            embedding_width=4096,
            vocabulary=151_936,
            sliding_window_tokens=window,
            context_tokens=40_960,
            tied_embeddings=tied,
        ),
        weights=Weights(
            layer_bytes=(100 * MIB,) * len(layers),
            input_bytes=300 * MIB,
            output_bytes=MIB if tied else 400 * MIB,
            largest_bytes=30 * MIB,
        ),
        source="header",
        parameters=8_000_000_000,
        active_parameters=8_000_000_000,
        extra_bytes=extra_bytes,
    )


def _device(
    name: str, free_mib: int, *, kind: DeviceKind = "gpu", backend: str = "cuda", unified: bool = False
) -> Device:
    return Device(
        name=name,
        description="",
        kind=kind,
        backend=backend,
        memory_total_bytes=free_mib * MIB,
        memory_free_bytes=free_mib * MIB,
        unified=unified,
    )


def _machine(*accelerators: Device, cpu_mib: int = 64 * 1024) -> Machine:
    cpu = _device("CPU", cpu_mib, kind="cpu", backend="cpu")
    return Machine(name="made", devices=(*accelerators, cpu), cores=8)


def _kv_mib(spec: ModelSpec, run: RunSettings) -> float:
    return predict_memory(spec, _machine(), run).kv_cache_bytes / MIB


# --------------------------------------------------------------------------------------------------- KV cache


def test_full_attention_keeps_every_token() -> None:
    assert _kv_mib(_spec(*[_FULL] * 36), _RUN) == 36 * 2 * 1024 * 32_768 * 2 / MIB == 4608


def test_cache_types_count_their_blocks() -> None:
    spec = _spec(_FULL)
    f16 = _kv_mib(spec, _RUN)
    for kind, share in (("f32", 2.0), ("bf16", 1.0), ("q8_0", 34 / 64), ("q5_1", 24 / 64), ("q4_0", 18 / 64)):
        assert _kv_mib(spec, replace(_RUN, cache_type_k=kind, cache_type_v=kind)) == f16 * share
    mixed = replace(_RUN, cache_type_k="q8_0", cache_type_v="q4_0")
    assert _kv_mib(spec, mixed) == f16 * (34 + 18) / 128


def test_contexts_are_padded_for_each_slot() -> None:
    spec = _spec(_FULL)
    token = 2 * 1024 * 2 / MIB
    assert _kv_mib(spec, RunSettings(context_tokens=1000, slots=1)) == 1024 * token
    assert _kv_mib(spec, RunSettings(context_tokens=4096, slots=3)) == 3 * 1536 * token
    assert _kv_mib(spec, RunSettings(context_tokens=100, slots=4)) == 4 * 256 * token


def test_sliding_layers_hold_their_window_and_one_batch() -> None:
    spec = _spec(replace(_FULL, kind="sliding"), window=1024)
    token = 2 * 1024 * 2 / MIB
    assert _kv_mib(spec, _RUN) == 1536 * token
    assert _kv_mib(spec, replace(_RUN, slots=4)) == 4 * 1536 * token
    assert _kv_mib(spec, RunSettings(context_tokens=512, slots=1)) == 512 * token


def test_mla_keeps_one_row_and_states_do_not_grow() -> None:
    latent = Layer(kind="full", key_width=576, query_heads=16, query_width=3072, latent_width=512)
    assert _kv_mib(_spec(*[latent] * 27), _RUN) == 972
    state = Layer(kind="recurrent", state_values=MIB)
    assert _kv_mib(_spec(state), _RUN) == _kv_mib(_spec(state), replace(_RUN, context_tokens=256)) == 4
    assert _kv_mib(_spec(state), replace(_RUN, slots=3)) == 12
    assert _kv_mib(_spec(Layer(kind="shared", query_heads=8, query_width=2048), Layer(kind="none")), _RUN) == 0


def test_a_checkpoint_of_windows_and_states_is_part_of_the_margin() -> None:
    sliding, state = replace(_FULL, kind="sliding"), Layer(kind="recurrent", state_values=MIB)

    def margin(*layers: Layer, **change: int) -> int:
        run = replace(_RUN, **change)
        return predict_memory(_spec(*layers, window=1024), _machine(), run).devices[-1].margin_bytes

    plain = margin(_FULL)
    assert margin(_FULL, sliding) - plain == 1536 * 2 * 1024 * 2
    assert margin(_FULL, state, slots=4) - plain == 4 * 4 * MIB
    assert margin(_FULL, state, checkpoints=32) - plain == 32 * 4 * MIB


def test_what_the_engine_refuses_is_said() -> None:
    refused = predict_memory(_spec(_FULL), _machine(), replace(_RUN, flash_attention=False, cache_type_v="q8_0"))
    assert refused.fits is None
    assert "flash attention" in refused.unknown[0]
    odd = replace(_FULL, key_width=80, value_width=80, query_width=32 * 80)
    assert predict_memory(_spec(odd), _machine(), replace(_RUN, cache_type_k="q4_0")).unknown


def test_the_worker_runs_as_the_settings_say() -> None:
    assert RunSettings().checkpoints == CHECKPOINTS


# --------------------------------------------------------------------------------------------------- placement


def test_a_cpu_alone_holds_everything_once() -> None:
    for tied, weights in ((False, 2 * 100 + 300 + 400), (True, 2 * 100 + 300 + 1)):
        memory = predict_memory(_spec(_FULL, _FULL, tied=tied), _machine(), _RUN)
        assert memory.gpu_layers == 0
        assert memory.weights_bytes == weights * MIB
        assert memory.fits is True


def test_all_layers_go_to_a_gpu_that_holds_them_and_the_embedding_stays() -> None:
    memory = predict_memory(_spec(*[_FULL] * 4), _machine(_device("CUDA0", 8192)), _RUN)
    gpu, cpu = memory.devices
    assert memory.gpu_layers == 5
    assert gpu.weights_bytes == (4 * 100 + 400) * MIB
    assert cpu.weights_bytes == 300 * MIB
    assert (gpu.kv_cache_bytes, cpu.kv_cache_bytes) == (4 * 128 * MIB, 0)
    assert gpu.margin_bytes > 0 < cpu.margin_bytes
    assert gpu.compute_bytes > cpu.compute_bytes > 0


def test_a_tied_head_is_copied_to_the_gpu() -> None:
    gpu, cpu = predict_memory(_spec(_FULL, tied=True), _machine(_device("CUDA0", 8192)), _RUN).devices
    assert gpu.weights_bytes == (100 + 1 + 300) * MIB
    assert cpu.weights_bytes == 300 * MIB


def test_as_many_layers_as_fit() -> None:
    spec = _spec(*[_FULL] * 20)
    small = _machine(_device("CUDA0", 3000))
    memory = predict_memory(spec, small, _RUN)
    assert 0 < memory.gpu_layers < 21
    assert memory.devices[0].fits
    more = predict_memory(spec, small, replace(_RUN, gpu_layers=memory.gpu_layers + 1))
    assert not more.devices[0].fits
    whole = predict_memory(spec, _machine(), _RUN)
    assert memory.weights_bytes == whole.weights_bytes
    assert memory.kv_cache_bytes == whole.kv_cache_bytes


def test_a_gpu_with_room_for_nothing_is_left_alone() -> None:
    memory = predict_memory(_spec(_FULL, _FULL), _machine(_device("CUDA0", 500)), _RUN)
    assert memory.gpu_layers == 0
    assert memory.devices[0].total_bytes == memory.devices[0].margin_bytes == 0
    assert memory.fits is True


def test_layers_are_split_by_free_memory() -> None:
    assert ranges(32, 33, (24, 24)) == [range(17), range(17, 33), range(0)]
    assert ranges(32, 33, (8, 24)) == [range(9), range(9, 33), range(0)]
    assert ranges(32, 10, (1, 1)) == [range(23, 28), range(28, 33), range(23)]
    assert ranges(32, 0, (1, 1)) == [range(0), range(0), range(33)]
    assert ranges(32, 33, (0, 5)) == [range(0), range(33), range(0)]


@given(layers=st.integers(1, 200), chosen=st.integers(0, 201), free=st.lists(st.integers(0, 1 << 40), max_size=8))
def test_every_layer_lies_somewhere_once(layers: int, chosen: int, free: list[int]) -> None:
    places = ranges(layers, min(chosen, layers + 1), free)
    assert len(places) == len(free) + 1
    assert sorted(index for place in places for index in place) == list(range(layers + 1))


def test_extras_lie_with_the_first_accelerator() -> None:
    spec = _spec(*[_FULL] * 4, extra_bytes=50 * MIB)
    without = replace(spec, extra_bytes=0)
    for machine in (_machine(), _machine(_device("CUDA0", 8192), _device("CUDA1", 8192))):
        more, less = (predict_memory(each, machine, _RUN).devices[0] for each in (spec, without))
        assert more.weights_bytes - less.weights_bytes == 50 * MIB


def test_unified_memory_is_spent_once() -> None:
    metal = _device("Metal", 2000, backend="metal", unified=True)
    memory = predict_memory(_spec(*[_FULL] * 4), _machine(metal, cpu_mib=2000), replace(_RUN, gpu_layers=5))
    gpu, cpu = memory.devices
    assert gpu.fits
    assert cpu.free_bytes == 2000 * MIB - gpu.total_bytes - gpu.margin_bytes
    assert memory.fits is False


def test_graphics_in_the_processor_are_not_used_beside_a_card() -> None:
    both = _machine(_device("CUDA0", 8192), _device("Vulkan0", 8192, kind="igpu", backend="vulkan"))
    card, graphics, _ = predict_memory(_spec(*[_FULL] * 4), both, _RUN).devices
    assert card.weights_bytes > 0 == graphics.total_bytes


@pytest.mark.parametrize(
    "change",
    [{"context_tokens": 65_536}, {"ubatch_tokens": 1024}, {"cache_type_k": "f32"}, {"flash_attention": False}],
    ids=str,
)
def test_more_of_anything_never_takes_less(change: dict[str, object]) -> None:
    spec = _spec(*[_FULL] * 4)
    before = predict_memory(spec, _machine(), _RUN)
    after = predict_memory(spec, _machine(), replace(_RUN, **change))  # pyright: ignore[reportArgumentType]
    assert after.total_bytes > before.total_bytes
