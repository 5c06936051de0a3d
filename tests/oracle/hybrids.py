"""Tensor lists of families with recurrent states, per-layer embeddings or shared caches (src/models/*.cpp, b11434)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.oracle.facts import Case
from tests.oracle.headers import Tensor, tensor
from tests.oracle.transformer import attention, ends, experts, feed_forward, gemma2, norms


def mamba2(case: Case, i: int) -> Iterator[Tensor]:
    inner, state = case.facts["inner"], case.facts["state"]
    groups, heads = case.facts["groups"], case.facts["ssm_heads"]
    mixed = inner + 2 * groups * state
    yield tensor(f"blk.{i}.ssm_in.weight", case.hidden, inner + mixed + heads)
    yield tensor(f"blk.{i}.ssm_conv1d.weight", case.facts["conv"], mixed)
    yield tensor(f"blk.{i}.ssm_conv1d.bias", mixed)
    yield tensor(f"blk.{i}.ssm_dt.bias", heads)
    yield tensor(f"blk.{i}.ssm_a", 1, heads)
    yield tensor(f"blk.{i}.ssm_d", 1, heads)
    yield tensor(f"blk.{i}.ssm_norm.weight", inner // groups, groups)
    yield tensor(f"blk.{i}.ssm_out.weight", inner, case.hidden)


def mamba2_model(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm"), *mamba2(case, i)]
    return found


def granite_hybrid(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    assert case.attention_layers is not None
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "ffn_norm")
        found += attention(case, i) if i in case.attention_layers else mamba2(case, i)
        found += experts(case, i)
    return found


def nemotron_h(case: Case) -> Sequence[Tensor]:
    """Each layer does one thing; `-` in the model's pattern is a feed-forward layer without a gate."""
    found = [*ends(case)]
    assert case.attention_layers is not None
    widths = case.keys["feed_forward_length"]
    assert isinstance(widths, list)
    for i, width in enumerate(widths):
        found += norms(case, i, "attn_norm")
        if i in case.attention_layers:
            found += attention(case, i)
        elif width:
            found.append(tensor(f"blk.{i}.ffn_up.weight", case.hidden, int(width)))
            found.append(tensor(f"blk.{i}.ffn_down.weight", int(width), case.hidden))
        else:
            found += mamba2(case, i)
    return found


def falcon_h1(case: Case) -> Sequence[Tensor]:
    """Attention and Mamba side by side in every layer; without a norm inside Mamba."""
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm"), tensor(f"blk.{i}.ffn_norm", case.hidden)]
        found += [item for item in mamba2(case, i) if "ssm_norm" not in item.name]
        found += [*attention(case, i), *feed_forward(case, i)]
    return found


def mamba1(case: Case, i: int) -> Iterator[Tensor]:
    inner, state, rank = case.facts["inner"], case.facts["state"], case.facts["ssm_heads"]
    yield tensor(f"blk.{i}.ssm_in.weight", case.hidden, 2 * inner)
    yield tensor(f"blk.{i}.ssm_conv1d.weight", case.facts["conv"], inner)
    yield tensor(f"blk.{i}.ssm_conv1d.bias", inner)
    yield tensor(f"blk.{i}.ssm_x.weight", inner, rank + 2 * state)
    yield tensor(f"blk.{i}.ssm_dt.weight", rank, inner)
    yield tensor(f"blk.{i}.ssm_dt.bias", inner)
    yield tensor(f"blk.{i}.ssm_a", state, inner)
    yield tensor(f"blk.{i}.ssm_d", inner)
    yield tensor(f"blk.{i}.ssm_out.weight", inner, case.hidden)


def mamba1_model(case: Case) -> Sequence[Tensor]:
    found = [*ends(case)]
    for i in range(case.layers):
        found += [*norms(case, i, "attn_norm"), *mamba1(case, i)]
    return found


