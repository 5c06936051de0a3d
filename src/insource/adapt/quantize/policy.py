"""Which type every tensor gets in a file of a given type. Pure.

These are llama.cpp's choices (`llama_tensor_get_type` in src/llama-quant.cpp), so that a file made here is the file
that everybody means by its name. Tensors are walked in llama.cpp's order, by layer and then by name, because some
rules count what came before. tests/golden/quantize holds what llama.cpp itself chose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from insource.adapt.files.gguf import GgufFile, Tensor
from insource.core.errors import BadInput
from insource.core.ggml_types import type_layout, type_number


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType:
    """A name that people know, llama.cpp's number for it, and the type of a tensor that no rule speaks of."""

    name: str
    number: int
    default: str


FILE_TYPES: Mapping[str, FileType] = {
    name: FileType(name=name, number=number, default=default)
    for name, number, default in (
        ("F16", 1, "F16"),
        ("BF16", 32, "BF16"),
        ("Q8_0", 7, "Q8_0"),
        ("Q6_K", 18, "Q6_K"),
        ("Q5_K_M", 17, "Q5_K"),
        ("Q5_K_S", 16, "Q5_K"),
        ("Q5_1", 9, "Q5_1"),
        ("Q5_0", 8, "Q5_0"),
        ("Q4_K_M", 15, "Q4_K"),
        ("Q4_K_S", 14, "Q4_K"),
        ("IQ4_NL", 25, "IQ4_NL"),
        ("IQ4_XS", 30, "IQ4_XS"),
        ("Q4_1", 3, "Q4_1"),
        ("Q4_0", 2, "Q4_0"),
        ("Q3_K_L", 13, "Q3_K"),
        ("Q3_K_M", 12, "Q3_K"),
        ("Q3_K_S", 11, "Q3_K"),
        ("IQ3_M", 27, "IQ3_S"),
        ("IQ3_S", 26, "IQ3_S"),
        ("IQ3_XS", 22, "IQ3_S"),
        ("IQ3_XXS", 23, "IQ3_XXS"),
        ("Q2_K", 10, "Q2_K"),
        ("Q2_K_S", 21, "Q2_K"),
    )
}
"""From the largest to the smallest. Below Q2_K nothing of the size that this product is for still answers."""

