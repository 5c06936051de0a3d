"""Small random adapters of the shapes that PEFT writes, and the models that they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from insource.adapt.files.safetensors import write_safetensors

_MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
            "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
_COMMON: Mapping[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    "llama, one head a key": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_key_value_heads": 6,
    },
    "llama, wide heads": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": 16},
    "mistral": {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "head_dim": 16},
    "qwen2": {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"},
    "qwen3": {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 16},
    "gemma3": {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "head_dim": 16,
        "sliding_window": 32,
        "num_key_value_heads": 1,
    },
}


def config(name: str) -> dict[str, Any]:
    return {**_COMMON, **MODELS[name]}


def adapter(name: str) -> dict[str, Any]:
    """PEFT's names -> float32 arrays, the same at every call."""
    facts = config(name)
    width, inner = facts["hidden_size"], facts["intermediate_size"]
    head = facts.get("head_dim") or width // facts["num_attention_heads"]
    q, kv = head * facts["num_attention_heads"], head * facts["num_key_value_heads"]
    shapes = dict(zip(_MODULES, ((width, q), (width, kv), (width, kv), (q, width), (width, inner), (width, inner),
                                 (inner, width)), strict=True))  # fmt: skip
    rng = np.random.default_rng(7)
    found: dict[str, Any] = {}
    for layer in range(facts["num_hidden_layers"]):
        for module, (inputs, outputs) in shapes.items():
            key = f"base_model.model.model.layers.{layer}.{module}.lora_"
            found[f"{key}A.weight"] = rng.integers(-99, 99, (4, inputs)).astype(np.float32) / 64
            found[f"{key}B.weight"] = rng.integers(-99, 99, (outputs, 4)).astype(np.float32) / 64
    return found


def write_peft(folder: Path, name: str, **changes: Any) -> Path:
    """The adapter's folder, with its base model's config in `folder / "base"`."""
    base = folder / "base"
    base.mkdir(parents=True, exist_ok=True)
    (base / "config.json").write_text(json.dumps(config(name)))
    facts = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", **changes}
    (folder / "adapter_config.json").write_text(json.dumps(facts))
    write_safetensors(folder / "adapter_model.safetensors", adapter(name))
    return folder
