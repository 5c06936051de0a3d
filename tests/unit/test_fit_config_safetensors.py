"""A model of safetensors: its layout from the configuration, its bytes from the tensors, wherever their names lie."""

from __future__ import annotations

from typing import Any

from insource.core.gguf import TensorInfo
from insource.fit.safetensors_spec import spec_of_safetensors

CONFIG: dict[str, Any] = {
    "model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100, "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "intermediate_size": 128, "quantization_config": {"quant_method": "fp8"},
}  # fmt: skip


def tensors(**sizes: int) -> list[TensorInfo]:
    """`__` stands for a dot."""
    return [
        TensorInfo(name=name.replace("__", "."), shape=(1,), type_name="BF16", offset_bytes=0, size_bytes=size)
        for name, size in sizes.items()
    ]


def test_bytes_are_those_of_the_tensors() -> None:
    found = spec_of_safetensors(
        CONFIG,
        tensors(
            model__embed_tokens__weight=1000,
            model__layers__0__self_attn__q_proj__weight=10,
            model__layers__0__self_attn__q_proj__weight_scale_inv=1,
            model__layers__1__mlp__experts__3__up_proj__weight=200,
            model__layers__1__mlp__gate__weight=7,
            model__layers__2__eh_proj__weight=5,
            model__norm__weight=3,
            lm_head__weight=900,
        ),
        name="org/x",
    )
    weights = found.weights
    assert weights.layer_bytes == (11, 207)
    assert weights.input_bytes == 1000
    assert weights.output_bytes == 903
    assert weights.expert_bytes == 200
    assert weights.largest_bytes == 200
    assert weights.exact
    assert weights.quantization == "FP8"
    assert found.extra_bytes == 5, "a layer for multi-token prediction"
    assert len(found.architecture.layers) == 2


def test_encoders_are_loaded_beside_the_language_model() -> None:
    config = {
        "model_type": "qwen3_vl",
        "vision_config": {},
        "text_config": {**CONFIG, "model_type": "qwen3_vl_moe_text"},
    }
    found = spec_of_safetensors(
        config,
        tensors(
            model__visual__blocks__0__attn__qkv__weight=50,
            model__language_model__layers__1__mlp__up_proj__weight=20,
            model__language_model__embed_tokens__weight=30,
        ),
        name="org/x",
    )
    assert found.extra_bytes == 50
    assert found.weights.layer_bytes == (0, 20)
    assert found.weights.input_bytes == 30


def test_without_tensors_the_configuration_alone_is_estimated() -> None:
    found = spec_of_safetensors(CONFIG, (), name="org/x")
    assert not found.weights.exact
    assert found.weights.quantization == "FP8"
