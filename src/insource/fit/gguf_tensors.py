"""A GGUF's tensors by where llama.cpp puts them: the layers, the input that stays with the CPU, the output. Pure.

Source, build b11549: `LLM_TENSOR_INFOS` in src/llama-arch.cpp says which tensors belong to the input, a layer or the
output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from insource.core.gguf import TensorInfo

_INPUTS = ("token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight")
_DOWN = ("ffn_down.weight", "ffn_down_shexp.weight", "channel_mix_value.weight")
_ALIGNMENT = 32


@dataclass(slots=True, kw_only=True)
class LayerTensors:
    size_bytes: int = 0
    feed_forward_width: int = 0
    """Shared experts included."""
    experts: int = 0
    expert_width: int = 0
    has_gate: bool = False
    up_rows: int = 0
    expert_bytes: int = 0

    @property
    def gated(self) -> bool:
        """By a tensor of its own or, in one with `ffn_up` (Phi-3, GLM-4), by rows beyond the width that goes on."""
        return self.has_gate or 0 < self.feed_forward_width < self.up_rows


@dataclass(slots=True, kw_only=True)
class Tensors:
    layers: list[LayerTensors]
    input_bytes: int = 0
    output_bytes: int = 0
    embedding_bytes: int = 0
    expert_elements: int = 0
    largest_bytes: int = 0
    ahead_bytes: int = 0
    """Of layers past those that are loaded."""
    width: int = 0
    vocabulary: int = 0
    streams: int = 1
    has_output: bool = False
    unknown: list[str] = field(default_factory=list[str])

    @staticmethod
    def read(tensors: Iterable[TensorInfo], count: int) -> Tensors:
        """Layers past `count` are not loaded and not counted."""
        found = Tensors(layers=[LayerTensors() for _ in range(count)])
        for tensor in tensors:
            found._add(tensor)
        empty = sum(layer.size_bytes == 0 for layer in found.layers)
        if empty:
            found.unknown.append(f"{empty} of its {count} layers are not in this file: it may be one of several parts.")
        return found

    @property
    def layer_bytes(self) -> tuple[int, ...]:
        return tuple(layer.size_bytes for layer in self.layers)

    @property
    def layer_expert_bytes(self) -> tuple[int, ...]:
        found = tuple(layer.expert_bytes for layer in self.layers)
        return found if any(found) else ()

    def _add(self, tensor: TensorInfo) -> None:
        if tensor.size_bytes is None:
            sentence = f"It has tensors of the type {tensor.type_name!r}, whose size is not known."
            if sentence not in self.unknown:
                self.unknown.append(sentence)
        size = (tensor.size_bytes or 0) + -(tensor.size_bytes or 0) % _ALIGNMENT
        if tensor.name.startswith("blk."):
            number, _, role = tensor.name[4:].partition(".")
            if not number.isascii() or not number.isdecimal() or len(number) > 4:
                self.unknown.append(f"It has a tensor named {tensor.name[:60]!r}.")
            elif int(number) < len(self.layers):
                self._add_to_layer(self.layers[int(number)], role, tensor, size_bytes=size)
            else:
                self.ahead_bytes += size
        elif tensor.name in _INPUTS:
            self.input_bytes += size
            if tensor.name == _INPUTS[0] and len(tensor.shape) >= 2:
                self.width, self.vocabulary = tensor.shape[:2]
                self.embedding_bytes = size
        else:
            self.output_bytes += size
            self.has_output |= tensor.name == "output.weight"
            if tensor.name == "altup_proj.weight" and len(tensor.shape) == 3:
                self.streams = 1 + tensor.shape[2]

    def _add_to_layer(self, layer: LayerTensors, role: str, tensor: TensorInfo, *, size_bytes: int) -> None:
        layer.size_bytes += size_bytes
        self.largest_bytes = max(self.largest_bytes, size_bytes)
        shape = tensor.shape
        if role in _DOWN and len(shape) >= 2:
            layer.feed_forward_width += shape[0]
        elif role.startswith("ffn_") and "_exps." in role:
            layer.expert_bytes += size_bytes
            self.expert_elements += tensor.elements
            if role == "ffn_down_exps.weight" and len(shape) == 3:
                layer.expert_width, layer.experts = shape[0], shape[2]
        if role.startswith("ffn_gate") and not role.startswith("ffn_gate_inp"):
            layer.has_gate = True
        elif role == "ffn_up.weight" and len(shape) >= 2:
            layer.up_rows = shape[1]
