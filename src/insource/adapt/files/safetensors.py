"""Safetensors files as NumPy arrays: enough for adapters and checkpoints, without a training library.

Format: eight bytes of length, a JSON header, the data; little-endian (github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from insource.core.errors import BadModelFile

Array = npt.NDArray[Any]
_TYPES: Mapping[str, str] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_MOST_HEADER_BYTES = 100 << 20
"""The format's own limit."""


def read_safetensors(path: Path) -> dict[str, Array]:
    """Every tensor by name; BF16 comes as float32, which holds it exactly. Raises BadModelFile."""
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(len(data) - 8, _MOST_HEADER_BYTES):
            raise ValueError("it is truncated")
        header: dict[str, Any] = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        return {name: _array(body, entry) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadModelFile(
            f"{str(path)!r} can't be read as a safetensors file: {error}.", next_step="Make it again."
        ) from error


def _array(body: memoryview, entry: Mapping[str, Any]) -> Array:
    start, end = entry["data_offsets"]
    kind, shape = str(entry["dtype"]), tuple(int(length) for length in entry["shape"])
    if not 0 <= start <= end <= len(body):
        raise ValueError("it is truncated")
    values = np.frombuffer(body[start:end], dtype=_TYPES[kind]).reshape(shape)
    return (values.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else values


def write_safetensors(path: Path, arrays: Mapping[str, Array]) -> None:
    """The file is there whole or not at all."""
    names = {code: kind for kind, code in _TYPES.items() if kind != "BF16"}
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name, array in sorted(arrays.items()):
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": names[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(b"".join([len(head).to_bytes(8, "little"), head, *parts]))
    partial.replace(path)
