"""A model of safetensors, as vLLM and transformers load it: its layout from the configuration, its bytes from the real
tensors. Pure.

Tensors are told apart by the names that transformers gives them. Encoders for images and sound count as what is loaded
beside the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from insource.core.architecture import ModelSpec, Weights
from insource.core.gguf import TensorInfo
from insource.fit.config_facts import native_quantization
from insource.fit.config_spec import ENCODERS_APART, spec_of_config

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer)\.(\d+)\.")
_ENCODER = re.compile(
    r"(?:^|\.)(?:vision|visual|audio|image|mm_projector|multi_modal|vit|embed_(?:vision|audio)|multimodal)"
)
_EXPERT = re.compile(r"\.experts\b")
_INPUT = re.compile(r"(?:^|\.)(?:embed_tokens\w*|wte|wpe|word_embeddings|position_embeddings|token_embd|embeddings?)\b")


def spec_of_safetensors(
    config: Mapping[str, Any], tensors: Sequence[TensorInfo], *, name: str, parameters: int | None = None
) -> ModelSpec:
    """`parameters`: as the repository's metadata states. Raises BadInput as `spec_of_config` does."""
    spec = spec_of_config(config, name=name, parameters=parameters)
    if not tensors:
        return spec
    layers = [0] * len(spec.architecture.layers)
    experts = [0] * len(layers)
    inputs = outputs = beside = 0
    for tensor in tensors:
        size = tensor.size_bytes or 0
        found = _LAYER.search(tensor.name)
        if _ENCODER.search(tensor.name):
            beside += size
        elif found is not None and int(found[1]) < len(layers):
            layers[int(found[1])] += size
            experts[int(found[1])] += size if _EXPERT.search(tensor.name) else 0
        elif found is not None:
            beside += size  # layers for multi-token prediction
        elif _INPUT.search(tensor.name):
            inputs += size
        else:
            outputs += size
    weights = Weights(
        layer_bytes=tuple(layers),
        input_bytes=inputs,
        output_bytes=outputs,
        layer_expert_bytes=tuple(experts) if any(experts) else (),
        largest_bytes=max((tensor.size_bytes or 0 for tensor in tensors if _LAYER.search(tensor.name)), default=0),
        quantization=native_quantization(config),
    )
    apart = tuple(note for note in spec.not_counted if note != ENCODERS_APART or not beside)
    return replace(spec, weights=weights, extra_bytes=beside, not_counted=apart)
