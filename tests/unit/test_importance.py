"""Importance matrices: llama.cpp's own file, read by another reader too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import libgguf.imatrix
import numpy as np
import pytest

from insource.adapt.files.gguf import Tensor, text, write_gguf
from insource.adapt.lora.to_gguf import gguf_name
from insource.adapt.quantize.importance import read_importance, write_importance
from insource.core.errors import BadInput


def test_another_reader_of_the_format_reads_the_same(tmp_path: Path) -> None:
    path, rng = tmp_path / "task.imatrix.gguf", np.random.default_rng(0)
    sums = {f"blk.{at}.attn_q.weight": rng.random(32, dtype=np.float32) * 100 for at in range(3)}
    write_importance(path, sums, tokens=40)
    theirs: Any = libgguf.imatrix.load_imatrix(path)
    ours = read_importance(path)
    assert ours.keys() == theirs.keys() == sums.keys()
    for name, values in sums.items():
        assert np.allclose(ours[name], values / 40)
        assert np.allclose(theirs[name], ours[name])


def test_experts_have_counts_of_their_own_and_one_that_was_never_chosen_counts_evenly(tmp_path: Path) -> None:
    path, name = tmp_path / "task.gguf", "blk.0.ffn_up_exps.weight"
    sums, counts = np.arange(8, dtype="<f4"), np.array([2, 0], dtype="<f4")
    data = [
        (Tensor(name=f"{name}.in_sum2", shape=(4, 2), type_name="F32"), sums.view(np.uint8)),
        (Tensor(name=f"{name}.counts", shape=(1, 2), type_name="F32"), counts.view(np.uint8)),
    ]
    write_gguf(path, {"general.type": text("imatrix")}, data)
    assert read_importance(path)[name].tolist() == [0, 0.5, 1, 1.5, 1, 1, 1, 1]


def test_a_file_without_one_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", {"general.type": text("model")}, [])
    with pytest.raises(BadInput, match="not an importance matrix"):
        read_importance(tmp_path / "x.gguf")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("model.layers.3.self_attn.q_proj", "blk.3.attn_q.weight"),
        ("base_model.model.model.layers.0.mlp.down_proj", "blk.0.ffn_down.weight"),
        ("model.language_model.layers.11.self_attn.o_proj", "blk.11.attn_output.weight"),
        ("model.vision_tower.layers.0.self_attn.q_proj", None),
        ("lm_head", None),
        ("model.layers.0.mlp.router", None),
    ],
)
def test_a_layer_has_ggufs_name_or_none(module: str, name: str | None) -> None:
    assert gguf_name(module) == name
