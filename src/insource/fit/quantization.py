"""Bytes of a model's weights in a named quantisation. Pure.

GGUF: the type of each tensor as llama.cpp's quantiser chooses it (`llama_tensor_get_type_impl` and
`tensor_type_fallback` in src/llama-quant.cpp, b11549), without a user's overrides. IQ types are taken as made with an
importance matrix, the others without, as they are published. Types of vLLM's world (AWQ, GPTQ, FP8, NVFP4): linear
layers in the type with its scales; embedding, output head and norms in 16 bit.
"""

from __future__ import annotations

from collections.abc import Mapping

from insource.core.architecture import Weights
from insource.core.errors import UsageError
from insource.core.ggml_types import TypeLayout, type_layout
from insource.fit.shape import Block, Matrix, Shape

_NUMBERS: Mapping[str, int] = {
    "F32": 0, "F16": 1, "BF16": 30, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11,
    "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ2_XXS": 16, "IQ2_XS": 17, "IQ3_XXS": 18, "IQ1_S": 19, "IQ4_NL": 20,
    "IQ3_S": 21, "IQ2_S": 22, "IQ4_XS": 23, "IQ1_M": 29, "MXFP4": 39,
}  # fmt: skip
_LAYOUTS: Mapping[str, TypeLayout] = {name: type_layout(number) for name, number in _NUMBERS.items()}

_GGUF: Mapping[str, str] = {
    "F32": "F32", "BF16": "BF16", "F16": "F16", "Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q5_1": "Q5_1",
    "Q5_K_S": "Q5_K", "Q5_0": "Q5_0", "Q4_1": "Q4_1", "Q4_K_M": "Q4_K", "Q4_K_S": "Q4_K", "IQ4_NL": "IQ4_NL",
    "Q4_0": "Q4_0", "IQ4_XS": "IQ4_XS", "MXFP4": "MXFP4", "Q3_K_L": "Q3_K", "Q3_K_M": "Q3_K", "IQ3_M": "IQ3_S",
    "Q3_K_S": "Q3_K", "IQ3_S": "IQ3_S", "IQ3_XS": "IQ3_S", "IQ3_XXS": "IQ3_XXS", "Q2_K": "Q2_K", "IQ2_M": "IQ2_S",
    "IQ2_S": "IQ2_XS", "IQ2_XS": "IQ2_XS", "IQ2_XXS": "IQ2_XXS", "IQ1_M": "IQ1_M", "IQ1_S": "IQ1_S",
}  # fmt: skip
"""Quantisation -> the type that a tensor has unless a rule says otherwise (`llama_ftype_get_default_type`)."""
_GROUP = 128
_BITS: Mapping[str, float] = {
    "FP8": 8.0, "BNB-Int8": 8.0, "NVFP4": 4.5, "BNB-Int4": 4.5,
    **{f"{method}-Int{bits}": bits + (16 + bits) / _GROUP for method in ("AWQ", "GPTQ") for bits in (8, 4, 3, 2)},
}  # fmt: skip
"""Bits per value of a linear layer: AWQ and GPTQ with an fp16 scale and a zero point per group of 128, NVFP4 with an
fp8 scale per 16, bitsandbytes' nf4 with an fp32 scale per 64."""

QUANTIZATIONS: tuple[str, ...] = (
    "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
    "IQ2_M", "IQ2_XXS",
)  # fmt: skip
"""Of GGUF files as people publish them, from the largest to the smallest: for "the best that fits"."""

