"""Adapters written for the engine: the upstream converter's tensors, and a refusal where a part would be left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from insource.adapt.files.gguf import Tensor, read_gguf, text, u32, write_gguf
from insource.adapt.files.safetensors import read_safetensors, write_safetensors
from insource.adapt.lora.merge import merge
from insource.adapt.lora.to_gguf import BaseFacts, facts_of_config, facts_of_gguf, halves_to_pairs, write_adapter
from insource.adapt.quantize.convert import quantize
from insource.core.errors import BadInput, BadModelFile
from tests.adapter_models import MODELS, adapter, config, write_peft
from tests.golden.adapters.write import tensors_of
from tests.quantize_models import Shape, with_weights

GOLDEN: Any = json.loads((Path(__file__).parents[1] / "golden" / "adapters" / "tensors.json").read_text())


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_the_upstream_converters(name: str, tmp_path: Path) -> None:
    folder = write_peft(tmp_path, name)
    write_adapter(folder, tmp_path / "adapter.gguf", facts_of_config(config(name)))
    file = read_gguf(tmp_path / "adapter.gguf")
    assert tensors_of(file.path) == GOLDEN[name]["tensors"]
    assert {key: file.value(key) for key in GOLDEN[name]["facts"]} == GOLDEN[name]["facts"]
    assert file.value("adapter.lora.alpha") == GOLDEN[name]["alpha"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "trained biases"),
        ({"modules_to_save": ["lm_head"]}, "whole trained modules"),
        ({"alpha_pattern": {"q_proj": 4}}, "one"),
        ({"lora_alpha": 0}, "change nothing"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"trainable_token_indices": [1]}, "trained tokens"),
    ],
)
def test_what_the_engine_would_leave_out_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = write_peft(tmp_path, "llama", **changes)
    with pytest.raises(BadInput, match=said):
        write_adapter(folder, tmp_path / "adapter.gguf", facts_of_config(config("llama")))
    assert not (tmp_path / "adapter.gguf").exists()


@pytest.mark.parametrize(
    "name", ["model.embed_tokens.lora_embedding_A", "lm_head.lora_A.weight", "model.layers.0.mlp.router.lora_A.weight"]
)
def test_a_module_that_has_no_name_there_is_refused(name: str, tmp_path: Path) -> None:
    folder = write_peft(tmp_path, "llama")
    parts = {**adapter("llama"), f"base_model.model.{name}": np.zeros((4, 48), np.float32)}
    write_safetensors(folder / "adapter_model.safetensors", parts)
    with pytest.raises(BadInput, match="leave out or refuse"):
        write_adapter(folder, tmp_path / "adapter.gguf", facts_of_config(config("llama")))


def test_a_rank_stabilised_adapter_keeps_its_scale(tmp_path: Path) -> None:
    write_adapter(write_peft(tmp_path, "qwen2", use_rslora=True), tmp_path / "a.gguf", facts_of_config(config("qwen2")))
    alpha = read_gguf(tmp_path / "a.gguf").value("adapter.lora.alpha")
    assert alpha / 4 == pytest.approx(8 / math.sqrt(4))


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    with_weights(tmp_path / "base.gguf", Shape(layers=2, width=96, inner=80, heads=6, kv_heads=2, vocabulary=64))
    with pytest.raises(BadInput, match="80 × 48; the model's are 80 × 96"):
        write_adapter(
            write_peft(tmp_path, "llama"), tmp_path / "a.gguf", facts_of_gguf(read_gguf(tmp_path / "base.gguf"))
        )


@given(heads=st.integers(1, 5), half=st.integers(1, 6), columns=st.integers(1, 3))
def test_reordered_rows_are_the_same_rows(heads: int, half: int, columns: int) -> None:
    rows = np.arange(heads * 2 * half * columns, dtype=np.float32).reshape(-1, columns)
    paired = halves_to_pairs(rows, heads)
    assert sorted(map(tuple, paired.tolist())) == sorted(map(tuple, rows.tolist()))
    # Pair i of a head is (row i of its first half, row i of its second half).
    for head in range(heads):
        for at in range(half):
            place = head * 2 * half
            assert (paired[place + 2 * at] == rows[place + at]).all()
            assert (paired[place + 2 * at + 1] == rows[place + half + at]).all()


@settings(max_examples=30)
@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=8),
        stn.arrays(st.sampled_from(["<f4", "<i8", "<f2"]), stn.array_shapes(max_dims=3, max_side=4)),
        max_size=4,
    ),
    cut=st.integers(1, 40),
)
def test_safetensors_are_read_as_written_and_never_in_part(
    arrays: dict[str, Any], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arrays.pop("__metadata__", None)
    path = tmp_path_factory.mktemp("round") / "x.safetensors"
    write_safetensors(path, arrays)
    found = read_safetensors(path)
    assert found.keys() == arrays.keys()
    assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    if arrays:
        with pytest.raises(BadModelFile):
            read_safetensors(path)


def _merged(tmp_path: Path, type_name: str) -> tuple[Any, Any, Any]:
    shape = Shape(layers=2, width=48, inner=80, heads=6, kv_heads=2, vocabulary=64)
    base, made = tmp_path / "base.gguf", tmp_path / "merged.gguf"
    with_weights(base, shape, type_name)
    write_adapter(write_peft(tmp_path, "llama"), tmp_path / "a.gguf", facts_of_gguf(read_gguf(base)))
    merge(base, tmp_path / "a.gguf", made)
    return read_gguf(base), read_gguf(made), read_gguf(tmp_path / "a.gguf")


@pytest.mark.parametrize(("type_name", "tolerance"), [("F32", 1e-5), ("F16", 1e-3)])
def test_a_merge_adds_the_adapter_and_changes_nothing_else(type_name: str, tolerance: float, tmp_path: Path) -> None:
    base, made, change = _merged(tmp_path, type_name)
    kind = {"F32": "<f4", "F16": "<f2"}[type_name]
    changed = 0
    for old, new in zip(base.tensors, made.tensors, strict=True):
        halves = change.find(f"{old.name}.lora_a"), change.find(f"{old.name}.lora_b")
        if halves[0] is None:
            assert base.data(old).tobytes() == made.data(new).tobytes()
            continue
        a, b = (change.data(half).view("<f4").reshape(half.shape[::-1]) for half in halves)
        before, after = (f.data(t).view(kind).astype(np.float64).reshape(-1, 1) for f, t in ((base, old), (made, new)))
        delta = (8 / 4 * b.astype(np.float64) @ a).reshape(-1, 1)
        assert np.allclose(after, before + delta, rtol=tolerance, atol=tolerance)
        changed += 1
    assert changed == 14


def test_a_merge_into_few_bits_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    with_weights(base, Shape(layers=2, width=64, inner=64, heads=2, kv_heads=2, vocabulary=64))
    quantize(base, tmp_path / "small.gguf", "Q4_0")
    tensor = Tensor(name="blk.0.attn_q.weight.lora_a", shape=(64, 1), type_name="F32")
    other = Tensor(name="blk.0.attn_q.weight.lora_b", shape=(1, 64), type_name="F32")
    ones = np.ones(64, "<f4").view(np.uint8)
    entries = {"general.architecture": text("llama"), "adapter.type": text("lora"), "adapter.lora.alpha": u32(1)}
    write_gguf(tmp_path / "a.gguf", entries, [(tensor, ones), (other, ones)])
    with pytest.raises(BadInput, match="rounded away"):
        merge(tmp_path / "small.gguf", tmp_path / "a.gguf", tmp_path / "merged.gguf")


def test_facts_of_a_model_that_is_not_known_are_refused() -> None:
    with pytest.raises(BadInput, match="rwkv"):
        facts_of_config({"model_type": "rwkv"})
    assert facts_of_config({"model_type": "qwen2", "num_attention_heads": 4}) == BaseFacts(
        architecture="qwen2", heads=4, kv_heads=4
    )