def jamba(case: Case) -> Sequence[Tensor]:
    """Its Mamba has norms inside; every other layer has experts."""
    found = [*ends(case)]
    assert case.attention_layers is not None
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "ffn_norm")
        if i in case.attention_layers:
            found += attention(case, i)
        else:
            found += mamba1(case, i)
            found += norms(case, i, "ssm_dt_norm", width=case.facts["ssm_heads"])
            found += norms(case, i, "ssm_b_norm", "ssm_c_norm", width=case.facts["state"])
        found += experts(case, i) if i % 2 else feed_forward(case, i)
    return found


def lfm2(case: Case) -> Sequence[Tensor]:
    found = [tensor("token_embd.weight", case.hidden, case.vocabulary, type_name="Q6_K")]
    found.append(tensor("token_embd_norm.weight", case.hidden))
    assert case.attention_layers is not None
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "ffn_norm")
        if i in case.attention_layers:
            found += attention(case, i)
            found += norms(case, i, "attn_q_norm", "attn_k_norm", width=case.head_width)
        else:
            found.append(tensor(f"blk.{i}.shortconv.conv.weight", case.facts["conv"], case.hidden))
            found.append(tensor(f"blk.{i}.shortconv.in_proj.weight", case.hidden, 3 * case.hidden))
            found.append(tensor(f"blk.{i}.shortconv.out_proj.weight", case.hidden, case.hidden))
        found += feed_forward(case, i)
    return found


def delta_net(case: Case) -> Sequence[Tensor]:
    """Qwen3-Next and Qwen3.5: gated delta nets with a gated full attention in between."""
    found = [*ends(case)]
    assert case.attention_layers is not None
    state, key_heads, value_heads = case.facts["state"], case.facts["groups"], case.facts["ssm_heads"]
    key, value = state * key_heads, state * value_heads
    for i in range(case.layers):
        found += norms(case, i, "attn_norm", "post_attention_norm")
        if i in case.attention_layers:
            q, kv = case.heads * case.head_width, case.kv_heads * case.head_width
            found.append(tensor(f"blk.{i}.attn_q.weight", case.hidden, 2 * q))
            found.append(tensor(f"blk.{i}.attn_k.weight", case.hidden, kv))
            found.append(tensor(f"blk.{i}.attn_v.weight", case.hidden, kv))
            found.append(tensor(f"blk.{i}.attn_output.weight", q, case.hidden))
            found += norms(case, i, "attn_q_norm", "attn_k_norm", width=case.head_width)
        else:
            found.append(tensor(f"blk.{i}.attn_qkv.weight", case.hidden, 2 * key + value))
            found.append(tensor(f"blk.{i}.attn_gate.weight", case.hidden, value))
            found.append(tensor(f"blk.{i}.ssm_conv1d.weight", case.facts["conv"], 2 * key + value))
            found += [tensor(f"blk.{i}.ssm_dt.bias", value_heads), tensor(f"blk.{i}.ssm_a", value_heads)]
            for name, heads in (("ba", 2),) if case.experts else (("alpha", 1), ("beta", 1)):
                found.append(tensor(f"blk.{i}.ssm_{name}.weight", case.hidden, heads * value_heads))
            found += norms(case, i, "ssm_norm", width=state)
            found.append(tensor(f"blk.{i}.ssm_out.weight", value, case.hidden))
        if case.experts:
            found += [*experts(case, i), tensor(f"blk.{i}.ffn_gate_inp_shexp.weight", case.hidden)]
        else:
            found += feed_forward(case, i)
    return found


