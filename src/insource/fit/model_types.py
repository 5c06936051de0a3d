"""How llama.cpp lays out each model type that transformers names: what a `config.json` alone does not say.

Source: llama.cpp b11549, `src/models/*.cpp` (layout, windows, states) and `conversion/*.py` (which configuration
becomes which architecture). A type that is not here is not guessed at: `config_spec.py` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Attention = Literal["split", "fused", "mla", "none"]
"""How the projections are stored: apart, as one `attn_qkv`, as low-rank latents (MLA)."""
MixerKind = Literal["", "mamba1", "mamba2", "delta", "shortconv", "rwkv6", "rwkv7"]
"""What stands in for attention in recurrent layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which layers slide where the configuration does not list them: all but every `period`-th."""

    period: int
    dense_first: bool = False
    tokens: int | None = None
    """llama.cpp's own value, which counts more than the configuration's."""
    only_with_layers: int | None = None
    """Only in the size with so many layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelType:
    architecture: str
    """llama.cpp's name."""
    attention: Attention = "split"
    window: Window | None = None
    """None: llama.cpp keeps the whole context in every layer, whatever window the configuration states."""
    mixer: MixerKind = ""
    gated: bool = True
    """Feed-forward with a gate: three matrices, not two."""
    norms: int = 2
    """Vectors of embedding width in a layer."""
    qk_norm: Literal["", "head", "full"] = ""
    bias: Literal["", "qkv", "all"] = ""
    output_gate: bool = False
    """A matrix of its own gates the attention's output."""
    encoder: bool = False
    """No KV cache at all: an embedding model."""
    note: str = ""
    """A sentence that belongs to every answer about it."""


_LLAMA = ModelType(architecture="llama")
_QWEN2 = ModelType(architecture="qwen2", bias="qkv")
_QWEN3 = ModelType(architecture="qwen3", qk_norm="head")
_QWEN3_MOE = replace(_QWEN3, architecture="qwen3moe")
_GEMMA3 = ModelType(architecture="gemma3", window=Window(period=6), norms=4, qk_norm="head")
_GEMMA3N = ModelType(architecture="gemma3n", window=Window(period=5), norms=4, qk_norm="head")
_GEMMA4 = ModelType(architecture="gemma4", window=Window(period=6), norms=4, qk_norm="head")
_QWEN35 = ModelType(architecture="qwen35", mixer="delta", qk_norm="head")
_QWEN35_MOE = replace(_QWEN35, architecture="qwen35moe")
_DEEPSEEK2 = ModelType(architecture="deepseek2", attention="mla")
_LLAMA4 = ModelType(architecture="llama4", window=Window(period=4, tokens=8192))
_GLM4_MOE = ModelType(architecture="glm4moe", bias="qkv")
_ELSEWHERE = "llama.cpp does not run this model type: it is sized as vLLM and transformers hold it"
_BERT = ModelType(architecture="bert", bias="all", gated=False, encoder=True, norms=4)

