"""An adapter added to its model's weights, in 16 bit. Rounding to fewer bits is a step of its own, with its own
figures: merged into four bits, a small change mostly vanishes between two steps of the rounding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from insource.adapt.files.gguf import Bytes, Floats, GgufFile, Tensor, read_gguf, write_gguf
from insource.adapt.quantize.convert import as_floats
from insource.core.errors import BadInput

_WIDE = ("F32", "F16", "BF16")


def merge(base: Path, adapter: Path, target: Path, *, scale: float = 1.0) -> None:
    """`base` is a 16- or 32-bit GGUF (`quantize.convert.widen` makes one), `adapter` a GGUF adapter of it."""
    model, change = read_gguf(base), read_gguf(adapter)
    changed = _changes(change)
    by_name = {tensor.name: tensor for tensor in model.tensors}
    if change.architecture != model.architecture or not changed.keys() <= by_name.keys():
        raise BadInput(
            f"The adapter {str(adapter)!r} does not belong to {str(base)!r}.",
            next_step="Name the model that it was trained on.",
        )
    narrow = sorted({by_name[name].type_name for name in changed} - {*_WIDE})
    if narrow:
        raise BadInput(
            f"{str(base)!r} holds weights in {', '.join(narrow)}; merged into those, the adapter would mostly be "
            f"rounded away.",
            next_step="Widen the model to F16 first, merge, and quantise the result.",
        )
    alpha = float(change.value("adapter.lora.alpha", 0.0))
    data: list[tuple[Tensor, Bytes]] = []
    for tensor in model.tensors:
        halves = changed.get(tensor.name)
        if halves is None:
            data.append((tensor, model.data(tensor)))
        else:
            a, b = (_floats(change, half) for half in halves)
            delta = (scale * alpha / a.shape[0]) * (b.astype(np.float64) @ a.astype(np.float64))
            data.append((tensor, _sum(model, tensor, delta.astype(np.float32))))
    write_gguf(target, model.entries, data)


def _changes(adapter: GgufFile) -> dict[str, tuple[Tensor, Tensor]]:
    """Module -> (lora_a, lora_b)."""
    tensors = {tensor.name: tensor for tensor in adapter.tensors}
    names = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
    if adapter.value("adapter.type") != "lora" or not names or len(tensors) != 2 * len(names):
        raise BadInput(f"{str(adapter.path)!r} is not a LoRA adapter.", next_step="Name a GGUF adapter.")
    return {name: (tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]) for name in names}


def _floats(file: GgufFile, tensor: Tensor) -> Floats:
    """(rows, row elements)."""
    return as_floats(file.data(tensor), tensor.type_name, tensor.row_elements)


def _sum(model: GgufFile, tensor: Tensor, delta: Floats) -> Bytes:
    merged = _floats(model, tensor) + delta
    if tensor.type_name == "F32":
        values = merged.astype("<f4")
    elif tensor.type_name == "F16":
        values = merged.astype("<f2")
    else:
        bits = merged.astype(np.float32).view(np.uint32)
        values = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")  # to the nearest, ties to even
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
