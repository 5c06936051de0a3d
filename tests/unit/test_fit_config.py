"""A model from its config.json: caches and parameters as published, layouts as llama.cpp runs them, damage refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.architecture import Architecture
from insource.core.errors import BadInput, InsourceError
from insource.fit.config_facts import native_quantization
from insource.fit.config_spec import spec_of_config
from insource.fit.families import config_of, spec_of_family
from insource.fit.kv_cache import cache_bytes, cells
from insource.fit.values import RunSettings

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


def architecture(config: dict[str, Any]) -> Architecture:
    return spec_of_config(config, name="x", quantization="Q8_0").architecture


def kinds(config: dict[str, Any]) -> str:
    return "".join(layer.kind[0] for layer in architecture(config).layers)


def kv_mib(found: Architecture, *, context: int = 32_768) -> float:
    run = RunSettings(context_tokens=context, slots=1)
    held = cells(found, run)
    widest = max(layer.value_width for layer in found.layers)
    return sum(cache_bytes(layer, held, run, widest_value=widest) for layer in found.layers) / (1 << 20)


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("Qwen/Qwen3-8B", 4608),
        ("Qwen/Qwen3-30B-A3B", 3072),
        ("google/gemma-3-27b-it", 3184),
        ("deepseek-ai/DeepSeek-V2-Lite", 972),
    ],
)
def test_the_cache_is_the_published_one(name: str, mib: float) -> None:
    """Read in llama.cpp's own log at 32,768 tokens in f16, with its padded windows."""
    found = spec_of_family(name)
    assert found is not None
    assert kv_mib(found.architecture) == mib


@pytest.mark.parametrize(
    ("name", "parameters", "active"),
    [
        # Counted in the published safetensors; active as the model cards say.
        ("meta-llama/Llama-3.1-8B", 8_030_261_248, None),
        ("meta-llama/Llama-3.1-405B", 405_853_388_800, None),
        ("Qwen/Qwen3-8B", 8_190_735_360, None),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624, 3.3e9),
        ("Qwen/Qwen3-235B-A22B", 235_093_634_560, 22e9),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704, 12.9e9),
        ("openai/gpt-oss-120b", 116_829_156_672, 5.1e9),
        ("openai/gpt-oss-20b", 20_914_757_184, 3.6e9),
        ("deepseek-ai/DeepSeek-V2-Lite", 15_706_484_224, 2.4e9),
        ("deepseek-ai/DeepSeek-V3", 671_026_419_200, 37e9),
        ("moonshotai/Kimi-K2-Instruct", 1_026_408_232_448, 32e9),
        ("google/gemma-2-27b", 27_227_128_320, None),
        ("ibm-granite/granite-4.0-h-small", 32_207_337_984, 9e9),
        ("tiiuae/Falcon-H1-34B-Instruct", 33_642_516_224, None),
        ("ai21labs/Jamba-v0.1", 51_570_323_328, 12e9),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", 8_888_227_328, None),
        ("LiquidAI/LFM2-8B-A1B", 8_339_929_856, 1.5e9),
        ("mistralai/Mamba-Codestral-7B-v0.1", 7_285_403_648, None),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008, None),
    ],
)
def test_parameters_are_the_published_ones(name: str, parameters: int, active: float | None) -> None:
    found = spec_of_family(name)
    assert found is not None
    assert found.parameters == pytest.approx(parameters, rel=0.005)
    assert found.architecture.unknown == ()
    if active is not None:  # the cards round, and some leave the embeddings out
        assert found.active_parameters == pytest.approx(active, rel=0.17)


def test_grouped_queries_and_a_plain_cache() -> None:
    found = architecture(LLAMA)
    assert {(layer.kind, layer.key_width, layer.value_width, layer.query_heads) for layer in found.layers} == {
        ("full", 1024, 1024, 32)
    }
    assert len({id(layer) for layer in found.layers}) == 1, "equal layers are one object"
    assert found.context_tokens == 131_072
    assert not found.tied_embeddings


def test_windows_follow_the_list_then_the_pattern_then_the_family() -> None:
    small = {**LLAMA, "num_hidden_layers": 6, "sliding_window": 512}
    assert kinds({**small, "model_type": "mistral"}) == "ffffff", "llama.cpp gives Mistral the whole context"
    assert kinds({**small, "model_type": "gemma2"}) == "sfsfsf"
    assert kinds({**small, "model_type": "gemma3_text"}) == "sssssf"
    assert kinds({**small, "model_type": "gemma3_text", "sliding_window_pattern": 3}) == "ssfssf"
    assert kinds({**small, "model_type": "gemma3_text", "sliding_window_pattern": 1}) == "ffffff"
    assert kinds({**small, "model_type": "exaone4", "num_hidden_layers": 6, "sliding_window_pattern": "LG"}) == "ffffff"
    assert (
        kinds({**small, "model_type": "exaone4", "num_hidden_layers": 64, "sliding_window_pattern": "LLLG"})
        == "sssf" * 16
    )
    listed = ["full_attention", "sliding_attention"] * 3
    assert kinds({**small, "model_type": "olmo3", "layer_types": listed}) == "fsfsfs"
    assert architecture({**small, "model_type": "olmo3", "layer_types": listed}).sliding_window_tokens == 512
    assert kinds({**small, "model_type": "olmo3", "sliding_window": None, "layer_types": listed[:1] * 6}) == "ffffff"


