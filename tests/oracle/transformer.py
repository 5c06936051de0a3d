"""Tensor lists of transformer families, as `load_arch_tensors` of src/models/*.cpp (b11434) asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.oracle.facts import Case
from tests.oracle.headers import Tensor, tensor


def ends(case: Case) -> Iterator[Tensor]:
    """Embedding, final norm and, unless tied, the output head."""
    # a tied embedding is the head too, so the quantiser gives it the head's type
    kind = "Q6_K" if case.tied and case.hidden % 256 == 0 else None
    yield tensor("token_embd.weight", case.hidden, case.vocabulary, type_name=kind)
    yield tensor("output_norm.weight", case.hidden)
    if not case.tied:
        yield tensor("output.weight", case.hidden, case.vocabulary)


def attention(case: Case, i: int, *, bias: bool = False, out_bias: bool = False) -> Iterator[Tensor]:
    q, kv = case.heads * case.head_width, case.kv_heads * case.head_width
    for name, width in (("q", q), ("k", kv), ("v", kv)):
        yield tensor(f"blk.{i}.attn_{name}.weight", case.hidden, width)
        if bias:
            yield tensor(f"blk.{i}.attn_{name}.bias", width)
    yield tensor(f"blk.{i}.attn_output.weight", q, case.hidden)
    if out_bias:
        yield tensor(f"blk.{i}.attn_output.bias", case.hidden)


def fused_attention(case: Case, i: int, *, bias: bool = False) -> Iterator[Tensor]:
    q, kv = case.heads * case.head_width, case.kv_heads * case.head_width
    yield tensor(f"blk.{i}.attn_qkv.weight", case.hidden, q + 2 * kv)
    yield tensor(f"blk.{i}.attn_output.weight", q, case.hidden)
    if bias:
        yield tensor(f"blk.{i}.attn_qkv.bias", q + 2 * kv)
        yield tensor(f"blk.{i}.attn_output.bias", case.hidden)


def norms(case: Case, i: int, *names: str, width: int | None = None) -> Iterator[Tensor]:
    for name in names:
        yield tensor(f"blk.{i}.{name}.weight", width or case.hidden)


def feed_forward(case: Case, i: int, *, width: int = 0) -> Iterator[Tensor]:
    width = width or case.feed_forward
    yield tensor(f"blk.{i}.ffn_gate.weight", case.hidden, width)
    yield tensor(f"blk.{i}.ffn_up.weight", case.hidden, width)
    yield tensor(f"blk.{i}.ffn_down.weight", width, case.hidden)


def experts(case: Case, i: int, *, probs: bool = False, type_name: str | None = None) -> Iterator[Tensor]:
    width, count = case.expert_width, case.experts
    yield tensor(f"blk.{i}.ffn_gate_inp.weight", case.hidden, count)
    yield tensor(f"blk.{i}.ffn_gate_exps.weight", case.hidden, width, count, type_name=type_name)
    yield tensor(f"blk.{i}.ffn_up_exps.weight", case.hidden, width, count, type_name=type_name)
    yield tensor(f"blk.{i}.ffn_down_exps.weight", width, case.hidden, count, type_name=type_name)
    if probs:
        yield tensor(f"blk.{i}.exp_probs_b.bias", count)
    if case.shared_expert_width:
        yield tensor(f"blk.{i}.ffn_gate_shexp.weight", case.hidden, case.shared_expert_width)
        yield tensor(f"blk.{i}.ffn_up_shexp.weight", case.hidden, case.shared_expert_width)
        yield tensor(f"blk.{i}.ffn_down_shexp.weight", case.shared_expert_width, case.hidden)


def llama(case: Case) -> Sequence[Tensor]:
    """Llama, Mistral, Mixtral, SmolLM."""
    found = [*ends(case)]
    if "rope_freqs" in case.facts:
        found.append(tensor("rope_freqs.weight", case.head_width // 2))
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "ffn_norm"), *attention(case, i)]
        found += experts(case, i) if case.experts else feed_forward(case, i)
    return found


def qwen2(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "ffn_norm"), *attention(case, i, bias=True), *feed_forward(case, i)]
    return found


def qwen3(case: Case) -> Sequence[Tensor]:
    """Dense and mixture."""
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "ffn_norm"), *attention(case, i)]
        found += norms(case, i, "attn_q_norm", "attn_k_norm", width=case.head_width)
        found += experts(case, i) if case.experts else feed_forward(case, i)
    return found


def llama4(case: Case) -> Sequence[Tensor]:
    found = [*ends(case), tensor("rope_freqs.weight", case.head_width // 2)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "ffn_norm"), *attention(case, i), *experts(case, i)]
    return found


def gemma2(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        found += [*attention(case, i), *feed_forward(case, i)]
    return found


def gemma3(case: Case) -> Sequence[Tensor]:
    found = [*gemma2(case)]
    for i in range(case.layers):
        found += norms(case, i, "attn_q_norm", "attn_k_norm", width=case.head_width)
    return found


def phi3(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "ffn_norm"), *fused_attention(case, i)]
        found.append(tensor(f"blk.{i}.ffn_up.weight", case.hidden, 2 * case.feed_forward))
        found.append(tensor(f"blk.{i}.ffn_down.weight", case.feed_forward, case.hidden))
    return found


def cohere2(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm"), *attention(case, i), *feed_forward(case, i)]
    return found


def olmo2(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += norms(case, i, "post_attention_norm", "post_ffw_norm", "attn_q_norm")
        found += norms(case, i, "attn_k_norm", width=case.kv_heads * case.head_width)
        found += [*attention(case, i), *feed_forward(case, i)]
    return found


def _plain_feed_forward(case: Case, i: int) -> Iterator[Tensor]:
    yield tensor(f"blk.{i}.ffn_up.weight", case.hidden, case.feed_forward)
    yield tensor(f"blk.{i}.ffn_up.bias", case.feed_forward)
    yield tensor(f"blk.{i}.ffn_down.weight", case.feed_forward, case.hidden)
    yield tensor(f"blk.{i}.ffn_down.bias", case.hidden)


def starcoder2(case: Case) -> Sequence[Tensor]:
    found = [*ends(case), tensor("output_norm.bias", case.hidden)]
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "ffn_norm")
        found += [tensor(f"blk.{i}.{name}.bias", case.hidden) for name in ("attn_norm", "ffn_norm")]
        found += [*attention(case, i, bias=True, out_bias=True), *_plain_feed_forward(case, i)]
    return found


def gpt2(case: Case) -> Sequence[Tensor]:
    found = [*ends(case), tensor("output_norm.bias", case.hidden)]
    found.append(tensor("position_embd.weight", case.hidden, case.context, type_name="F32"))
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "ffn_norm")
        found += [tensor(f"blk.{i}.{name}.bias", case.hidden) for name in ("attn_norm", "ffn_norm")]
        found += [*fused_attention(case, i, bias=True), *_plain_feed_forward(case, i)]
    return found


def glm4_moe(case: Case) -> Sequence[Tensor]:
    """The layers after `layers - nextn` predict further tokens and are not loaded."""
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "post_attention_norm"), *attention(case, i, bias=True)]
        found += experts(case, i, probs=True) if i >= case.dense_layers else feed_forward(case, i)
        if i >= case.layers - case.facts["nextn"]:
            found.append(tensor(f"blk.{i}.nextn.eh_proj.weight", 2 * case.hidden, case.hidden))
            found += norms(case, i, "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm")
    return found


def gpt_oss(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm", "post_attention_norm")]
        found += [*attention(case, i, bias=True, out_bias=True), tensor(f"blk.{i}.attn_sinks.weight", case.heads)]
        found += experts(case, i, type_name="MXFP4")
        found.append(tensor(f"blk.{i}.ffn_gate_inp.bias", case.experts))
        for name, width in (("gate", case.expert_width), ("up", case.expert_width), ("down", case.hidden)):
            found.append(tensor(f"blk.{i}.ffn_{name}_exps.bias", width, case.experts))
    return found


def deepseek32(case: Case) -> Sequence[Tensor]:
    """The same with an indexer beside each layer's attention."""
    width, heads = case.facts["indexer"], case.facts["indexer_heads"]
    found = [*deepseek2(case)]
    for i in range(case.layers):
        found += [tensor(f"blk.{i}.indexer.k_norm.{kind}", width) for kind in ("weight", "bias")]
        found.append(tensor(f"blk.{i}.indexer.proj.weight", case.hidden, heads))
        found.append(tensor(f"blk.{i}.indexer.attn_k.weight", case.hidden, width))
        found.append(tensor(f"blk.{i}.indexer.attn_q_b.weight", case.facts["q_rank"], width * heads))
    return found


