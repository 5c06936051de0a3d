"""The repeating layers of a model, from the facts of its configuration: cache rows, states and matrices. Pure.

Matrices are llama.cpp's tensors (`load_arch_tensors` in src/models/*.cpp), cache rows its `n_embd_k_gqa` and
`n_embd_v_gqa` (src/llama-hparams.cpp). Equal layers share one Block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from insource.core.architecture import Layer, LayerKind, Mixer
from insource.fit.config_facts import Facts
from insource.fit.mixers import add_mixer
from insource.fit.model_types import ModelType
from insource.fit.shape import Block, Matrix


class MissingFact(Exception):
    """Says which fact the configuration lacks."""


def required(value: int | None, what: str) -> int:
    if not value:
        raise MissingFact(what)
    return value


def made_divisible(value: float, step: int) -> int:
    """The nearest multiple, but never less than nine tenths of the value (`make_divisible` of OpenELM's class)."""
    nearest = max(step, int(value + step / 2) // step * step)
    return nearest + step if nearest < 0.9 * value else nearest


@dataclass(frozen=True, slots=True)
class LayerRole:
    kind: LayerKind
    slides: bool = False
    """Also of a layer that shares the cache of one that does."""


class LayerBuilder:
    def __init__(self, facts: Facts, kind: ModelType) -> None:
        self._facts = facts
        self._type = kind
        self.width = required(facts.number("hidden_size", "n_embd", "d_model", "model_dim"), "hidden_size")
        self.count = required(
            facts.number("num_hidden_layers", "n_layer", "num_layers", "num_transformer_layers") or len(facts.pattern),
            "num_hidden_layers",
        )
        self.heads = facts.number("num_attention_heads", "n_head") or 0
        self.kv_heads = (
            facts.number("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_query_groups") or self.heads
        )
        if kind.architecture == "falcon" and facts.flag("new_decoder_architecture") is False:
            self.kv_heads = 1 if facts.flag("multi_query") else self.heads
        if kind.architecture == "starcoder" and facts.flag("multi_query"):
            self.kv_heads = 1
        if kind.attention != "none" and kind.architecture != "openelm":
            required(self.heads, "num_attention_heads")
        self.head_width = facts.number("head_dim", "attention_head_dim") or (
            self.width // self.heads if self.heads else 0
        )
        self.experts = ExpertFacts(facts, kind, self.width)
        self._blocks: dict[tuple[object, ...], Block] = {}

    def blocks(self, kinds: Sequence[LayerRole], width_of: Callable[[int], int]) -> tuple[Block, ...]:
        """One a layer; `width_of` gives the dense feed-forward's width."""
        return tuple(self._block(index, role, width_of(index)) for index, role in enumerate(kinds))

    def _block(self, index: int, role: LayerRole, dense_width: int) -> Block:
        has_experts = self.experts.in_layer(index)
        if self._type.architecture == "openelm":
            self.heads, self.kv_heads = self._openelm_heads(index)
        key = (role.kind, role.slides, has_experts, dense_width, self.heads, self.kv_heads)
        if key not in self._blocks:
            self._blocks[key] = self._new_block(role, has_experts, dense_width)
        return self._blocks[key]

    def _new_block(self, role: LayerRole, has_experts: bool, dense_width: int) -> Block:
        kind = role.kind
        type_ = self._type
        matrices: list[Matrix] = [Matrix("vector", self.width)] * type_.norms
        key = value = query = state = 0
        mixer: Mixer | None = None
        attends = type_.encoder or kind in ("full", "sliding", "shared")
        if attends:
            key, value, query = self._attention(matrices, role)
        if type_.mixer and (kind == "recurrent" or type_.architecture == "falcon-h1"):
            state, mixer = add_mixer(matrices, self._facts, kind=type_.mixer, width=self.width)
        if type_.architecture == "nemotron_h" and kind in ("full", "recurrent"):
            dense_width = 0  # one thing a layer: mixer, attention, feed-forward or experts
        shared_width = self.experts.add(matrices) if has_experts else 0
        keeps_dense = not has_experts or type_.architecture == "gemma4"
        dense_width = (dense_width if keeps_dense else 0) + shared_width
        if dense_width:
            self._feed_forward(matrices, dense_width)
        self._extras(matrices)
        cached = kind in ("full", "sliding")
        layer = Layer(
            kind=kind,
            key_width=key if cached else 0,
            value_width=value if cached else 0,
            state_values=state,
            query_heads=self.heads if attends else 0,
            query_width=query,
            latent_width=(self._facts.number("kv_lora_rank") or 0) if attends and type_.attention == "mla" else 0,
            indexer_width=self._indexer_width() if cached and type_.attention == "mla" else 0,
            feed_forward_width=dense_width,
            expert_width=self.experts.width if has_experts else 0,
            gated=type_.gated and bool(dense_width or has_experts),
            mixer=mixer,
        )
        return Block(layer=layer, matrices=tuple(matrices))

    def _openelm_heads(self, index: int) -> tuple[int, int]:
        """OpenELMConfig: of queries and of keys in one layer, from multipliers evenly spaced over the layers."""
        facts = self._facts
        first, last = (facts.items("qkv_multipliers") or [0.5, 1.0])[:2]
        groups = facts.number("num_gqa_groups") or 1
        spaced = round(first + (last - first) * index / max(1, self.count - 1), 2)
        queries = made_divisible(spaced * self.width, groups * self.head_width) // self.head_width
        return queries, queries // groups

    # ------------------------------------------------------------------------------------------------- attention

    def _attention(self, matrices: list[Matrix], role: LayerRole) -> tuple[int, int, int]:
        """Adds the projections; returns the widths of a token's K and V rows and of all its queries."""
        if self._type.attention == "mla":
            return self._latent_attention(matrices)
        facts, width = self._facts, self.width
        head, kv_heads = self.head_width, self.kv_heads
        whole = self._type.architecture == "gemma4" and not role.slides
        if whole:
            head = facts.number("global_head_dim") or head
            kv_heads = facts.number("num_global_key_value_heads") or kv_heads
        value_head = facts.number("v_head_dim") or head
        query, key, value = self.heads * head, kv_heads * head, kv_heads * value_head
        gate = 2 if self._type.mixer == "delta" else 1  # Qwen's output gate comes with the queries
        same = whole and facts.flag("attention_k_eq_v") is True
        if self._type.attention == "fused":
            matrices.append(Matrix("qkv", width, query + key + value))
        else:
            matrices.append(Matrix("q", width, query * gate))
            if role.kind != "shared" or self._type.architecture == "gemma3n":  # Gemma 3n stores what it does not use
                matrices.append(Matrix("k", width, key))
                if not same:
                    matrices.append(Matrix("v", width, value))
        matrices.append(Matrix("attention_output", self.heads * value_head, width))
        if self._type.output_gate:
            matrices.append(Matrix("other", width, query))
        if self._type.qk_norm == "full":
            matrices += [Matrix("vector", query), Matrix("vector", key)]
        elif self._type.qk_norm == "head":
            matrices.append(Matrix("vector", 2 * head))
        if self._type.bias:
            matrices.append(Matrix("vector", query + key + value + (width if self._type.bias == "all" else 0)))
        return key, value, query

    def _indexer_width(self) -> int:
        return (self._facts.number("index_head_dim") or 0) if self._facts.number("q_lora_rank") else 0

    def _latent_attention(self, matrices: list[Matrix]) -> tuple[int, int, int]:
        facts, width, heads = self._facts, self.width, self.heads
        rank = required(facts.number("kv_lora_rank"), "kv_lora_rank")
        rope = required(facts.number("qk_rope_head_dim"), "qk_rope_head_dim")
        plain = required(facts.number("qk_nope_head_dim"), "qk_nope_head_dim")
        value = required(facts.number("v_head_dim"), "v_head_dim")
        query_rank = facts.number("q_lora_rank")
        if query_rank:
            matrices += [Matrix("other", width, query_rank), Matrix("other", query_rank, heads * (plain + rope))]
        else:
            matrices.append(Matrix("q", width, heads * (plain + rope)))
        matrices += [
            Matrix("other", width, rank + rope),
            Matrix("other", plain, rank * heads),
            Matrix("other", rank, value * heads),
            Matrix("attention_output", heads * value, width),
            Matrix("vector", rank + (query_rank or 0)),
        ]
        indexer, indexer_heads = facts.number("index_head_dim") or 0, facts.number("index_n_heads") or 0
        if indexer and query_rank:
            matrices += [
                Matrix("other", query_rank, indexer * indexer_heads),
                Matrix("other", width, indexer + indexer_heads),
            ]
        return rank + rope, 0, heads * (plain + rope)

    # ---------------------------------------------------------------------------------------------- feed-forward

    def _feed_forward(self, matrices: list[Matrix], dense_width: int) -> None:
        width = self.width
        if self._type.architecture == "rwkv7" or self._type.architecture == "rwkv6":
            matrices += [Matrix("other", width, dense_width), Matrix("other", dense_width, width)]
            if self._type.architecture == "rwkv6":
                matrices.append(Matrix("other", width, width))
            return
        if self._type.gated:
            matrices.append(Matrix("gate", width, dense_width))
        matrices += [Matrix("up", width, dense_width), Matrix("down", dense_width, width)]
        if self._type.bias == "all" and not self._type.gated:
            matrices.append(Matrix("vector", dense_width + width))

    def _extras(self, matrices: list[Matrix]) -> None:
        """Gemma 3n's and 4's inputs per layer; Gemma 3n's AltUp and LAuReL."""
        per_layer = self._facts.number("hidden_size_per_layer_input") or 0
        if self._type.architecture not in ("gemma3n", "gemma4") or not per_layer:
            return
        width = self.width
        matrices += [Matrix("other", width, per_layer), Matrix("other", per_layer, width), Matrix("vector", width)]
        if self._type.architecture == "gemma3n":
            inputs = self._facts.number("altup_num_inputs") or 4
            rank = self._facts.number("laurel_rank") or 64
            matrices += [
                Matrix("half", width, rank), Matrix("half", rank, width), Matrix("vector", 3 * width),
                Matrix("kept", inputs, inputs + inputs * inputs), Matrix("kept", width, inputs),
            ]  # fmt: skip


class ExpertFacts:
    """The mixture of experts, under the many names that its facts go by."""

    def __init__(self, facts: Facts, kind: ModelType, width: int) -> None:
        self._facts = facts
        self._type = kind
        self._width = width
        self.count = (
            facts.number("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "ffn_num_experts")
            or 0
        )
        if kind.architecture == "gemma4" and facts.flag("enable_moe_block") is False:
            self.count = 0
        if self.count < 2:
            self.count = 0
        names = (
            "num_experts_per_tok",
            "num_experts_per_token",
            "experts_per_token",
            "top_k_experts",
            "moe_k",
            "moe_topk",
        )
        topk = facts.items("moe_topk")
        first = topk[0] if topk and isinstance(topk[0], int) else None
        self.used = min(first or facts.number(*names) or 1, self.count) if self.count else 0
        per_layer = facts.items("moe_intermediate_size")
        listed = per_layer[0] if per_layer and isinstance(per_layer[0], int) else None
        self.width = listed or facts.number("moe_intermediate_size", "intermediate_size") or 0
        self._find_layers()

    def in_layer(self, index: int) -> bool:
        if not self.count or index < self._start or index in self._without:
            return False
        if self._pattern:
            return self._pattern[index : index + 1] == "E"
        if self._listed:
            return index < len(self._listed) and self._listed[index] == 1
        return (index - self._offset) % self._step == 0

    def _find_layers(self) -> None:
        """Which layers have experts, said in as many ways as there are families."""
        facts = self._facts
        self._pattern = facts.pattern
        self._without = frozenset(i for i in facts.items("mlp_only_layers") or () if isinstance(i, int))
        self._listed = facts.items("moe_layer_freq") or ()
        self._start = facts.number("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers") or 0
        self._step, self._offset = facts.number("expert_layer_period") or 1, facts.number("expert_layer_offset") or 0
        if self._type.architecture in ("qwen2moe", "qwen3moe", "llama4"):
            self._step = facts.number("decoder_sparse_step", "interleave_moe_layer_step") or 1
            self._offset = self._step - 1

    def add(self, matrices: list[Matrix]) -> int:
        """Adds router and experts; returns the width of the experts that every token takes."""
        facts, width, count = self._facts, self._width, self.count
        inner = facts.number("moe_latent_size") if self._type.architecture == "nemotron_h" else None
        if inner:
            matrices += [Matrix("other", width, inner), Matrix("other", inner, width)]
        model_width = inner or width
        matrices.append(Matrix("kept", width, count))
        if self._type.gated:
            matrices.append(Matrix("expert_gate", model_width, self.width * count))
        matrices += [
            Matrix("expert_up", model_width, self.width * count),
            Matrix("expert_down", self.width, model_width * count),
        ]
        if self._type.bias == "all":
            matrices.append(Matrix("vector", (2 * self.width + width) * count))
        if self._type.architecture == "llama4":
            return self.width
        stated = facts.number(
            "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size"
        )
        if stated is not None:
            return stated
        shared = (
            facts.of_layer("num_shared_expert", 0)
            or facts.number("n_shared_experts", "moe_num_shared_experts", "num_shared_experts")
            or 0
        )
        return shared * self.width
