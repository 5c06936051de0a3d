"""Configurations of the models that the published runs name, as their makers publish them: so that the speed
constants rest on exact facts. Shortened to what sizes and layers depend on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from insource.core.architecture import ModelSpec
from insource.fit.config_spec import spec_of_config


def _dense(model_type: str, layers: int, heads: tuple[int, int, int], width: int, **more: Any) -> dict[str, Any]:
    """`heads`: of queries, of KV, and their width."""
    return {
        "model_type": model_type, "num_hidden_layers": layers, "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1], "head_dim": heads[2], "hidden_size": width, **more,
    }  # fmt: skip


def _qwen35(layers: int, heads: tuple[int, int], width: int, feed: int, states: int, **more: Any) -> dict[str, Any]:
    return _dense(
        "qwen3_5_text", layers, (*heads, 256), width, intermediate_size=feed, vocab_size=248320,
        linear_num_value_heads=states, linear_num_key_heads=16, full_attention_interval=4, **more,
    )  # fmt: skip


def _nemotron(pattern: str, heads: int, kv: int, width: int, **more: Any) -> dict[str, Any]:
    return _dense(
        "nemotron_h", len(pattern), (heads, kv, 128), width, vocab_size=131072, hybrid_override_pattern=pattern,
        ssm_state_size=128, n_groups=8, conv_kernel=4, **more,
    )  # fmt: skip


def _lfm2(layers: int, heads: int, width: int, attention: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return _dense(
        "lfm2", layers, (heads, 8, 64), width, vocab_size=65536, full_attn_idxs=list(attention), conv_L_cache=3,
        tie_word_embeddings=True, block_auto_adjust_ff_dim=False, **more,
    )  # fmt: skip


def _moe(count: int, used: int, width: int, **more: Any) -> dict[str, Any]:
    return {"num_experts": count, "num_experts_per_tok": used, "moe_intermediate_size": width, **more}


_TIED = {"tie_word_embeddings": True}
_GEMMA = {"vocab_size": 262144, "tie_word_embeddings": True}
_GEMMA4 = {
    **_GEMMA, "global_head_dim": 512, "sliding_window": 1024, "attention_k_eq_v": True,
    "hidden_size_per_layer_input": 0,
}  # fmt: skip
_GEMMA4_SMALL = {
    **_GEMMA, "global_head_dim": 512, "sliding_window": 512, "hidden_size_per_layer_input": 256,
    "vocab_size_per_layer_input": 262144,
}  # fmt: skip
_LFM2_ATTENTION = (2, 5, 8, 10, 12, 14)
_LFM2_MOE = {
    "full_attn_idxs": [2, 6, 10, 14, 18, 21], "num_dense_layers": 2, "intermediate_size": 7168,
    "tie_word_embeddings": True, "conv_L_cache": 3, **_moe(32, 4, 1792),
}  # fmt: skip
_SPARSE_35B = _dense(
    "qwen3_5_moe_text", 40, (16, 2, 256), 2048, vocab_size=248320, linear_num_value_heads=32, linear_num_key_heads=16,
    full_attention_interval=4, shared_expert_intermediate_size=512, **_moe(256, 8, 512),
)  # fmt: skip

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "qwen3.6-27b": _qwen35(64, (24, 4), 5120, 17408, 48),
    "qwen3.5-9b": _qwen35(32, (16, 4), 4096, 12288, 32),
    "qwen3.5-4b": _qwen35(32, (16, 4), 2560, 9216, 32, **_TIED),
    "qwen3.5-2b": _qwen35(24, (8, 2), 2048, 6144, 16, **_TIED),
    "qwen3.5-0.8b": _qwen35(24, (8, 2), 1024, 3584, 16, **_TIED),
    "qwen3.6-35b-a3b": _SPARSE_35B,
    "gemma-4-26b-a4b": _dense(
        "gemma4_text", 30, (16, 8, 256), 2816, intermediate_size=2112, num_global_key_value_heads=2,
        enable_moe_block=True, top_k_experts=8, num_experts=128, moe_intermediate_size=704, **_GEMMA4),
    "gemma-4-31b": _dense(
        "gemma4_text", 60, (32, 16, 256), 5376, intermediate_size=21504, num_global_key_value_heads=4, **_GEMMA4),
    "gemma-4-12b": _dense(
        "gemma4_text", 48, (16, 8, 256), 3840, intermediate_size=15360, num_global_key_value_heads=1, **_GEMMA4),
    "gemma-4-e2b": _dense(
        "gemma4_text", 35, (8, 1, 256), 1536, intermediate_size=6144, num_kv_shared_layers=20, use_double_wide_mlp=True,
        sliding_window_pattern=5, **_GEMMA4_SMALL),
    "gemma-4-e4b": _dense(
        "gemma4_text", 42, (8, 2, 256), 2560, intermediate_size=10240, num_kv_shared_layers=18, **_GEMMA4_SMALL),
    "gemma-3n-e4b": _dense(
        "gemma3n_text", 35, (8, 2, 256), 2048, intermediate_size=16384, num_kv_shared_layers=15, sliding_window=512,
        hidden_size_per_layer_input=256, vocab_size=262400, vocab_size_per_layer_input=262144, **_TIED),
    "gemma-3-1b": _dense(
        "gemma3_text", 26, (4, 1, 256), 1152, intermediate_size=6912, sliding_window=512, **_GEMMA),
    "gemma-3-4b": _dense(
        "gemma3_text", 34, (8, 4, 256), 2560, intermediate_size=10240, sliding_window=1024, **_GEMMA),
    "gemma-3-12b": _dense(
        "gemma3_text", 48, (16, 8, 256), 3840, intermediate_size=15360, sliding_window=1024, **_GEMMA),
    "lfm2.5-8b-a1b": _dense("lfm2_moe", 24, (32, 8, 64), 2048, vocab_size=128000, **_LFM2_MOE),
    "lfm2-8b-a1b": _dense("lfm2_moe", 24, (32, 8, 64), 2048, vocab_size=65536, **_LFM2_MOE),
    "lfm2-230m": _lfm2(14, 16, 1024, (2, 4, 6, 8, 10, 12), intermediate_size=2560),
    "lfm2-350m": _lfm2(16, 16, 1024, _LFM2_ATTENTION, intermediate_size=4608),
    "lfm2-700m": _lfm2(16, 24, 1536, _LFM2_ATTENTION, intermediate_size=6912),
    "lfm2-1.2b": _lfm2(16, 32, 2048, _LFM2_ATTENTION, intermediate_size=8192),
    "nemotron-3-nano-30b-a3b": _nemotron(
        "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", 32, 2, 2688, mamba_num_heads=64, mamba_head_dim=64,
        moe_shared_expert_intermediate_size=3712, n_routed_experts=128, num_experts_per_tok=6,
        moe_intermediate_size=1856, intermediate_size=1856),
    "nemotron-3-nano-4b": _nemotron(
        "M-M-M-MM-M-M*-M-M*-M-M-M*-M-M-MM*-MMM-M-M-", 40, 8, 3136, mamba_num_heads=96, mamba_head_dim=80,
        intermediate_size=12544),
    "nemotron-nano-9b-v2": _nemotron(
        "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-", 40, 8, 4480, mamba_num_heads=128, mamba_head_dim=80,
        intermediate_size=15680),
    "qwen3-0.6b": _dense("qwen3", 28, (16, 8, 128), 1024, intermediate_size=3072, vocab_size=151936, **_TIED),
    "qwen3-1.7b": _dense("qwen3", 28, (16, 8, 128), 2048, intermediate_size=6144, vocab_size=151936, **_TIED),
    "qwen3-8b": _dense("qwen3", 36, (32, 8, 128), 4096, intermediate_size=12288, vocab_size=151936),
    "qwen3-14b": _dense("qwen3", 40, (40, 8, 128), 5120, intermediate_size=17408, vocab_size=151936),
    "qwen3-32b": _dense("qwen3", 64, (64, 8, 128), 5120, intermediate_size=25600, vocab_size=151936),
    "qwen3-30b-a3b": _dense("qwen3_moe", 48, (32, 4, 128), 2048, vocab_size=151936, **_moe(128, 8, 768)),
    "trinity-mini": _dense(
        "afmoe", 32, (32, 4, 128), 2048, intermediate_size=6144, vocab_size=200192, sliding_window=2048,
        num_dense_layers=2, num_shared_experts=1, n_shared_experts=1, **_moe(128, 8, 1024)),
    "laguna-xs-2.1": _dense(
        "afmoe", 40, (48, 8, 128), 2048, intermediate_size=8192, vocab_size=100352, sliding_window=512,
        layer_types=["full_attention" if i % 4 == 0 else "sliding_attention" for i in range(40)],
        first_k_dense_replace=1, shared_expert_intermediate_size=512, **_moe(256, 8, 512)),
    "north-mini-code": _dense(
        "cohere2", 49, (32, 4, 128), 2048, intermediate_size=768, vocab_size=262144, sliding_window=4096,
        tie_word_embeddings=True, **_moe(128, 8, 768)),
    "phi-4-mini": _dense("phi3", 32, (24, 8, 128), 3072, intermediate_size=8192, vocab_size=200064, **_TIED),
    "phi-4": _dense("phi3", 40, (40, 10, 128), 5120, intermediate_size=17920, vocab_size=100352),
    "llama-3.2-1b": _dense("llama", 16, (32, 8, 64), 2048, intermediate_size=8192, vocab_size=128256, **_TIED),
    "llama-3.2-3b": _dense("llama", 28, (24, 8, 128), 3072, intermediate_size=8192, vocab_size=128256, **_TIED),
    "llama-3-8b": _dense("llama", 32, (32, 8, 128), 4096, intermediate_size=14336, vocab_size=128256),
    "llama-2-7b": _dense("llama", 32, (32, 32, 128), 4096, intermediate_size=11008, vocab_size=32000),
    "smollm2-135m": _dense("llama", 30, (9, 3, 64), 576, intermediate_size=1536, vocab_size=49152, **_TIED),
    "smollm2-360m": _dense("llama", 32, (15, 5, 64), 960, intermediate_size=2560, vocab_size=49152, **_TIED),
    "gpt-oss-20b": _dense(
        "gpt_oss", 24, (64, 8, 64), 2880, vocab_size=201088, sliding_window=128, intermediate_size=2880,
        num_local_experts=32, num_experts_per_tok=4),
    "qwen2.5-0.5b": _dense("qwen2", 24, (14, 2, 64), 896, intermediate_size=4864, vocab_size=151936, **_TIED),
    "qwen2.5-7b": _dense("qwen2", 28, (28, 4, 128), 3584, intermediate_size=18944, vocab_size=152064),
    "qwen2.5-14b": _dense("qwen2", 48, (40, 8, 128), 5120, intermediate_size=13824, vocab_size=152064),
    "ministral-3-3b": _dense("ministral3", 26, (32, 8, 128), 3072, intermediate_size=9216, vocab_size=131072, **_TIED),
    "mistral-nemo": _dense("mistral", 40, (32, 8, 128), 5120, intermediate_size=14336, vocab_size=131072),
    "mistral-small-3": _dense("mistral", 40, (32, 8, 128), 5120, intermediate_size=32768, vocab_size=131072),
    "glm-4.7-flash": _dense(
        "glm4_moe_lite", 47, (20, 20, 256), 2048, intermediate_size=10240, vocab_size=154880, q_lora_rank=768,
        kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=192, v_head_dim=256, n_routed_experts=64,
        num_experts_per_tok=4, moe_intermediate_size=1536, n_shared_experts=1, first_k_dense_replace=1),
    "deepseek-coder-v2-lite": _dense(
        "deepseek_v2", 27, (16, 16, 192), 2048, intermediate_size=10944, vocab_size=102400, kv_lora_rank=512,
        qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=64, num_experts_per_tok=6,
        moe_intermediate_size=1408, n_shared_experts=2, first_k_dense_replace=1),
}  # fmt: skip

_NAMES: tuple[tuple[str, str], ...] = (
    (r"(qwen|qwopus|ornstein-?(hermes-)?)3\.[56]-27b", "qwen3.6-27b"),
    (r"35b-a3b|ornith-1\.0-35b|btl-4", "qwen3.6-35b-a3b"),
    (r"qwen3\.5-9b|qwythos-9b|carnice-9b", "qwen3.5-9b"),
    (r"qwen3\.5-(4b|2b|0\.8b)", r"qwen3.5-\1"),
    (r"(gemma|gemopus)-4-26b", "gemma-4-26b-a4b"),
    (r"gemma-4-(31b|12b|e2b|e4b)", r"gemma-4-\1"),
    (r"gemma-3n-e4b", "gemma-3n-e4b"),
    (r"gemma-3-(1b|4b|12b)", r"gemma-3-\1"),
    (r"lfm2\.5-8b", "lfm2.5-8b-a1b"),
    (r"lfm2-8b", "lfm2-8b-a1b"),
    (r"lfm2(?:\.5)?-(230m|350m|700m|1\.2b)", r"lfm2-\1"),
    (r"nemotron-(cascade-2|3-nano)-(omni-)?30b", "nemotron-3-nano-30b-a3b"),
    (r"nemotron-3-nano-4b", "nemotron-3-nano-4b"),
    (r"nemotron-nano-9b", "nemotron-nano-9b-v2"),
    (r"qwen3-(0\.6b|1\.7b|8b|14b|32b)", r"qwen3-\1"),
    (r"qwen3-(coder-)?30b", "qwen3-30b-a3b"),
    (r"trinity-mini", "trinity-mini"),
    (r"laguna-xs", "laguna-xs-2.1"),
    (r"north-mini", "north-mini-code"),
    (r"phi-4-mini", "phi-4-mini"),
    (r"phi-4$", "phi-4"),
    (r"llama-3\.2-(1b|3b)", r"llama-3.2-\1"),
    (r"llama-3(\.1)?-8b", "llama-3-8b"),
    (r"llama-2-7b", "llama-2-7b"),
    (r"smollm2-(135m|360m)", r"smollm2-\1"),
    (r"gpt-oss-20b", "gpt-oss-20b"),
    (r"qwen2\.5-0\.5b", "qwen2.5-0.5b"),
    (r"qwen2\.5-(coder-)?7b|distill-qwen-7b", "qwen2.5-7b"),
    (r"qwen2\.5-(coder-)?14b|deepcoder-14b", "qwen2.5-14b"),
    (r"ministral-3-3b", "ministral-3-3b"),
    (r"mistral-nemo", "mistral-nemo"),
    (r"mistral-small-3", "mistral-small-3"),
    (r"glm-4\.7-flash", "glm-4.7-flash"),
    (r"coder-v2-lite", "deepseek-coder-v2-lite"),
)
"""Derivatives keep their base's shape. The first that matches counts."""
_QUANTIZATIONS: Mapping[str, str] = {
    "Q4_K_XL": "Q4_K_M", "Q4_K_XL-QAT": "Q4_K_M", "Q4_K_L": "Q4_K_M", "Q4_K_P": "Q4_K_M", "Q3_K_XL": "Q3_K_M",
    "Q3_K_P": "Q3_K_M", "Q2_K_XL": "Q2_K", "Q2_K_P": "Q2_K", "Q2_K_S": "Q2_K", "Q6_K_XL": "Q6_K", "Q8_K_XL": "Q8_0",
    "UNSLOTH-DYNAMIC-IQ4_XS": "IQ4_XS", "INT4": "GPTQ-Int4", "GPTQ": "GPTQ-Int4", "GPTQ4": "GPTQ-Int4",
    "AUTOROUND": "GPTQ-Int4", "AWQ": "AWQ-Int4", "INT8": "GPTQ-Int8", "INT8_W8A16": "GPTQ-Int8", "4BIT": "Q4_0",
    "MLX-4BIT": "Q4_0", "6BIT": "Q6_K", "8BIT": "Q8_0", "MLX-8BIT": "Q8_0", "FP16": "F16",
    "NVFP4 MODELOPT-MIXED W4A16+FP8": "NVFP4",
}  # fmt: skip
"""As the runs call them -> the nearest that insource sizes: Unsloth's dynamic types within some 5 % of the static
ones, MLX's groups of 64 with two fp16 numbers (4.5 bit) as Q4_0's 18 bytes for 32."""


def model_name(*ids: str) -> str | None:
    """The configuration's key for the first id that is known."""
    for each in ids:
        text = each.partition("/")[2].lower() or each.lower()
        for pattern, name in _NAMES:
            found = re.search(pattern, text)
            if found:
                return found.expand(name) if "\\" in name else name
    return None


@cache
def spec_named(name: str, quantization: str) -> ModelSpec:
    """Raises UsageError for a quantisation that can't be sized."""
    wanted = quantization.upper().removeprefix("UD-")
    return spec_of_config(CONFIGS[name], name=name, quantization=_QUANTIZATIONS.get(wanted, wanted))