def deepseek2(case: Case) -> Sequence[Tensor]:
    """MLA: `head_width` is that of a key with its rope part, `value_width` of a value, before compression."""
    found = [*ends(case)]
    rank, rope, value = case.facts["kv_rank"], case.facts["rope"], case.facts["value_width"]
    q_rank, q = case.facts.get("q_rank", 0), case.heads * case.facts["key_width"]
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "ffn_norm")
        found += norms(case, i, "attn_kv_a_norm", width=rank)
        if q_rank:
            found += norms(case, i, "attn_q_a_norm", width=q_rank)
            found.append(tensor(f"blk.{i}.attn_q_a.weight", case.hidden, q_rank))
        found.append(tensor(f"blk.{i}.attn_q{'_b' if q_rank else ''}.weight", q_rank or case.hidden, q))
        found.append(tensor(f"blk.{i}.attn_kv_a_mqa.weight", case.hidden, rank + rope))
        found.append(tensor(f"blk.{i}.attn_k_b.weight", case.facts["key_width"] - rope, rank, case.heads))
        found.append(tensor(f"blk.{i}.attn_v_b.weight", rank, value, case.heads))
        found.append(tensor(f"blk.{i}.attn_output.weight", case.heads * value, case.hidden))
        dense = i < case.dense_layers
        found += feed_forward(case, i) if dense else experts(case, i, probs="probs" in case.facts)
    return found
