"""A PEFT LoRA adapter as the GGUF adapter that llama.cpp loads.

The same tensors as llama.cpp's convert_lora_to_gguf.py writes (tests/golden/adapters): modules are named as in GGUF,
and the rows of a llama's q and k are reordered, because llama.cpp rotates neighbouring pairs where transformers rotates
halves. What llama.cpp would take and then leave out of the sum is refused: an adapter that is served in part answers
wrongly without a word.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from insource.adapt.files.gguf import Bytes, Floats, GgufFile, Tensor, f32, text, write_gguf
from insource.adapt.files.safetensors import read_safetensors
from insource.core.errors import BadInput

_MODULES: Mapping[str, str] = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
ARCHITECTURES: Mapping[str, str] = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3",
    "gemma3": "gemma3",
}  # fmt: skip
"""transformers' model type -> GGUF's architecture, of the models whose adapters can be written."""
_REORDERED = "llama"
_NAME = re.compile(r"(.+)\.lora_([AB])\.weight")
_MODULE = re.compile(r"(?:base_model\.model\.)?(?:model\.)?(?:language_model\.)?(?:model\.)?layers\.(\d+)\.(\w+\.\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFacts:
    """What the writer needs to know of the model that an adapter belongs to."""

    architecture: str
    heads: int
    kv_heads: int
    shapes: Mapping[str, tuple[int, ...]] | None = None
    """ggml's shapes of its tensors by name, to check against; None where the model's GGUF is not at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPart:
    """One module's two matrices: the change of its weights is scale × b @ a."""

    a: Floats
    """(rank, inputs)."""
    b: Floats
    """(outputs, rank)."""


def gguf_name(module: str) -> str | None:
    """GGUF's name of a linear layer's weights, by transformers' (or PEFT's) name of the layer; None: it has none."""
    match = _MODULE.fullmatch(module)
    return f"blk.{match[1]}.{_MODULES[match[2]]}.weight" if match and match[2] in _MODULES else None


def facts_of_gguf(file: GgufFile) -> BaseFacts:
    heads, kv_heads = file.fact("attention.head_count"), file.fact("attention.head_count_kv")
    if file.architecture not in ARCHITECTURES.values() or not isinstance(heads, int):
        raise _unsupported(file.architecture)
    return BaseFacts(
        architecture=file.architecture,
        heads=heads,
        kv_heads=kv_heads if isinstance(kv_heads, int) else heads,
        shapes={tensor.name: tensor.shape for tensor in file.tensors},
    )


def facts_of_config(config: Mapping[str, Any]) -> BaseFacts:
    """From transformers' config.json."""
    model_type = str(config.get("model_type"))
    inner = config.get("text_config")
    config = inner if isinstance(inner, dict) else config
    heads = config.get("num_attention_heads")
    if model_type not in ARCHITECTURES or not isinstance(heads, int):
        raise _unsupported(model_type)
    kv_heads = config.get("num_key_value_heads")
    return BaseFacts(
        architecture=ARCHITECTURES[model_type], heads=heads, kv_heads=kv_heads if isinstance(kv_heads, int) else heads
    )


def _unsupported(architecture: str) -> BadInput:
    return BadInput(
        f"Adapters of the architecture {architecture!r} can't be written as GGUF.",
        next_step=f"Choose a model with one of these architectures: {', '.join(sorted(set(ARCHITECTURES.values())))}.",
    )


def write_adapter(folder: Path, target: Path, base: BaseFacts) -> None:
    """`folder` holds adapter_config.json and adapter_model.safetensors. Raises BadInput, BadModelFile."""
    config = _config(folder)
    parts = adapter_parts(read_safetensors(folder / "adapter_model.safetensors"), base)
    alpha = _alpha(config, parts)
    entries = {
        "general.architecture": text(base.architecture),
        "general.type": text("adapter"),
        "adapter.type": text("lora"),
        "adapter.lora.alpha": f32(alpha),
    }
    data: list[tuple[Tensor, Bytes]] = []
    for name, part in sorted(parts.items()):
        for suffix, values in (("lora_a", part.a), ("lora_b", part.b)):
            tensor = Tensor(name=f"{name}.{suffix}", shape=values.shape[::-1], type_name="F32")
            data.append((tensor, np.ascontiguousarray(values, dtype="<f4").reshape(-1).view(np.uint8)))
    write_gguf(target, entries, data)