MODEL_TYPES: Mapping[str, ModelType] = {
    "afmoe": ModelType(architecture="afmoe", window=Window(period=4), norms=4, qk_norm="head", output_gate=True),
    "apertus": ModelType(architecture="apertus", gated=False, qk_norm="head"),
    "arcee": ModelType(architecture="arcee", gated=False),
    "baichuan": replace(_LLAMA, architecture="baichuan"),
    "bailing_moe": ModelType(architecture="bailingmoe"),
    "bamba": ModelType(architecture="granitehybrid", mixer="mamba2"),
    "bert": _BERT,
    "bloom": ModelType(architecture="bloom", attention="fused", gated=False, bias="all", norms=4),
    "cohere": ModelType(architecture="command-r", norms=1),
    "cohere2": ModelType(architecture="cohere2", norms=1, window=Window(period=4)),
    "deepseek": ModelType(architecture="deepseek"),
    "deepseek_ocr": ModelType(architecture="deepseek2-ocr"),
    "deepseek_v2": _DEEPSEEK2,
    "deepseek_v3": _DEEPSEEK2,
    "deepseek_v32": replace(_DEEPSEEK2, architecture="deepseek32"),
    "dots1": ModelType(architecture="dots1", qk_norm="head"),
    "ernie4_5": ModelType(architecture="ernie4_5"),
    "ernie4_5_moe": ModelType(architecture="ernie4_5-moe"),
    "exaone": ModelType(architecture="exaone"),
    "exaone4": ModelType(architecture="exaone4", qk_norm="head", window=Window(period=4, only_with_layers=64)),
    "exaone_moe": ModelType(architecture="exaone-moe", qk_norm="head", window=Window(period=4)),
    "falcon": ModelType(architecture="falcon", attention="fused", gated=False),
    "falcon_h1": ModelType(architecture="falcon-h1", mixer="mamba2"),
    "falcon_mamba": ModelType(architecture="mamba", attention="none", mixer="mamba1", norms=1),
    "gemma": ModelType(architecture="gemma"),
    "gemma2": ModelType(architecture="gemma2", window=Window(period=2), norms=4),
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "gemma3n": _GEMMA3N,
    "gemma3n_text": _GEMMA3N,
    "gemma4": _GEMMA4,
    "gemma4_text": _GEMMA4,
    "gemma4_unified": _GEMMA4,
    "gemma4_unified_text": _GEMMA4,
    "glm": ModelType(architecture="chatglm", bias="qkv"),
    "glm4": ModelType(architecture="glm4", norms=4),
    "glm4v": ModelType(architecture="glm4", norms=4),
    "glm4v_text": ModelType(architecture="glm4", norms=4),
    "glm4_moe": _GLM4_MOE,
    "glm4v_moe": _GLM4_MOE,
    "glm4v_moe_text": _GLM4_MOE,
    "glm4_moe_lite": _DEEPSEEK2,
    "glm_moe_dsa": replace(_DEEPSEEK2, architecture="glm-dsa"),
    "gpt2": ModelType(architecture="gpt2", attention="fused", gated=False, bias="all", norms=4),
    "gpt_bigcode": ModelType(architecture="starcoder", attention="fused", gated=False, bias="all", norms=4),
    "gpt_neox": ModelType(architecture="gptneox", attention="fused", gated=False, bias="all", norms=4),
    "gpt_oss": ModelType(architecture="gpt-oss", window=Window(period=2), bias="all"),
    "granite": ModelType(architecture="granite"),
    "granitemoe": ModelType(architecture="granitemoe"),
    "granitemoehybrid": ModelType(architecture="granitehybrid", mixer="mamba2"),
    "granitemoeshared": ModelType(architecture="granitemoe"),
    "hunyuan_v1_dense": ModelType(architecture="hunyuan-dense", qk_norm="head"),
    "hunyuan_vl": ModelType(architecture="hunyuan_vl", qk_norm="head"),
    "hunyuan_v1_moe": ModelType(architecture="hunyuan-moe", qk_norm="head"),
    "internlm2": ModelType(architecture="internlm2"),
    "internlm3": _LLAMA,
    "jamba": ModelType(architecture="jamba", mixer="mamba1"),
    "kimi_k2": _DEEPSEEK2,
    "kimi_k25": _DEEPSEEK2,
    "lfm2": ModelType(architecture="lfm2", mixer="shortconv", qk_norm="head"),
    "lfm2_moe": ModelType(architecture="lfm2moe", mixer="shortconv", qk_norm="head"),
    "llama": _LLAMA,
    "llama4": _LLAMA4,
    "llama4_text": _LLAMA4,
    "mamba": ModelType(architecture="mamba", attention="none", mixer="mamba1", norms=1),
    "mamba2": ModelType(architecture="mamba2", attention="none", mixer="mamba2", norms=1),
    "mellum": ModelType(architecture="mellum", qk_norm="head", window=Window(period=4)),
    "minimax_m2": ModelType(architecture="minimax-m2", qk_norm="full"),
    "ministral": _LLAMA,
    "ministral3": replace(_LLAMA, architecture="mistral3"),
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    "nemotron": ModelType(architecture="nemotron", gated=False, norms=4),
    "nemotron_h": ModelType(architecture="nemotron_h", mixer="mamba2", gated=False, norms=1),
    "nomic_bert": ModelType(architecture="nomic-bert", attention="fused", encoder=True, norms=4),
    "olmo": ModelType(architecture="olmo", norms=0),
    "olmo2": ModelType(architecture="olmo2", qk_norm="full"),
    "olmo3": ModelType(architecture="olmo2", qk_norm="full", window=Window(period=4)),
    "olmoe": ModelType(architecture="olmoe", qk_norm="full"),
    "openelm": ModelType(architecture="openelm", attention="fused", qk_norm="head"),
    "opt": ModelType(architecture="opt", gated=False, bias="all", norms=4, note=_ELSEWHERE),
    "phi": ModelType(architecture="phi2", gated=False, bias="all"),
    "phi3": ModelType(architecture="phi3", attention="fused"),
    "phimoe": ModelType(architecture="phimoe", bias="all", norms=4),
    "qwen": ModelType(architecture="qwen", attention="fused", bias="qkv"),
    "qwen2": _QWEN2,
    "qwen2_moe": replace(_QWEN2, architecture="qwen2moe"),
    "qwen2_vl": replace(_QWEN2, architecture="qwen2vl"),
    "qwen2_vl_text": replace(_QWEN2, architecture="qwen2vl"),
    "qwen2_5_vl": replace(_QWEN2, architecture="qwen2vl"),
    "qwen2_5_vl_text": replace(_QWEN2, architecture="qwen2vl"),
    "qwen3": _QWEN3,
    "qwen3_5": _QWEN35,
    "qwen3_5_text": _QWEN35,
    "qwen3_5_moe": _QWEN35_MOE,
    "qwen3_5_moe_text": _QWEN35_MOE,
    "qwen3_moe": _QWEN3_MOE,
    "qwen3_next": replace(_QWEN35_MOE, architecture="qwen3next"),
    "qwen3_vl": replace(_QWEN3, architecture="qwen3vl"),
    "qwen3_vl_text": replace(_QWEN3, architecture="qwen3vl"),
    "qwen3_vl_moe": replace(_QWEN3_MOE, architecture="qwen3vlmoe"),
    "qwen3_vl_moe_text": replace(_QWEN3_MOE, architecture="qwen3vlmoe"),
    "modernbert": replace(_BERT, architecture="modern-bert", attention="fused", bias="", gated=True, norms=2),
    "roberta": _BERT,
    "rwkv6": ModelType(architecture="rwkv6", attention="none", mixer="rwkv6", norms=4),
    "rwkv7": ModelType(architecture="rwkv7", attention="none", mixer="rwkv7", norms=4),
    "seed_oss": ModelType(architecture="seed_oss", bias="qkv"),
    "smollm3": ModelType(architecture="smollm3"),
    "solar_open": _GLM4_MOE,
    "stablelm": ModelType(architecture="stablelm", norms=4),
    "starcoder2": ModelType(architecture="starcoder2", gated=False, bias="all", norms=4),
    "xlm-roberta": _BERT,
}
"""By the text model's `model_type`."""

TEXT_TYPES: Mapping[str, str] = {
    "GOT": "qwen2", "dots_ocr": "qwen2", "exaone4_5": "exaone4", "idefics3": "llama", "lfm2_vl": "lfm2",
    "llava_onevision": "qwen2", "phi3_v": "phi3", "smolvlm": "llama",
}  # fmt: skip
"""What the language model inside a multimodal one always is, where only the outer type is known (a catalogue)."""
WRAPPERS = frozenset((
    "blip-2", "deepseek_vl_v2", "internvl", "internvl_chat", "kimi_vl", "llava", "llava_next", "mistral3", "paligemma",
    "unlimited-ocr", "vipllava",
))  # fmt: skip
"""Multimodal types whose language model may be of several: only a shape that the table knows tells which."""
