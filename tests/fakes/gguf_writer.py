"""Writes small valid GGUF files (version 3), so that tests need no real model."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Value = str | int | float | bool | Sequence[str] | Sequence[int]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(value: Value) -> bytes:
    """With its type in front: text, bool, u32, f32, arrays of text, of bool or of i32."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(item)) for item in value)
    if value and isinstance(value[0], bool):
        return struct.pack("<IIQ", 9, 7, len(value)) + bytes(int(item) for item in value)
    return struct.pack("<IIQ", 9, 5, len(value)) + b"".join(struct.pack("<i", int(item)) for item in value)


def gguf_bytes(metadata: Mapping[str, Value] | None = None, *, values: int = 256, version: int = 3) -> bytes:
    """A whole file with two tensors: F32 of `values` and Q4_1 of 64 x 2; alignment 32."""
    fields: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.license": "apache-2.0",
        "llama.context_length": 512,
        "llama.head_count_kv": [1, 2, 3],
        "tokenizer.ggml.tokens": [f"token{i}" for i in range(2000)],
        **(metadata or {}),
    }
    first_bytes = values * 4
    second_at = first_bytes + -first_bytes % 32
    header = struct.pack("<4sIQQ", b"GGUF", version, 2, len(fields))
    header += b"".join(text(key) + value_bytes(value) for key, value in fields.items())
    header += text("output_norm.weight") + struct.pack("<IQIQ", 1, values, 0, 0)
    header += text("blk.0.weight") + struct.pack("<IQQIQ", 2, 64, 2, 3, second_at)
    header += b"\0" * (-len(header) % 32)
    body = bytes(i * 31 % 251 for i in range(second_at))
    return header + body + bytes(i % 7 for i in range(2 * 2 * 20))
