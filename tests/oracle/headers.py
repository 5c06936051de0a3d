"""Writes GGUF files that have a real header and a hole in place of the data: enough for the allocator and for our
readers, a few hundred kB on disk for a model of any size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from insource.core.ggml_types import type_layout
from tests.fakes.gguf_writer import Value, text, value_bytes

_NUMBERS: Mapping[str, int] = {
    "F32": 0, "F16": 1, "Q5_0": 6, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14, "MXFP4": 39,
}  # fmt: skip
_ALIGNMENT = 32
_HIGH_PRECISION = ("ffn_down", "attn_v", "output.weight")
"""Roles that `Q4_K_M` stores in Q6_K."""
_UNQUANTIZED = (
    "norm",
    "conv1d",
    "shortconv.conv",
    "ssm_a",
    "ssm_d",
    "ffn_gate_inp",
    "altup",
    "lerp",
    "rope_f",
    "_sinks",
)
"""As llama.cpp's quantiser leaves them (llama-quant.cpp, `tensor_allows_quantization`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type_name: str

    @property
    def size_bytes(self) -> int:
        size = type_layout(_NUMBERS[self.type_name]).size_bytes(self.shape)
        assert size is not None
        return size


def tensor(name: str, *shape: int, type_name: str | None = None) -> Tensor:
    """Typed by its role as in a `Q4_K_M` file, with the quantiser's replacements for rows that no block divides."""
    return Tensor(name=name, shape=shape, type_name=type_name or _type_of(name, shape))


def _type_of(name: str, shape: tuple[int, ...]) -> str:
    if len(shape) == 1 or name.endswith(".bias") or any(part in name for part in _UNQUANTIZED):
        return "F32"
    high = any(part in name for part in _HIGH_PRECISION)
    if shape[0] % 256 == 0:
        return "Q6_K" if high else "Q4_K"
    if shape[0] % 32 == 0:
        return "Q8_0" if high else "Q5_0"
    return "F16"


def write_header(path: Path, metadata: Mapping[str, Value], tensors: Iterable[Tensor]) -> None:
    parts: list[bytes] = []
    at = 0
    count = 0
    for item in tensors:
        shape = struct.pack(f"<{len(item.shape)}Q", *item.shape)
        parts.append(text(item.name) + struct.pack("<I", len(item.shape)) + shape)
        parts.append(struct.pack("<IQ", _NUMBERS[item.type_name], at))
        at += item.size_bytes + -item.size_bytes % _ALIGNMENT
        count += 1
    fields = b"".join(text(key) + value_bytes(value) for key, value in metadata.items())
    header = struct.pack("<4sIQQ", b"GGUF", 3, count, len(metadata)) + fields + b"".join(parts)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + -len(header) % _ALIGNMENT + at)
