"""What runs on 4, 8 and 16 GB; what has no decode speed; what is named because it is not counted; what wraps what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from insource.core.architecture import ModelSpec
from insource.core.catalogue import CatalogueModel
from insource.fit.catalogue_spec import spec_of_row
from insource.fit.config_spec import spec_of_config
from insource.fit.families import config_of, spec_of_family
from insource.fit.memory import predict_memory
from insource.fit.speed import predict_speed
from insource.fit.values import RunSettings
from insource.fit.work import Load
from insource.machine.file import machine_from_toml
from insource.machine.parse import parse_machine
from tests.oracle.truth import cpu_machine

ONE = RunSettings(context_tokens=4096, slots=1)
GIB = 1 << 30


def family(name: str, quantization: str = "Q4_K_M") -> ModelSpec:
    spec = spec_of_family(name, quantization=quantization)
    assert spec is not None
    return spec


@pytest.mark.parametrize(
    ("machine", "model", "fits"),
    [
        ("Raspberry Pi 4", "Qwen/Qwen3-1.7B", True),
        ("Raspberry Pi 4", "Qwen/Qwen3-8B", False),
        ("Raspberry Pi 5", "Qwen/Qwen3-8B", True),
        ("Raspberry Pi 5", "Qwen/Qwen3-14B", False),
        ("m1-8gb", "meta-llama/Llama-3.1-8B", True),
        ("m1-16gb", "Qwen/Qwen3-14B", True),
        ("m1-16gb", "Qwen/Qwen3-32B", False),
    ],
)
def test_small_machines_get_what_runs_there(machine: str, model: str, fits: bool) -> None:
    assert predict_memory(family(model), parse_machine(machine), ONE).fits is fits


def test_an_8b_on_an_m1_with_8_gb_is_as_fast_as_it_was_seen() -> None:
    """9.7 tokens/s, LocalScore."""
    spec, machine = family("meta-llama/Llama-3.1-8B"), parse_machine("m1-8gb")
    found = predict_speed(spec, machine, ONE, memory=predict_memory(spec, machine, ONE), load=Load(depth_tokens=1800))
    assert found is not None
    assert found.decode_tokens_per_second.low < 9.7 < found.decode_tokens_per_second.high


def test_a_machine_file_says_what_of_the_systems_memory_is_free() -> None:
    machine = machine_from_toml("memory_gb = 8\nmemory_free_gb = 7.5\n", name="small")
    assert machine.cpu.memory_free_bytes == 7.5 * GIB
    assert machine_from_toml("memory_gb = 4\n", name="small").cpu.memory_free_bytes > 3 * GIB


def test_an_encoder_has_no_speed_of_tokens() -> None:
    spec, machine = family("BAAI/bge-m3"), parse_machine("rtx-4090")
    assert not spec.architecture.generates
    assert predict_speed(spec, machine, ONE, memory=predict_memory(spec, machine, ONE), load=Load()) is None
    assert family("Qwen/Qwen3-8B").architecture.generates
    assert family("state-spaces/mamba-2.8b-hf").architecture.generates


def test_encoders_beside_a_language_model_are_named() -> None:
    assert "projector" in family("Qwen/Qwen3-VL-4B-Instruct").not_counted[0]
    assert family("Qwen/Qwen3-4B").not_counted == ()


# ---------------------------------------------------------------------------------------------------------- wrapped


def cache_bytes(config: dict[str, Any]) -> int:
    spec = spec_of_config(config, name="x", quantization="Q4_K_M")
    return predict_memory(spec, cpu_machine(), ONE).kv_cache_bytes


@pytest.mark.parametrize("outer", ["mistral3", "kimi_vl", "a_type_of_tomorrow"])
@pytest.mark.parametrize("inner", ["deepseek_v3", "mistral", ""])
def test_latents_that_a_configuration_states_are_counted_whatever_wraps_them(outer: str, inner: str) -> None:
    plain = dict(config_of("deepseek-ai/DeepSeek-V3"))
    text = {key: value for key, value in plain.items() if key != "model_type"} | (
        {"model_type": inner} if inner else {}
    )
    wrapped = {"model_type": outer, "text_config": text, "vision_config": {}}
    assert cache_bytes(wrapped) == cache_bytes({**plain, "model_type": "deepseek_v3"})


def test_a_size_that_goes_without_latents_has_a_plain_cache() -> None:
    """DeepSeek-VL2's smallest and DeepSeek-OCR: `use_mla` is false in a type that has latents otherwise."""
    small = {
        **config_of("deepseek-ai/DeepSeek-OCR"), "model_type": "deepseek_v2", "use_mla": False, "kv_lora_rank": None,
    }  # fmt: skip
    assert cache_bytes(small) == cache_bytes(dict(config_of("deepseek-ai/DeepSeek-OCR")))


def row(model_type: str, **more: Any) -> CatalogueModel:
    empty = CatalogueModel(
        id="org/unheard-of", parameters=0, active_parameters=None, model_type=model_type, capabilities=(),
        pipeline_tag="image-text-to-text", languages=(), context_tokens=8192, license=None, downloads=None, likes=None,
        released=None, format="safetensors", gguf_repositories=(),
    )  # fmt: skip
    return replace(empty, **more)


def test_a_wrapper_is_what_its_shape_is_and_never_what_it_wraps_elsewhere() -> None:
    qwen = row(
        "mistral3", layers=28, attention_heads=16, kv_heads=8, head_width=128, embedding_width=1024, vocabulary=151936,
        parameters=1_005_647_872,
    )  # fmt: skip
    assert spec_of_row(qwen, quantization="Q4_K_M").architecture.name == "qwen3"
    strange = replace(qwen, layers=29)
    assert spec_of_row(strange, quantization="Q4_K_M").architecture.unknown
