"""GGUF files, read and written for conversions: metadata kept byte for byte, tensors mapped from the disk.

Not the reader of files from strangers (`engines/models/gguf.py`, which checks a file when it comes in): this one knows
that the file is on this machine to be converted. It still refuses what is damaged, because a conversion must not make
a whole-looking file out of a truncated one. Format: ggml's docs/gguf.md, version 3, little-endian.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from insource.core.errors import BadModelFile
from insource.core.ggml_types import type_layout, type_number

ALIGNMENT = 32
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
U32, F32 = 4, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One metadata value as it stands in the file."""

    kind: int
    raw: bytes

    def value(self) -> Any:
        return _decode(self.kind, memoryview(self.raw), 0)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Where a tensor lies. `shape` is ggml's: the contiguous dimension first."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset_bytes: int = 0
    """From the start of the data."""

    @property
    def row_elements(self) -> int:
        return self.shape[0]

    @property
    def rows(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def size_bytes(self) -> int:
        size = type_layout(type_number(self.type_name)).size_bytes(self.shape)
        assert size is not None, "a type of the table"
        return size


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """A file's metadata and tensors; the data stays on the disk until it is asked for."""

    path: Path
    entries: Mapping[str, Entry]
    tensors: tuple[Tensor, ...]
    data_start_bytes: int

    def value(self, key: str, default: Any = None) -> Any:
        entry = self.entries.get(key)
        return default if entry is None else entry.value()

    @property
    def architecture(self) -> str:
        return str(self.value("general.architecture", ""))

    def fact(self, name: str, default: Any = None) -> Any:
        """A key of the architecture, as `attention.head_count`."""
        return self.value(f"{self.architecture}.{name}", default)

    def data(self, tensor: Tensor) -> Bytes:
        """The tensor's bytes, mapped read-only."""
        start = self.data_start_bytes + tensor.offset_bytes
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=start, shape=(tensor.size_bytes,))

    def find(self, name: str) -> Tensor | None:
        return next((tensor for tensor in self.tensors if tensor.name == name), None)


def text(value: str) -> Entry:
    data = value.encode()
    return Entry(kind=_STRING, raw=struct.pack("<Q", len(data)) + data)


def u32(value: int) -> Entry:
    return Entry(kind=U32, raw=struct.pack("<I", value))


def f32(value: float) -> Entry:
    return Entry(kind=F32, raw=struct.pack("<f", value))


def texts(values: Sequence[str]) -> Entry:
    items = b"".join(text(value).raw for value in values)
    return Entry(kind=_ARRAY, raw=struct.pack("<IQ", _STRING, len(values)) + items)


# ---------------------------------------------------------------------------------------------------- reading


