"""The models that the formulas are held against. Facts are those of the models' own `config.json`; `source` says where
they were checked.
"""

from __future__ import annotations

from dataclasses import replace

from tests.oracle import transformer as t
from tests.oracle.facts import Case
from tests.oracle.hybrid_cases import HYBRIDS

LLAMA_31_8B = Case(
    name="llama-3.1-8b", hub_id="meta-llama/Llama-3.1-8B-Instruct", kind="GQA",
    source="config.json; parameters as published",
    arch="llama", layers=32, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=14336,
    vocabulary=128256, context=131072, tensors=t.llama, facts={"rope_freqs": 1},
)  # fmt: skip
MISTRAL_7B = Case(
    name="mistral-7b-v0.3", hub_id="mistralai/Mistral-7B-Instruct-v0.3", kind="GQA",
    source="config.json; parameters as published",
    arch="llama", layers=32, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=14336,
    vocabulary=32768, context=32768, tensors=t.llama,
)  # fmt: skip
MIXTRAL_8X7B = Case(
    name="mixtral-8x7b", hub_id="mistralai/Mixtral-8x7B-Instruct-v0.1", kind="MoE",
    source="config.json; parameters as published",
    arch="llama", layers=32, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=14336,
    vocabulary=32000, context=32768, experts=8, experts_used=2, expert_width=14336, tensors=t.llama,
)  # fmt: skip
QWEN25_05B = Case(
    name="qwen2.5-0.5b", hub_id="Qwen/Qwen2.5-0.5B-Instruct", kind="large vocabulary",
    source="config.json; parameters as published",
    arch="qwen2", layers=24, hidden=896, heads=14, kv_heads=2, head_width=64, feed_forward=4864,
    vocabulary=151936, context=32768, tied=True, tensors=t.qwen2,
)  # fmt: skip
QWEN3_8B = Case(
    name="qwen3-8b", hub_id="Qwen/Qwen3-8B", kind="GQA",
    source="config.json; parameters as published",
    arch="qwen3", layers=36, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=12288,
    vocabulary=151936, context=40960, tensors=t.qwen3,
)  # fmt: skip
QWEN3_30B_A3B = Case(
    name="qwen3-30b-a3b", hub_id="Qwen/Qwen3-30B-A3B", kind="MoE",
    source="config.json; parameters as published",
    arch="qwen3moe", layers=48, hidden=2048, heads=32, kv_heads=4, head_width=128, feed_forward=6144,
    vocabulary=151936, context=40960, experts=128, experts_used=8, expert_width=768, tensors=t.qwen3,
)  # fmt: skip
GEMMA_2_9B = Case(
    name="gemma-2-9b", hub_id="google/gemma-2-9b-it", kind="sliding window",
    source="config.json; parameters as published",
    arch="gemma2", layers=42, hidden=3584, heads=16, kv_heads=8, head_width=256, feed_forward=14336,
    vocabulary=256000, context=8192, window=4096, tied=True, tensors=t.gemma2,
    keys={"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
)  # fmt: skip
GEMMA_3_27B = Case(
    name="gemma-3-27b", hub_id="google/gemma-3-27b-it", kind="sliding window",
    source="config.json; parameters as published",
    arch="gemma3", layers=62, hidden=5376, heads=32, kv_heads=16, head_width=128, feed_forward=21504,
    vocabulary=262208, context=131072, window=1024, tied=True, tensors=t.gemma3,
)  # fmt: skip
PHI_35_MINI = Case(
    name="phi-3.5-mini", hub_id="microsoft/Phi-3.5-mini-instruct", kind="dense",
    source="config.json; parameters as published",
    arch="phi3", layers=32, hidden=3072, heads=32, kv_heads=32, head_width=96, feed_forward=8192,
    vocabulary=32064, context=131072, tensors=t.phi3,
)  # fmt: skip
COMMAND_R7B = Case(
    name="command-r7b", hub_id="CohereLabs/c4ai-command-r7b-12-2024", kind="sliding window",
    source="config.json; parameters as published",
    arch="cohere2", layers=32, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=14336,
    vocabulary=256000, context=132096, window=4096, tied=True, tensors=t.cohere2, keys={"logit_scale": 0.25},
)  # fmt: skip
OLMO_2_7B = Case(
    name="olmo-2-7b", hub_id="allenai/OLMo-2-1124-7B-Instruct", kind="dense",
    source="config.json; parameters as published",
    arch="olmo2", layers=32, hidden=4096, heads=32, kv_heads=32, head_width=128, feed_forward=11008,
    vocabulary=100352, context=4096, tensors=t.olmo2,
)  # fmt: skip
SMOLLM3_3B = Case(
    name="smollm3-3b", hub_id="HuggingFaceTB/SmolLM3-3B", kind="GQA",
    source="config.json; parameters as published",
    arch="smollm3", layers=36, hidden=2048, heads=16, kv_heads=4, head_width=128, feed_forward=11008,
    vocabulary=128256, context=65536, tied=True, tensors=t.llama,
)  # fmt: skip
STARCODER2_7B = Case(
    name="starcoder2-7b", hub_id="bigcode/starcoder2-7b", kind="GQA",
    source="config.json; parameters as published",
    arch="starcoder2", layers=32, hidden=4608, heads=36, kv_heads=4, head_width=128, feed_forward=18432,
    vocabulary=49152, context=16384, tied=True, tensors=t.starcoder2,
)  # fmt: skip
GPT2_XL = Case(
    name="gpt2-xl", hub_id="openai-community/gpt2-xl", kind="dense",
    source="config.json; parameters as published",
    arch="gpt2", layers=48, hidden=1600, heads=25, kv_heads=25, head_width=64, feed_forward=6400,
    vocabulary=50257, context=1024, tied=True, tensors=t.gpt2,
)  # fmt: skip
GLM_45_AIR = Case(
    name="glm-4.5-air", hub_id="zai-org/GLM-4.5-Air", kind="MoE",
    source="config.json; parameters as published",
    arch="glm4moe", layers=47, hidden=4096, heads=96, kv_heads=8, head_width=128, feed_forward=10944,
    vocabulary=151552, context=131072, experts=128, experts_used=8, expert_width=1408, shared_expert_width=1408,
    dense_layers=1, tensors=t.glm4_moe, facts={"nextn": 1},
    keys={"nextn_predict_layers": 1, "expert_shared_count": 1, "rope.dimension_count": 64},
)  # fmt: skip
GPT_OSS_20B = Case(
    name="gpt-oss-20b", hub_id="openai/gpt-oss-20b", kind="sliding window",
    source="config.json; parameters as published",
    arch="gpt-oss", layers=24, hidden=2880, heads=64, kv_heads=8, head_width=64, feed_forward=2880,
    vocabulary=201088, context=131072, window=128, experts=32, experts_used=4, expert_width=2880, tensors=t.gpt_oss,
)  # fmt: skip
DEEPSEEK_V2_LITE = Case(
    name="deepseek-v2-lite", hub_id="deepseek-ai/DeepSeek-V2-Lite-Chat", kind="MLA",
    source="config.json; parameters as published",
    arch="deepseek2", layers=27, hidden=2048, heads=16, kv_heads=1, head_width=576, feed_forward=10944,
    vocabulary=102400, context=163840, experts=64, experts_used=6, expert_width=1408, shared_expert_width=2816,
    dense_layers=1, tensors=t.deepseek2, facts={"kv_rank": 512, "rope": 64, "key_width": 192, "value_width": 128},
    keys={"attention.kv_lora_rank": 512, "attention.value_length": 512, "attention.key_length_mla": 192,
          "attention.value_length_mla": 128, "rope.dimension_count": 64, "expert_shared_count": 2},
)  # fmt: skip
DEEPSEEK_V3 = Case(
    name="deepseek-v3", hub_id="deepseek-ai/DeepSeek-V3", kind="MLA",
    source="config.json; parameters as published",
    arch="deepseek2", layers=61, hidden=7168, heads=128, kv_heads=1, head_width=576, feed_forward=18432,
    vocabulary=129280, context=163840, experts=256, experts_used=8, expert_width=2048, shared_expert_width=2048,
    dense_layers=3, tensors=t.deepseek2,
    facts={"kv_rank": 512, "q_rank": 1536, "rope": 64, "key_width": 192, "value_width": 128, "probs": 1},
    keys={"attention.kv_lora_rank": 512, "attention.q_lora_rank": 1536, "attention.value_length": 512,
          "attention.key_length_mla": 192, "attention.value_length_mla": 128, "rope.dimension_count": 64,
          "expert_shared_count": 1, "expert_gating_func": 2, "expert_group_count": 8, "expert_group_used_count": 4},
)  # fmt: skip

DEEPSEEK_V32 = replace(
    DEEPSEEK_V3, name="deepseek-v3.2", hub_id="deepseek-ai/DeepSeek-V3.2", arch="deepseek32", tensors=t.deepseek32,
    facts={**DEEPSEEK_V3.facts, "indexer": 128, "indexer_heads": 64},
    keys={**DEEPSEEK_V3.keys, "attention.indexer.head_count": 64, "attention.indexer.key_length": 128,
          "attention.indexer.top_k": 2048},
)  # fmt: skip

LLAMA_4_SCOUT = Case(
    name="llama-4-scout", hub_id="meta-llama/Llama-4-Scout-17B-16E-Instruct", kind="MoE",
    source="config.json; parameters as published",
    arch="llama4", layers=48, hidden=5120, heads=40, kv_heads=8, head_width=128, feed_forward=16384,
    vocabulary=202048, context=10485760, experts=16, experts_used=1, expert_width=8192, shared_expert_width=8192,
    tensors=t.llama4, keys={"interleave_moe_layer_step": 1},
)  # fmt: skip
SMOLLM2_135M = Case(
    name="smollm2-135m", hub_id="HuggingFaceTB/SmolLM2-135M-Instruct", kind="GQA",
    source="config.json; parameters as published",
    arch="llama", layers=30, hidden=576, heads=9, kv_heads=3, head_width=64, feed_forward=1536,
    vocabulary=49152, context=8192, tied=True, tensors=t.llama,
)  # fmt: skip

CASES: tuple[Case, ...] = (
    LLAMA_31_8B, MISTRAL_7B, MIXTRAL_8X7B, QWEN25_05B, QWEN3_8B, QWEN3_30B_A3B, GEMMA_2_9B, GEMMA_3_27B,
    PHI_35_MINI, COMMAND_R7B, OLMO_2_7B, SMOLLM3_3B, STARCODER2_7B, GPT2_XL, GLM_45_AIR, GPT_OSS_20B, LLAMA_4_SCOUT,
    SMOLLM2_135M, DEEPSEEK_V2_LITE, DEEPSEEK_V3, DEEPSEEK_V32, *HYBRIDS,
)  # fmt: skip