def adapter_parts(tensors: Mapping[str, Any], base: BaseFacts) -> dict[str, AdapterPart]:
    """GGUF name -> matrices, in llama.cpp's order of rows."""
    found: dict[str, dict[str, Floats]] = {}
    for name, values in tensors.items():
        match = _NAME.fullmatch(name)
        module = None if match is None else gguf_name(match[1])
        if match is None or module is None:
            raise BadInput(
                f"The adapter changes {name!r}, which llama.cpp would leave out or refuse.",
                next_step=f"Train it on these modules alone: {', '.join(sorted(_MODULES))}.",
            )
        found.setdefault(module, {})[match[2]] = np.asarray(values, dtype=np.float32)
    if not found:
        raise BadInput("The adapter holds no tensor.", next_step="Train it again.")
    return {module: _part(module, halves, base) for module, halves in found.items()}


def _part(module: str, halves: Mapping[str, Floats], base: BaseFacts) -> AdapterPart:
    a, b = halves.get("A"), halves.get("B")
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise BadInput(f"The adapter's two matrices for {module!r} don't match.", next_step="Train it again.")
    shape = None if base.shapes is None else base.shapes.get(module, ())
    if shape is not None and shape != (a.shape[1], b.shape[0]):
        raise BadInput(
            f"The adapter's {module!r} is for weights of {a.shape[1]} × {b.shape[0]}; the model's are "
            f"{' × '.join(map(str, shape)) or 'not there'}.",
            next_step="Use the adapter with the model that it was trained on.",
        )
    if base.architecture == _REORDERED:
        heads = {"attn_q": base.heads, "attn_k": base.kv_heads}.get(module.split(".")[2])
        b = b if heads is None else halves_to_pairs(b, heads)
    return AdapterPart(a=a, b=b)


def halves_to_pairs(rows: Floats, heads: int) -> Floats:
    """(outputs, …) with each head's rows reordered from [first halves, second halves] to neighbouring pairs."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        config: Any = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{str(folder)!r} holds no readable adapter_config.json: {error}.",
            next_step="Name the folder of a PEFT adapter.",
        ) from error
    unserved = {
        "DoRA": config.get("use_dora"),
        "trained biases": config.get("bias", "none") != "none" or config.get("lora_bias"),
        "whole trained modules": config.get("modules_to_save"),
        "transposed weights": config.get("fan_in_fan_out"),
        "trained tokens": config.get("trainable_token_indices"),
        "activation on a phrase": config.get("alora_invocation_tokens") or config.get("invocation_string"),
    }
    found = [name for name, value in unserved.items() if value]
    if config.get("peft_type") != "LORA" or found:
        what = " and ".join(found) or f"the type {config.get('peft_type')!r}"
        raise BadInput(
            f"The adapter uses {what}, which llama.cpp would leave out.", next_step="Train a plain LoRA adapter."
        )
    return config


def _alpha(config: Mapping[str, Any], parts: Mapping[str, AdapterPart]) -> float:
    """llama.cpp scales by alpha / rank, each module by its own rank; there is one alpha."""
    alpha = float(config.get("lora_alpha", 0))
    if config.get("alpha_pattern"):
        raise BadInput(
            "Some modules of the adapter have their own alpha; a GGUF adapter has one alpha for all.",
            next_step="Train it with one alpha.",
        )
    if not alpha > 0:
        raise BadInput(f"The adapter's alpha is {alpha}: it would change nothing.", next_step="Train it again.")
    if not config.get("use_rslora"):
        return alpha
    ranks = {part.a.shape[0] for part in parts.values()}
    if len(ranks) > 1:
        raise BadInput(
            "A rank-stabilised adapter with several ranks has no single scale.", next_step="Train it with one rank."
        )
    return alpha * math.sqrt(ranks.pop())