def read_gguf(path: Path) -> GgufFile:
    """Raises BadModelFile for what is no whole GGUF."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            found = _parse(path, memoryview(view))
            size_bytes = len(view)
    except (struct.error, UnicodeDecodeError, IndexError, MemoryError, ValueError, OSError, OverflowError) as error:
        raise _bad(path, f"can't be read as a GGUF file ({error})") from error
    ends = [tensor.offset_bytes + tensor.size_bytes for tensor in found.tensors]
    promised = found.data_start_bytes + max(ends, default=0)
    if size_bytes < promised:
        raise _bad(path, f"is truncated: it has {size_bytes:,} bytes, its header promises at least {promised:,}")
    return found


def _bad(path: Path, why: str) -> BadModelFile:
    return BadModelFile(f"The model file {str(path)!r} {why}.", next_step="Make it again, or name another file.")


def _parse(path: Path, view: memoryview) -> GgufFile:
    with view:
        magic, version, tensor_count, entry_count = struct.unpack_from("<4sIQQ", view, 0)
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("no GGUF of version 2 or 3")
        at = 24
        entries: dict[str, Entry] = {}
        for _ in range(entry_count):
            key, at = _text_at(view, at)
            (kind,) = struct.unpack_from("<I", view, at)
            end = _skip(kind, view, at + 4)
            entries[key] = Entry(kind=kind, raw=bytes(view[at + 4 : end]))
            at = end
        tensors: list[Tensor] = []
        for _ in range(tensor_count):
            tensor, at = _tensor_at(view, at)
            tensors.append(tensor)
    alignment = entries["general.alignment"].value() if "general.alignment" in entries else ALIGNMENT
    return GgufFile(path=path, entries=entries, tensors=tuple(tensors), data_start_bytes=at + -at % alignment)


def _tensor_at(view: memoryview, at: int) -> tuple[Tensor, int]:
    name, at = _text_at(view, at)
    (dimensions,) = struct.unpack_from("<I", view, at)
    shape = struct.unpack_from(f"<{dimensions}Q", view, at + 4)
    kind, offset = struct.unpack_from("<IQ", view, at + 4 + 8 * dimensions)
    layout = type_layout(kind)
    if layout.block_bytes == 0:
        raise ValueError(f"the tensor {name!r} has the unknown type {kind}")
    return Tensor(name=name, shape=shape, type_name=layout.name, offset_bytes=offset), at + 16 + 8 * dimensions


def _text_at(view: memoryview, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", view, at)
    if length > len(view) - at:
        raise ValueError("a text that is longer than the file")
    return bytes(view[at + 8 : at + 8 + length]).decode(), at + 8 + length


def _skip(kind: int, view: memoryview, at: int) -> int:
    """The end of a value."""
    if kind == _STRING:
        (length,) = struct.unpack_from("<Q", view, at)
        end = at + 8 + length
    elif kind == _ARRAY:
        inner, count = struct.unpack_from("<IQ", view, at)
        end = at + 12
        if inner in _SCALARS:
            end += count * struct.calcsize(_SCALARS[inner])
        else:
            for _ in range(count):
                end = _skip(inner, view, end)
    else:
        end = at + struct.calcsize(_SCALARS[kind]) if kind in _SCALARS else len(view) + 1
    if end > len(view):
        raise ValueError("metadata that goes beyond the file's end, or of an unknown type")
    return end


def _decode(kind: int, raw: memoryview, at: int) -> tuple[Any, int]:
    if kind == _STRING:
        return _text_at(raw, at)
    if kind == _ARRAY:
        inner, count = struct.unpack_from("<IQ", raw, at)
        at += 12
        if inner in _SCALARS:
            code = f"<{count}{_SCALARS[inner][1]}"
            return list(struct.unpack_from(code, raw, at)), at + struct.calcsize(code)
        items: list[Any] = []
        for _ in range(count):
            item, at = _decode(inner, raw, at)
            items.append(item)
        return items, at
    (value,) = struct.unpack_from(_SCALARS[kind], raw, at)
    return value, at + struct.calcsize(_SCALARS[kind])


# ---------------------------------------------------------------------------------------------------- writing


def laid_out(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The same tensors, one behind the other, each at a multiple of the alignment."""
    at = 0
    placed: list[Tensor] = []
    for tensor in tensors:
        placed.append(replace(tensor, offset_bytes=at))
        at += tensor.size_bytes + -tensor.size_bytes % ALIGNMENT
    return tuple(placed)


def header_bytes(entries: Mapping[str, Entry], tensors: Sequence[Tensor]) -> bytes:
    """Everything before the data, padded. The tensors are `laid_out`."""
    kept = {key: entry for key, entry in entries.items() if key != "general.alignment"}
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(kept))]
    for key, entry in kept.items():
        parts += [text(key).raw, struct.pack("<I", entry.kind), entry.raw]
    for tensor in tensors:
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        parts += [text(tensor.name).raw, shape, struct.pack("<IQ", type_number(tensor.type_name), tensor.offset_bytes)]
    head = b"".join(parts)
    return head + bytes(-len(head) % ALIGNMENT)


def write_gguf(path: Path, entries: Mapping[str, Entry], data: Sequence[tuple[Tensor, Bytes]]) -> None:
    """The file is there whole or not at all."""
    tensors = laid_out(tensor for tensor, _ in data)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(header_bytes(entries, tensors))
        for tensor, (_, values) in zip(tensors, data, strict=True):
            write_padded(file, tensor, values)
        settle(file)
    partial.replace(path)


def write_padded(file: BinaryIO, tensor: Tensor, values: Bytes) -> None:
    if values.nbytes != tensor.size_bytes:
        raise ValueError(f"{tensor.name}: {values.nbytes} bytes where {tensor.size_bytes} belong")
    file.write(values.data)
    file.write(bytes(-tensor.size_bytes % ALIGNMENT))


def settle(file: BinaryIO) -> None:
    """What was written survives a crash of the machine."""
    file.flush()
    os.fsync(file.fileno())