_FALLBACK: Mapping[str, str] = {
    "IQ1_S": "IQ4_NL", "IQ1_M": "IQ4_NL", "IQ2_XXS": "IQ4_NL", "IQ2_XS": "IQ4_NL", "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ4_XS": "IQ4_NL", "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0",
    "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""For a width that 256 does not divide."""
_TINY_IQ = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M")
_MOST_LAYERS_SHARE = 8
"""The rules speak of the first and last eighth of the layers."""


def canonical_quantization(name: str) -> str:
    """The name as in the tables; raises UsageError for one that is not known."""
    upper = name.strip().upper().replace("-", "_")
    for known in (*_GGUF, *_BITS):
        if known.upper().replace("-", "_") == upper:
            return known
    raise UsageError(
        f"{name!r} is not a quantisation that insource can size.",
        next_step=f"Choose one of {', '.join((*_GGUF, *_BITS))}.",
    )


def estimate_weights(shape: Shape, quantization: str) -> Weights:
    """What the file would hold, by where llama.cpp puts it."""
    name = canonical_quantization(quantization)
    policy = _Policy(shape, name)
    total = len(shape.blocks)
    kinds = set(shape.blocks)
    values = _order(shape, {block for block in kinds if block.has("v", "qkv")})
    downs = _order(shape, {block for block in kinds if block.has("down")})
    layers: list[int] = []
    experts: list[int] = []
    largest = 0
    done: dict[tuple[Block, str, str], tuple[int, int, int]] = {}
    for index, block in enumerate(shape.blocks):
        value_type = policy.value_type(values.get(index, 0), len(values))
        at, of = (index, total) if shape.experts > 1 else (downs.get(index, 0), len(downs))
        down_type = policy.down_type(at, of)
        key = (block, value_type, down_type)
        if key not in done:
            done[key] = policy.block_bytes(block, value_type, down_type)
        size, of_experts, widest = done[key]
        layers.append(size)
        experts.append(of_experts)
        largest = max(largest, widest)
    return Weights(
        layer_bytes=tuple(layers),
        input_bytes=sum(policy.matrix_bytes(matrix) for matrix in shape.inputs),
        output_bytes=sum(policy.matrix_bytes(matrix) for matrix in shape.outputs),
        layer_expert_bytes=tuple(experts) if any(experts) else (),
        largest_bytes=largest,
        embedding_bytes=policy.matrix_bytes(shape.inputs[0]) if len(shape.inputs) > 1 else 0,
        quantization=name,
        exact=False,
    )


def _order(shape: Shape, those: set[Block]) -> dict[int, int]:
    """Layer -> its place among the layers of these kinds."""
    return {index: order for order, index in enumerate([i for i, block in enumerate(shape.blocks) if block in those])}


class _Policy:
    """The quantiser's choices for one model and one quantisation."""

    def __init__(self, shape: Shape, name: str) -> None:
        self._shape = shape
        self._name = name
        self._base = _GGUF.get(name, "")
        self._wide = shape.queries_per_kv_head >= 4
        self._eight = shape.experts == 8
        self._falcon = shape.architecture == "falcon"

    def block_bytes(self, block: Block, value_type: str, down_type: str) -> tuple[int, int, int]:
        """All, those of routed experts, and those of the largest matrix."""
        total = experts = largest = 0
        for matrix in block.matrices:
            chosen = value_type if matrix.role in ("v", "qkv") else down_type if "down" in matrix.role else ""
            size = self.matrix_bytes(matrix, chosen)
            total += size
            largest = max(largest, size)
            if matrix.role.startswith("expert"):
                experts += size
        return total, experts, largest

    def matrix_bytes(self, matrix: Matrix, chosen: str = "") -> int:
        role = matrix.role
        if role in ("vector", "kept"):
            return 4 * matrix.elements if self._base else 2 * matrix.elements
        if role == "half":
            return 2 * matrix.elements
        is_expert = role.startswith("expert")
        if is_expert and self._shape.experts_stay_mxfp4 and self._name not in ("F32", "F16", "BF16"):
            return _size("MXFP4", matrix)
        if not self._base:
            bits = 16.0 if role in ("embedding", "output") else _BITS[self._name]
            return round(matrix.elements * bits / 8)
        if self._base in ("F32", "F16", "BF16"):
            return _size(self._base, matrix)
        if self._name == "MXFP4":
            return _size("MXFP4" if is_expert else "Q8_0", matrix)
        return _size(chosen or self._type(role, matrix.columns), matrix)

    def value_type(self, at: int, of: int) -> str:
        """Of attn_v and attn_qkv in the at-th of so many layers that have one."""
        name, chosen = self._name, self._base
        if name in _TINY_IQ:
            some = "IQ3_S" if name in ("IQ2_S", "IQ2_M") else "Q2_K"
            return "Q4_K" if self._wide or self._shape.experts >= 4 else some
        if name == "Q2_K":
            chosen = "Q4_K" if self._wide else "Q3_K"
        elif name in ("IQ3_XXS", "IQ3_XS", "IQ3_S"):
            chosen = "Q4_K" if self._wide else chosen
        elif name == "IQ3_M":
            chosen = "Q4_K"
        elif name == "Q3_K_M":
            chosen = "Q5_K" if at < 2 else "Q4_K"
        elif name == "Q3_K_L":
            chosen = "Q5_K"
        elif name in ("IQ4_NL", "IQ4_XS"):
            chosen = "Q5_K" if self._wide else chosen
        elif name in ("Q4_K_M", "Q5_K_M") and _more_bits(at, of):
            chosen = "Q6_K"
        elif name == "Q4_K_S" and at < 4:
            chosen = "Q5_K"
        if len(self._shape.blocks) == 80 and self._wide and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"  # llama.cpp's LLM_TYPE_70B
        return "Q8_0" if self._eight and self._base not in ("F32", "F16", "BF16", "") else chosen

    def down_type(self, at: int, of: int) -> str:
        """Of ffn_down in the at-th of so many layers."""
        name, early = self._name, at < of // _MOST_LAYERS_SHARE
        if name in _TINY_IQ:
            return ("IQ3_S" if name in ("IQ2_S", "IQ2_M") else "Q2_K") if early else self._base
        if name == "Q2_K":
            return "Q3_K"
        if name == "Q3_K_M":
            more = not self._falcon or _more_bits(at, of)
            return "Q5_K" if at < of // 16 else "Q4_K" if more else "Q3_K"
        if name == "Q3_K_L":
            return "Q4_K" if self._falcon else "Q5_K"
        if name == "IQ3_M" and (early or (self._eight and _more_bits(at, of))):
            return "Q4_K"
        if name == "Q4_K_M" and self._falcon:
            return "Q6_K" if at < of // 16 else "Q5_K" if _more_bits(at, of) else "Q4_K"
        if name in ("Q4_K_M", "Q5_K_M") and _more_bits(at, of):
            return "Q6_K"
        if name == "Q4_K_S" and early and not self._falcon:
            return "Q5_K"
        return self._base

    def _type(self, role: str, columns: int) -> str:
        name, base = self._name, self._base
        if role == "output" or (role == "embedding" and self._shape.tied):
            if self._falcon or columns % _LAYOUTS[base].block_elements:
                return "Q8_0"
            return "Q5_K" if name in (*_TINY_IQ, "IQ3_XXS") else "Q8_0" if base == "Q8_0" else "Q6_K"
        if role == "embedding":
            small = "Q2_K" if name in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M") else base
            return "IQ3_S" if name in ("IQ2_S", "IQ2_M", "IQ3_XXS") else small
        if role == "k" and self._eight:
            return "Q4_K" if name in _TINY_IQ else "Q8_0"
        if role in ("q", "k") and name in ("IQ3_XS", "IQ3_XXS"):
            return "IQ3_XXS" if name == "IQ3_XS" else "IQ2_S"
        if role == "attention_output":
            return self._output_projection()
        return base

    def _output_projection(self) -> str:
        name, base = self._name, self._base
        if name in _TINY_IQ:
            if self._eight:
                return "Q5_K"
            return "IQ2_XXS" if name in ("IQ1_S", "IQ1_M") else "IQ3_S" if name in ("IQ2_S", "IQ2_M") else base
        if self._falcon:
            return "Q4_K" if name == "Q3_K_L" else base
        if self._eight:
            kept = ("Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "Q3_K_L")
            return base if name in kept else "Q5_K"
        raised = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
        return raised.get(name, base)


def _more_bits(at: int, of: int) -> bool:
    return at < of // 8 or at >= 7 * of // 8 or (at - of // 8) % 3 == 2


def _size(type_name: str, matrix: Matrix) -> int:
    layout = _LAYOUTS[type_name]
    if matrix.columns % layout.block_elements:
        layout = _LAYOUTS[_FALLBACK.get(type_name, "F16")]
        if matrix.columns % layout.block_elements:
            layout = _LAYOUTS["F16"]
    return matrix.elements // layout.block_elements * layout.block_bytes