_KEPT = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight",
    "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd",
    ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
)  # fmt: skip
"""Parts of names of what llama.cpp leaves as it is: small, or too sensitive."""
_KEPT_NAMES = ("position_embd.weight", "token_types.weight")
_OTHER_RULES = ("glm5-next",)
"""Architectures for which llama.cpp has rules that are not written here."""
_FALLBACK: Mapping[str, str] = {
    "IQ2_S": "IQ4_NL", "IQ3_XXS": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ4_XS": "IQ4_NL",
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""For rows that are no multiple of 256: the type with blocks of 32 that loses least more."""
_LAYER = re.compile(r"blk\.(\d+)\.")
_CATEGORIES: tuple[tuple[str, str], ...] = (
    ("attn_qkv.weight", "v"), ("attn_kv_b.weight", "v"), ("attn_v.weight", "v"), ("attn_k.weight", "k"),
    ("attn_q.weight", "q"), ("attn_output.weight", "attention output"), ("ffn_up", "up"), ("ffn_gate", "gate"),
    ("ffn_down", "down"),
)  # fmt: skip
_IMPORTANCE_NEEDED = frozenset({"IQ3_XXS", "IQ2_S"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the rules ask of a model."""

    architecture: str
    layers: int
    experts: int
    heads_per_kv_head: int
    is_70b: bool
    """Eighty layers with fewer key heads than heads: its small attn_v tensors get more bits."""
    has_importance: bool

    @property
    def is_falcon(self) -> bool:
        return self.architecture == "falcon"


def model_facts(file: GgufFile, *, has_importance: bool) -> ModelFacts:
    """Raises BadInput for an architecture that llama.cpp treats by rules of its own."""
    if file.architecture in _OTHER_RULES:
        raise BadInput(
            f"Models of the architecture {file.architecture!r} are quantised by rules that insource does not have.",
            next_step="Use llama.cpp's own llama-quantize for this model.",
        )
    layers = int(file.fact("block_count", 0))
    heads = _first(file.fact("attention.head_count")) or 0
    told = _first(file.fact("attention.head_count_kv"))
    kv_heads = heads if told is None else told
    by_layers = file.architecture in ("llama", "qwen2", "deci", "olmo")
    return ModelFacts(
        architecture=file.architecture,
        layers=layers,
        experts=int(file.fact("expert_count", 0)),
        heads_per_kv_head=heads // kv_heads if kv_heads else 0,
        is_70b=by_layers and layers == 80 and (file.architecture != "llama" or heads != kv_heads),
        has_importance=has_importance,
    )


def _first(value: int | list[int] | None) -> int | None:
    """Where it differs by layer, the first layer's."""
    return value[0] if isinstance(value, list) else value


def in_order(tensors: Iterable[Tensor]) -> list[Tensor]:
    """As llama.cpp writes them: those of no layer first, then by layer, each by name."""
    return sorted(tensors, key=lambda tensor: (_layer(tensor.name), tensor.name))


def needs_importance(name: str, type_name: str, file_type: str) -> bool:
    """Without an importance matrix this tensor would be noise."""
    if name in ("token_embd.weight", "per_layer_token_embd.weight", "output.weight"):
        return False
    return type_name in _IMPORTANCE_NEEDED or (type_name == "Q2_K" and file_type == "Q2_K_S")


def tensor_types(file_type: FileType, facts: ModelFacts, tensors: Sequence[Tensor]) -> dict[str, str]:
    """Name -> type of every tensor."""
    ordered = in_order(tensors)
    tied = not any(tensor.name == "output.weight" for tensor in ordered)
    rules = _Rules(file_type.name, file_type.default, facts, sum(_category(t.name) == "v" for t in ordered))
    chosen: dict[str, str] = {}
    for tensor in ordered:
        if not _is_quantized(tensor):
            chosen[tensor.name] = tensor.type_name
        elif file_type.default in ("F16", "BF16"):
            chosen[tensor.name] = file_type.default
        else:
            chosen[tensor.name] = fitting(rules.wanted(tensor, tied=tied), tensor.row_elements)
    return chosen


def fitting(type_name: str, row_elements: int) -> str:
    """The type itself, or what rows of this length allow."""
    if _divides(type_name, row_elements):
        return type_name
    fallback = _FALLBACK.get(type_name, type_name)
    return fallback if _divides(fallback, row_elements) else "F16"


def _divides(type_name: str, row_elements: int) -> bool:
    return row_elements % type_layout(type_number(type_name)).block_elements == 0


def _is_quantized(tensor: Tensor) -> bool:
    dimensions = max((at + 1 for at, length in enumerate(tensor.shape) if length > 1), default=1)
    return (
        dimensions >= 2
        and tensor.name.endswith("weight")
        and tensor.name not in _KEPT_NAMES
        and not any(part in tensor.name for part in _KEPT)
    )


def _layer(name: str) -> int:
    found = _LAYER.match(name)
    return int(found[1]) if found else -1


def _category(name: str) -> str:
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    return next((category for part, category in _CATEGORIES if part in name), "other")


def _gets_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth, and every third between them."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


class _Rules:
    """The rules for one file, with the counts that some of them keep."""

    def __init__(self, file_type: str, default: str, facts: ModelFacts, v_tensors: int) -> None:
        self._type = file_type
        self._default = default
        self._facts = facts
        self._v_tensors = v_tensors
        self._seen: Counter[str] = Counter()

    def wanted(self, tensor: Tensor, *, tied: bool) -> str:
        category = _category(tensor.name)
        if category == "output" or (tied and category == "embedding"):
            return self._output(tensor)
        if category == "embedding":
            return "IQ3_S" if self._type == "IQ3_XXS" else self._default
        at = self._seen[category]
        self._seen[category] += 1
        if category == "v":
            return self._attention_v(at)
        layer = _layer(tensor.name) if self._facts.experts > 1 else at
        by_category = {
            "k": self._attention_k, "q": self._attention_q, "attention output": self._attention_output,
            "up": self._up_or_gate, "gate": self._up_or_gate, "down": self._down,
        }  # fmt: skip
        return by_category[category](layer) if category in by_category else self._default

    def _output(self, tensor: Tensor) -> str:
        if self._facts.is_falcon or not _divides(self._default, tensor.row_elements):
            return "Q8_0"
        if self._type == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if self._default == "Q8_0" else "Q6_K"

    def _attention_v(self, at: int) -> str:
        wide, facts = self._facts.heads_per_kv_head >= 4, self._facts
        rules: Mapping[str, str | None] = {
            "Q2_K": "Q4_K" if wide else "Q3_K",
            "Q2_K_S": "Q4_K" if wide else None,
            "IQ3_XXS": "Q4_K" if wide else "IQ3_XXS" if facts.has_importance else "IQ3_S",
            "IQ3_XS": "Q4_K" if wide else None,
            "IQ3_S": "Q4_K" if wide else None,
            "IQ3_M": "Q4_K",
            "Q3_K_M": "Q5_K" if at < 2 else "Q4_K",
            "Q3_K_L": "Q5_K",
            "IQ4_NL": "Q5_K" if wide else None,
            "IQ4_XS": "Q5_K" if wide else None,
            "Q4_K_M": "Q6_K" if _gets_more_bits(at, self._v_tensors) else None,
            "Q5_K_M": "Q6_K" if _gets_more_bits(at, self._v_tensors) else None,
            "Q4_K_S": "Q5_K" if at < 4 else None,
        }
        wanted = rules.get(self._type) or self._default
        if facts.is_70b and wanted in ("Q3_K", "Q4_K"):
            wanted = "Q5_K"
        return "Q8_0" if facts.experts == 8 else wanted

    def _attention_k(self, layer: int) -> str:
        return "Q8_0" if self._facts.experts == 8 else self._attention_q(layer)

    def _attention_q(self, layer: int) -> str:
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self._type, self._default)

    def _attention_output(self, layer: int) -> str:
        if self._facts.is_falcon:
            return "Q4_K" if self._type == "Q3_K_L" else self._default
        if self._facts.experts == 8:
            untouched = ("Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "Q3_K_L", "Q2_K_S")
            return self._default if self._type in untouched else "Q5_K"
        rules = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
        return rules.get(self._type, self._default)

    def _up_or_gate(self, layer: int) -> str:
        layers = self._facts.layers
        inner = layers // 8 <= layer < 7 * layers // 8
        return "IQ3_XXS" if self._type == "IQ3_XS" and inner else self._default

    def _down(self, layer: int) -> str:
        facts, layers = self._facts, self._facts.layers
        first, second, more = layer < layers // 8, layer < layers // 16, _gets_more_bits(layer, layers)
        plain, bare = not facts.is_falcon, not facts.has_importance
        falcon_q4 = "Q6_K" if second else "Q5_K" if more else None
        rules: Mapping[str, str | None] = {
            "Q2_K": "Q3_K",
            "Q2_K_S": "Q4_K" if first else None,
            "IQ3_XXS": ("Q4_K" if first else "Q3_K") if bare else None,
            "Q3_K_M": "Q5_K" if second else "Q4_K" if plain or more else "Q3_K",
            "IQ3_M": "Q4_K" if first or (facts.experts == 8 and more) else None,
            "Q3_K_L": "Q5_K" if plain else "Q4_K",
            "Q4_K_M": ("Q6_K" if more else None) if plain else falcon_q4,
            "IQ4_NL": "Q5_K" if first and bare else None,
            "IQ4_XS": "Q5_K" if first and bare else None,
            "Q5_K_M": "Q6_K" if more else None,
            "Q4_K_S": "Q5_K" if plain and first else None,
            "Q4_0": "Q4_1" if first and not bare else None,
            "Q5_0": "Q5_1" if first and not bare else None,
        }
        return rules.get(self._type) or self._default
