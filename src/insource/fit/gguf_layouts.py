"""How llama.cpp's architectures keep their context: which layers slide, which hold a state. Constants of build b11549.

Source: `load_arch_hparams` in src/models/*.cpp, `llm_arch_is_recurrent` and `llm_arch_is_hybrid` in
src/llama-arch.cpp. An architecture that is not here is not guessed at: `gguf_spec.py` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MixerKind = Literal["mamba1", "mamba2", "delta", "shortconv", "rwkv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Sliding windows, where the file's `sliding_window` is not 0."""

    period: int
    """All but every so-manieth layer slide, unless the file lists them. 0: the file has to list them."""
    dense_first: bool = False
    """The full layer of each period comes first instead of last."""
    tokens: int | None = None
    """Taken where the file states none; None: no window then."""
    fixed: bool = False
    """`tokens` counts even where the file states another."""
    only_with_layers: int | None = None
    """Only in the size with so many layers."""


WINDOWS: Mapping[str, Window] = {
    "afmoe": Window(period=4),
    "cohere2": Window(period=4),
    "cohere2moe": Window(period=4, dense_first=True),
    "exaone4": Window(period=4, tokens=4096, only_with_layers=64),
    "exaone-moe": Window(period=4, tokens=128),
    "gemma2": Window(period=2, tokens=4096),
    "gemma3": Window(period=6),
    "gemma3n": Window(period=5),
    "gemma4": Window(period=0),
    "gpt-oss": Window(period=2),
    "granite_swa": Window(period=0),
    "laguna": Window(period=4, dense_first=True),
    "llama4": Window(period=4, tokens=8192, fixed=True),
    "mellum": Window(period=4),
    "mimo2": Window(period=0),
    "olmo2": Window(period=4),
    "plamo3": Window(period=8),
    "smallthinker": Window(period=4, dense_first=True, tokens=4096, fixed=True),
    "step35": Window(period=0),
}
MIXERS: Mapping[str, MixerKind] = {
    "falcon-h1": "mamba2",
    "granitehybrid": "mamba2",
    "jamba": "mamba1",
    "lfm2": "shortconv",
    "lfm2moe": "shortconv",
    "mamba": "mamba1",
    "mamba2": "mamba2",
    "nemotron_h": "mamba2",
    "nemotron_h_moe": "mamba2",
    "qwen35": "delta",
    "qwen35moe": "delta",
    "qwen3next": "delta",
    "rwkv6": "rwkv",
    "rwkv6qwen2": "rwkv",
    "rwkv7": "rwkv",
    "arwkv7": "rwkv",
}
INTERVAL = frozenset(("qwen35", "qwen35moe", "qwen3next"))
"""Full attention every `full_attention_interval` layers; elsewhere a layer without KV heads holds the state."""
SHARED_FROM: Mapping[str, int] = {"gemma3n": 20}
"""Layers from this one on use an earlier layer's cache, whatever the file says (src/models/gemma3n.cpp)."""
PLAIN = frozenset((
    "apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom", "chameleon",
    "chatglm", "codeshell", "cogvlm", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr",
    "deepseek32", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm-dsa", "glm4", "glm4moe",
    "gpt2", "gptneox", "granite", "granitemoe", "grovemoe", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "internlm2",
    "jais", "jais2", "llama", "maincoder", "minicpm", "minicpm3", "minimax-m2", "mistral3", "mistral4", "mpt",
    "nemotron", "olmo", "olmoe", "openelm", "orion", "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe",
    "plamo", "plm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe",
    "refact", "seed_oss", "smollm3", "stablelm", "starcoder", "starcoder2", "xverse",
))  # fmt: skip
"""Every layer keeps the whole context (MLA included), whatever window the file states."""
ENCODERS = frozenset((
    "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3",
    "eurobert", "gemma-embedding", "gemma-embedding2", "t5encoder", "dream", "llada", "llada-moe", "rnd1",
    "clef",
))  # fmt: skip
"""No cache at all (`llama_model::create_memory`)."""
