"""Models with recurrent states, per-layer embeddings or shared caches; see `cases.py`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.gguf_writer import Value
from tests.oracle import hybrids as h
from tests.oracle.facts import Case


def _ssm(*, conv: int, inner: int, state: int, heads: int, groups: int | None) -> Mapping[str, Value]:
    keys: dict[str, Value] = {
        "ssm.conv_kernel": conv,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": heads,
    }
    return keys if groups is None else keys | {"ssm.group_count": groups}


_NEMOTRON_NANO_9B = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"

QWEN3_NEXT_80B = Case(
    name="qwen3-next-80b-a3b", hub_id="Qwen/Qwen3-Next-80B-A3B-Instruct", kind="hybrid",
    source="config.json; parameters as published",
    arch="qwen3next", layers=48, hidden=2048, heads=16, kv_heads=2, head_width=256, feed_forward=5120,
    vocabulary=151936, context=262144, experts=512, experts_used=10, expert_width=512, shared_expert_width=512,
    tensors=h.delta_net, facts={"state": 128, "groups": 16, "ssm_heads": 32, "conv": 4},
    keys={**_ssm(conv=4, inner=4096, state=128, heads=32, groups=16), "rope.dimension_count": 64,
          "full_attention_interval": 4, "attention.head_count_kv": 2},
    attention_layers=frozenset(range(3, 48, 4)),
)  # fmt: skip
QWEN35_9B = Case(
    name="qwen3.5-9b", hub_id="Qwen/Qwen3.5-9B", kind="hybrid",
    source="config.json; parameters as published",
    arch="qwen35", layers=32, hidden=4096, heads=16, kv_heads=4, head_width=256, feed_forward=12288,
    vocabulary=248320, context=262144,
    tensors=h.delta_net, facts={"state": 128, "groups": 16, "ssm_heads": 32, "conv": 4},
    keys={**_ssm(conv=4, inner=4096, state=128, heads=32, groups=16), "rope.dimension_count": 64,
          "rope.dimension_sections": [11, 11, 10, 0], "full_attention_interval": 4, "attention.head_count_kv": 4},
    attention_layers=frozenset(range(3, 32, 4)),
)  # fmt: skip
GRANITE_4_SMALL = Case(
    name="granite-4.0-h-small", hub_id="ibm-granite/granite-4.0-h-small", kind="hybrid",
    source="config.json; parameters as published",
    arch="granitehybrid", layers=40, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=768,
    vocabulary=100352, context=131072, tied=True, experts=72, experts_used=10, expert_width=768,
    shared_expert_width=1536, tensors=h.granite_hybrid,
    facts={"inner": 8192, "state": 128, "groups": 1, "ssm_heads": 128, "conv": 4},
    keys={**_ssm(conv=4, inner=8192, state=128, heads=128, groups=1), "embedding_scale": 12.0},
    attention_layers=frozenset((5, 15, 25, 35)),
)  # fmt: skip
MAMBA_CODESTRAL_7B = Case(
    name="mamba-codestral-7b", hub_id="mistralai/Mamba-Codestral-7B-v0.1", kind="recurrent",
    source="config.json; parameters as published",
    arch="mamba2", layers=64, hidden=4096, heads=0, kv_heads=0, head_width=0, feed_forward=0,
    vocabulary=32768, context=1048576, tensors=h.mamba2_model,
    facts={"inner": 8192, "state": 128, "groups": 8, "ssm_heads": 128, "conv": 4},
    keys=_ssm(conv=4, inner=8192, state=128, heads=128, groups=8),
)  # fmt: skip
FALCON_H1_7B = Case(
    name="falcon-h1-7b", hub_id="tiiuae/Falcon-H1-7B-Instruct", kind="hybrid",
    source="config.json; parameters as published",
    arch="falcon-h1", layers=44, hidden=3072, heads=12, kv_heads=2, head_width=128, feed_forward=12288,
    vocabulary=130048, context=262144, tensors=h.falcon_h1,
    facts={"inner": 3072, "state": 256, "groups": 1, "ssm_heads": 24, "conv": 4},
    keys=_ssm(conv=4, inner=3072, state=256, heads=24, groups=1),
)  # fmt: skip
JAMBA = Case(
    name="jamba-v0.1", hub_id="ai21labs/Jamba-v0.1", kind="hybrid",
    source="config.json; parameters as published",
    arch="jamba", layers=32, hidden=4096, heads=32, kv_heads=8, head_width=128, feed_forward=14336,
    vocabulary=65536, context=262144, experts=16, experts_used=2, expert_width=14336, tensors=h.jamba,
    facts={"inner": 8192, "state": 16, "ssm_heads": 256, "conv": 4},
    keys=_ssm(conv=4, inner=8192, state=16, heads=256, groups=None),
    attention_layers=frozenset(range(4, 32, 8)),
)  # fmt: skip
LFM2_12B = Case(
    name="lfm2-1.2b", hub_id="LiquidAI/LFM2-1.2B", kind="hybrid",
    source="config.json; parameters as published",
    arch="lfm2", layers=16, hidden=2048, heads=32, kv_heads=8, head_width=64, feed_forward=8192,
    vocabulary=65536, context=128000, tied=True, tensors=h.lfm2, facts={"conv": 3}, keys={"shortconv.l_cache": 3},
    attention_layers=frozenset((2, 5, 8, 10, 12, 14)),
)  # fmt: skip
NEMOTRON_NANO_9B = Case(
    name="nemotron-nano-9b-v2", hub_id="nvidia/NVIDIA-Nemotron-Nano-9B-v2", kind="hybrid",
    source="config.json; parameters as published",
    arch="nemotron_h", layers=56, hidden=4480, heads=40, kv_heads=8, head_width=128, feed_forward=15680,
    vocabulary=131072, context=131072, tensors=h.nemotron_h,
    facts={"inner": 10240, "state": 128, "groups": 8, "ssm_heads": 128, "conv": 4},
    keys={**_ssm(conv=4, inner=10240, state=128, heads=128, groups=8),
          "feed_forward_length": [15680 if c == "-" else 0 for c in _NEMOTRON_NANO_9B]},
    attention_layers=frozenset(i for i, c in enumerate(_NEMOTRON_NANO_9B) if c == "*"),
)  # fmt: skip
RWKV7_3B = Case(
    name="rwkv7-world-2.9b", hub_id="BlinkDL/rwkv-7-world", kind="recurrent",
    source="ranks as llama.cpp's conversion/rwkv.py reads them; not checked otherwise",
    arch="rwkv7", layers=32, hidden=2560, heads=0, kv_heads=0, head_width=0, feed_forward=10240,
    vocabulary=65536, context=1048576, tensors=h.rwkv7, facts={"decay": 96, "iclr": 96, "value_mix": 64, "gate": 320},
    keys={"wkv.head_size": 64, "attention.decay_lora_rank": 96, "attention.iclr_lora_rank": 96,
          "attention.value_residual_mix_lora_rank": 64, "attention.gate_lora_rank": 320, "token_shift_count": 2},
)  # fmt: skip
GEMMA_3N_E4B = Case(
    name="gemma-3n-e4b", hub_id="google/gemma-3n-E4B-it", kind="shared KV",
    source="config.json; parameters as published",
    arch="gemma3n", layers=35, hidden=2048, heads=8, kv_heads=2, head_width=256, feed_forward=16384,
    vocabulary=262144, context=32768, window=512, tied=True, tensors=h.gemma3n,
    facts={"streams": 4, "laurel": 64, "per_layer": 256},
    keys={"embedding_length_per_layer_input": 256, "attention.shared_kv_layers": 15},
)  # fmt: skip
GEMMA_4_E4B = Case(
    name="gemma-4-e4b", hub_id="google/gemma-4-E4B-it", kind="shared KV",
    source="config.json; parameters as published",
    arch="gemma4", layers=42, hidden=2560, heads=8, kv_heads=2, head_width=512, feed_forward=10240,
    vocabulary=262144, context=131072, window=512, tied=True, tensors=h.gemma4,
    facts={"per_layer": 256, "shared": 18, "period": 6, "sliding_head_width": 256},
    keys={"embedding_length_per_layer_input": 256, "attention.shared_kv_layers": 18,
          "attention.key_length_swa": 256, "attention.value_length_swa": 256, "rope.dimension_count_swa": 256,
          "attention.sliding_window_pattern": [i % 6 != 5 for i in range(42)], "final_logit_softcapping": 30.0},
)  # fmt: skip

QWEN35_08B = Case(
    name="qwen3.5-0.8b", hub_id="Qwen/Qwen3.5-0.8B", kind="hybrid",
    source="config.json; parameters as published",
    arch="qwen35", layers=24, hidden=1024, heads=8, kv_heads=2, head_width=256, feed_forward=3584,
    vocabulary=248320, context=262144, tied=True,
    tensors=h.delta_net, facts={"state": 128, "groups": 16, "ssm_heads": 16, "conv": 4},
    keys={**_ssm(conv=4, inner=2048, state=128, heads=16, groups=16), "rope.dimension_count": 64,
          "rope.dimension_sections": [11, 11, 10, 0], "full_attention_interval": 4, "attention.head_count_kv": 2},
    attention_layers=frozenset(range(3, 24, 4)),
)  # fmt: skip
FALCON_MAMBA_7B = Case(
    name="falcon-mamba-7b", hub_id="tiiuae/falcon-mamba-7b-instruct", kind="recurrent",
    source="config.json; parameters as published",
    arch="mamba", layers=64, hidden=4096, heads=0, kv_heads=0, head_width=0, feed_forward=0,
    vocabulary=65024, context=1048576, tensors=h.mamba1_model,
    facts={"inner": 8192, "state": 16, "ssm_heads": 256, "conv": 4},
    keys={**_ssm(conv=4, inner=8192, state=16, heads=256, groups=None), "ssm.dt_b_c_rms": True},
)  # fmt: skip

HYBRIDS: tuple[Case, ...] = (
    QWEN3_NEXT_80B, QWEN35_9B, QWEN35_08B, FALCON_MAMBA_7B, GRANITE_4_SMALL, MAMBA_CODESTRAL_7B, FALCON_H1_7B,
    JAMBA, LFM2_12B, NEMOTRON_NANO_9B, RWKV7_3B, GEMMA_3N_E4B, GEMMA_4_E4B,
)  # fmt: skip