def rwkv7(case: Case) -> Sequence[Tensor]:
    found = [*ends(case), tensor("output_norm.bias", case.hidden)]
    found += [tensor(f"token_embd_norm.{kind}", case.hidden) for kind in ("weight", "bias")]
    width = case.hidden
    for i in range(case.layers):
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            found += [tensor(f"blk.{i}.{name}.{kind}", width) for kind in ("weight", "bias")]
        ranks = {"w": case.facts["decay"], "a": case.facts["iclr"], "g": case.facts["gate"]}
        ranks["v"] = case.facts["value_mix"] if i else case.facts["iclr"]
        for name, rank in ranks.items():
            found.append(tensor(f"blk.{i}.time_mix_{name}1.weight", width, rank))
            found.append(tensor(f"blk.{i}.time_mix_{name}2.weight", rank, width))
            if name != "g":
                found.append(tensor(f"blk.{i}.time_mix_{name}0.weight", width))
        found.append(tensor(f"blk.{i}.time_mix_lerp_fused.weight", width, 1, 1, 6))
        found += norms(case, i, "time_mix_k_k", "time_mix_k_a", "time_mix_r_k")
        for name in ("key", "value", "receptance", "output"):
            found.append(tensor(f"blk.{i}.time_mix_{name}.weight", width, width))
        found.append(tensor(f"blk.{i}.channel_mix_lerp_k.weight", width, 1, 1))
        found.append(tensor(f"blk.{i}.channel_mix_key.weight", width, case.feed_forward))
        found.append(tensor(f"blk.{i}.channel_mix_value.weight", case.feed_forward, width))
    return found


def _per_layer_embedding(case: Case, i: int) -> Iterator[Tensor]:
    width = case.facts["per_layer"]
    yield tensor(f"blk.{i}.inp_gate.weight", case.hidden, width)
    yield tensor(f"blk.{i}.proj.weight", width, case.hidden)
    yield tensor(f"blk.{i}.post_norm.weight", case.hidden)


def _per_layer_inputs(case: Case) -> Iterator[Tensor]:
    width = case.facts["per_layer"] * case.layers
    yield tensor("per_layer_token_embd.weight", width, case.vocabulary)
    yield tensor("per_layer_model_proj.weight", case.hidden, width)
    yield tensor("per_layer_proj_norm.weight", case.facts["per_layer"])


def gemma3n(case: Case) -> Sequence[Tensor]:
    streams, rank = case.facts["streams"], case.facts["laurel"]
    found = [*gemma2(case), *_per_layer_inputs(case)]
    found.append(tensor("altup_proj.weight", case.hidden, case.hidden, streams - 1, type_name="F16"))
    found.append(tensor("altup_unembd_proj.weight", case.hidden, case.hidden, streams - 1, type_name="F16"))
    for i in range(case.layers):
        found += norms(case, i, "attn_q_norm", "attn_k_norm", width=case.head_width)
        found += [*_per_layer_embedding(case, i)]
        found.append(tensor(f"blk.{i}.altup_correct_coef.weight", streams, streams))
        found.append(tensor(f"blk.{i}.altup_predict_coef.weight", streams, streams * streams))
        found.append(tensor(f"blk.{i}.altup_router.weight", case.hidden, streams))
        found += norms(case, i, "altup_correct_scale", "altup_router_norm", "laurel_post_norm")
        found.append(tensor(f"blk.{i}.laurel_l.weight", case.hidden, rank))
        found.append(tensor(f"blk.{i}.laurel_r.weight", rank, case.hidden))
    return found


def gemma4(case: Case) -> Sequence[Tensor]:
    """Full layers have wider heads than sliding ones; the last `shared` layers have no K and V of their own."""
    found = [*ends(case), *_per_layer_inputs(case), tensor("rope_freqs.weight", case.head_width // 2)]
    own = case.layers - case.facts["shared"]
    for i in range(case.layers):
        full = i % case.facts["period"] == case.facts["period"] - 1
        width = case.head_width if full else case.facts["sliding_head_width"]
        found += norms(case, i, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        found.append(tensor(f"blk.{i}.attn_q.weight", case.hidden, case.heads * width))
        found.append(tensor(f"blk.{i}.attn_output.weight", case.heads * width, case.hidden))
        found += norms(case, i, "attn_q_norm", *(("attn_k_norm",) if i < own else ()), width=width)
        for name in ("k", "v") if i < own else ():
            found.append(tensor(f"blk.{i}.attn_{name}.weight", case.hidden, case.kv_heads * width))
        found += [*feed_forward(case, i), *_per_layer_embedding(case, i)]
        found.append(tensor(f"blk.{i}.layer_output_scale.weight", 1))
    return found
