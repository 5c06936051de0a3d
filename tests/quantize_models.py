"""Models without weights, of the shapes on which llama.cpp's choice of tensor types depends; and small ones with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insource.adapt.files.gguf import (
    Bytes,
    Entry,
    GgufFile,
    Tensor,
    f32,
    header_bytes,
    laid_out,
    text,
    u32,
    write_gguf,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    architecture: str = "llama"
    layers: int = 16
    width: int = 256
    inner: int = 512
    heads: int = 4
    kv_heads: int = 1
    experts: int = 0
    tied: bool = False
    vocabulary: int = 64


SHAPES: Mapping[str, Shape] = {
    "llama, 4 heads a key": Shape(),
    "llama, one head a key": Shape(kv_heads=4),
    "llama, 33 layers": Shape(layers=33, kv_heads=2),
    "llama, 80 layers": Shape(layers=80),
    "llama, 8 experts": Shape(experts=8),
    "llama, 16 experts": Shape(experts=16, kv_heads=2),
    "llama, rows of 288": Shape(width=288, inner=512, heads=9, kv_heads=3, tied=True),
    "llama, rows of 72": Shape(layers=4, width=72, inner=72, heads=3, kv_heads=3),
    "qwen2, tied": Shape(architecture="qwen2", layers=24, tied=True, kv_heads=2),
    "qwen2, 80 layers": Shape(architecture="qwen2", layers=80, kv_heads=1),
    "qwen3": Shape(architecture="qwen3", layers=28, kv_heads=2),
    "gemma3": Shape(architecture="gemma3", layers=18, tied=True),
    "falcon": Shape(architecture="falcon", layers=32, kv_heads=4),
}


def tensors(shape: Shape, type_name: str = "F16") -> list[Tensor]:
    width, head = shape.width, shape.width // shape.heads
    kv = head * shape.kv_heads

    def one(name: str, *lengths: int) -> Tensor:
        return Tensor(name=name, shape=lengths, type_name="F32" if len(lengths) == 1 else type_name)

    found = [one("token_embd.weight", width, shape.vocabulary), one("output_norm.weight", width)]
    if not shape.tied:
        found.append(one("output.weight", width, shape.vocabulary))
    for layer in range(shape.layers):
        at = f"blk.{layer}."
        found += [one(f"{at}attn_norm.weight", width), one(f"{at}ffn_norm.weight", width)]
        if shape.architecture == "falcon":
            found += [one(f"{at}attn_qkv.weight", width, width + 2 * kv)]
        else:
            found += [
                one(f"{at}attn_q.weight", width, width),
                one(f"{at}attn_k.weight", width, kv),
                one(f"{at}attn_v.weight", width, kv),
            ]
        found.append(one(f"{at}attn_output.weight", width, width))
        tail, more = ("_exps.weight", (shape.experts,)) if shape.experts else (".weight", ())
        if shape.experts:
            found.append(one(f"{at}ffn_gate_inp.weight", width, shape.experts))
        if shape.architecture != "falcon":
            found.append(one(f"{at}ffn_gate{tail}", width, shape.inner, *more))
        found.append(one(f"{at}ffn_up{tail}", width, shape.inner, *more))
        found.append(one(f"{at}ffn_down{tail}", shape.inner, width, *more))
    return found


def entries(shape: Shape) -> dict[str, Entry]:
    arch = shape.architecture
    facts: dict[str, Entry] = {
        "block_count": u32(shape.layers),
        "context_length": u32(512),
        "embedding_length": u32(shape.width),
        "feed_forward_length": u32(shape.inner),
        "attention.head_count": u32(shape.heads),
        "attention.head_count_kv": u32(shape.kv_heads),
        "attention.layer_norm_rms_epsilon": f32(1e-5),
        "attention.layer_norm_epsilon": f32(1e-5),
        "vocab_size": u32(shape.vocabulary),
    }
    if shape.experts:
        facts |= {"expert_count": u32(shape.experts), "expert_used_count": u32(2)}
    if arch == "gemma3":
        facts |= {"attention.sliding_window": u32(64)}
    return {"general.architecture": text(arch), **{f"{arch}.{name}": entry for name, entry in facts.items()}}


def header_only(path: Path, shape: Shape) -> GgufFile:
    """A file with a hole where the data belongs: enough for whoever only chooses types."""
    placed = laid_out(tensors(shape))
    head = header_bytes(entries(shape), placed)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + placed[-1].offset_bytes + placed[-1].size_bytes + 32)
    return GgufFile(path=path, entries=entries(shape), tensors=placed, data_start_bytes=len(head))


def drawn(tensor: Tensor, seed: int) -> Bytes:
    """Values like weights': normal, with rows of different size."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(tensor.rows, tensor.row_elements)) * np.exp(rng.normal(size=(tensor.rows, 1)) - 3)
    kind = {"F32": "<f4", "F16": "<f2"}[tensor.type_name]
    return values.astype(kind).reshape(-1).view(np.uint8)


def with_weights(path: Path, shape: Shape, type_name: str = "F16") -> None:
    write_gguf(path, entries(shape), [(t, drawn(t, at)) for at, t in enumerate(tensors(shape, type_name))])