def test_layers_share_the_cache_of_earlier_ones() -> None:
    found = architecture(dict(config_of("google/gemma-3n-E4B-it")))
    assert Counter(layer.kind for layer in found.layers) == {"sliding": 16, "full": 4, "shared": 15}
    assert all(layer.key_width == 0 and layer.query_heads == 8 for layer in found.layers[20:])
    assert found.streams == 4
    assert found.per_layer_width == 256 * 35
    other = architecture(dict(config_of("google/gemma-4-E2B-it")))
    assert Counter(layer.kind for layer in other.layers) == {"sliding": 12, "full": 3, "shared": 20}
    assert {layer.query_width for layer in other.layers} == {8 * 256, 8 * 512}, "full layers have wider heads"


@pytest.mark.parametrize(
    ("name", "states", "values"),
    [
        # (conv - 1) x channels + state x inner, by hand from the papers' and configurations' figures.
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 36, 3 * (4096 + 2 * 2048) + 128 * 4096),
        ("ibm-granite/granite-4.0-h-small", 36, 3 * (8192 + 2 * 128) + 128 * 8192),
        ("tiiuae/Falcon-H1-7B-Instruct", 44, 3 * (3072 + 2 * 256) + 256 * 3072),
        ("ai21labs/Jamba-v0.1", 28, 3 * 8192 + 16 * 8192),
        ("LiquidAI/LFM2-1.2B", 10, 2 * 2048),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 23, 3 * (4096 + 2 * 8 * 128) + 128 * 4096),
        ("state-spaces/mamba-130m-hf", 24, 3 * 1536 + 16 * 1536),
        ("RWKV/RWKV7-2.9B-20260805", 32, 2 * 2560 + 2560 * 64),
    ],
)
def test_recurrent_layers_hold_the_state_that_llama_cpp_allocates(name: str, states: int, values: int) -> None:
    found = spec_of_family(name)
    assert found is not None
    holding = [layer for layer in found.architecture.layers if layer.state_values]
    assert len(holding) == states
    assert {layer.state_values for layer in holding} == {values}


def test_a_multimodal_configuration_is_read_through_its_text_part() -> None:
    """As google/gemma-3-4b-it's is published: what its class defaults to is left out."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
            "sliding_window": 1024}  # fmt: skip
    config = {"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}}
    found = spec_of_config(config, name="google/gemma-3-4b-it", quantization="Q4_K_M", parameters=4_300_079_472)
    assert found.parameters == pytest.approx(3_880_099_328, rel=0.001)
    assert found.architecture.unknown == (), "more is stated: the vision tower"
    assert found.architecture.layers[0].query_heads == 8
    assert found.architecture.tied_embeddings


def test_an_unknown_type_says_what_was_assumed() -> None:
    found = spec_of_config({**LLAMA, "model_type": "nobody_knows"}, name="x", quantization="Q8_0")
    assert found.parameters == 8_030_261_248
    (sentence,) = found.architecture.unknown
    assert "'nobody_knows'" in sentence
    assert "plain attention" in sentence
    hybrid = architecture({**LLAMA, "model_type": "nobody_knows", "layer_types": ["linear_attention"] * 32})
    assert len(hybrid.unknown) == 2


def test_what_is_assumed_about_a_hybrid_is_said() -> None:
    facts = {key: value for key, value in config_of("LiquidAI/LFM2-1.2B").items() if key != "full_attn_idxs"}
    assert "which of its layers attend" in architecture(facts).unknown[0]


def test_a_contradiction_between_configuration_and_tensors_is_said() -> None:
    found = spec_of_config(LLAMA, name="x", parameters=12_000_000_000)
    assert "8,030,261,248" in found.architecture.unknown[0]
    assert "12,000,000,000" in found.architecture.unknown[0]
    packed = {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    assert spec_of_config(packed, name="x", parameters=1_990_000_000).architecture.unknown == ()


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({"torch_dtype": "float16"}, "F16"),
        ({"dtype": "bfloat16"}, "BF16"),
        ({}, "BF16"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "AWQ-Int4"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "GPTQ-Int8"),
        ({"quantization_config": {"quant_method": "fp8"}}, "FP8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "MXFP4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "NVFP4"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "BNB-Int4"),
    ],
)
def test_a_repository_says_how_it_stores_its_weights(how: dict[str, Any], name: str) -> None:
    assert native_quantization({**LLAMA, **how}) == name
    assert spec_of_config({**LLAMA, **how}, name="x").weights.quantization == name


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_without_the_facts_there_is_no_figure(missing: str) -> None:
    config = {key: value for key, value in LLAMA.items() if key != missing} | {"model_type": "unheard_of"}
    with pytest.raises(BadInput, match=missing) as refused:
        spec_of_config(config, name="x")
    assert "GGUF" in refused.value.next_step


def test_a_factor_that_is_no_number_counts_as_absent() -> None:
    config = dict(config_of("LiquidAI/LFM2-1.2B"))
    for factor in (float("nan"), float("inf"), -1.0, "1"):
        assert architecture({**config, "block_ffn_dim_multiplier": factor}).layers[0].feed_forward_width == 8192


Junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    config=st.dictionaries(
        st.sampled_from([*LLAMA, "text_config", "layer_types", "num_experts", "kv_lora_rank"]), Junk
    ),
    kind=st.sampled_from(
        ["llama", "gemma3_text", "qwen3_next", "deepseek_v3", "nemotron_h", "lfm2", "mamba2", "nonsense"]
    ),
)
def test_a_damaged_configuration_never_crashes(config: dict[str, Any], kind: str) -> None:
    try:
        found = spec_of_config({**LLAMA, **config, "model_type": kind}, name="x")
    except InsourceError:
        return
    assert found.parameters >= 0
    assert len(found.weights.layer_bytes) == len(found.architecture.layers)
