"""The header of a GGUF file, read without trusting it.

Format: ggml's docs/gguf.md, versions 2 and 3, little-endian. A file is text from strangers: every length is checked
against the bytes that are left before anything is read, so a header can never make us allocate more than the file's own
size, loop for longer than the file is long, or raise anything but BadModelFile. Tensor data is never read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from insource.core.errors import BadModelFile
from insource.core.ggml_types import type_layout
from insource.core.gguf import GgufArray, GgufHeader, GgufValue, TensorInfo

_MAGIC = b"GGUF"
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 20
"""The largest published models have a few thousand tensors and under a hundred keys."""
_MAX_STRINGS = 1 << 24
"""In one array; the largest vocabularies are near 2^18."""
_MAX_NAME_BYTES = 65_535
"""Of a key or a tensor's name; the format's own limit for keys."""
_MAX_TEXT_BYTES = 1 << 20
"""A longer text value (no chat template is) is skipped, not kept."""
_KEPT_ITEMS = 1024
"""Of an array: enough for any per-layer list; vocabularies are counted and skipped."""
_MAX_DIMENSIONS = 4
"""GGML_MAX_DIMS."""
_MAX_DEPTH = 4
_SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_HINTS: Mapping[bytes, str] = {
    b"PK": "it is a zip archive, perhaps PyTorch weights, which insource never unpickles",
    b"version https://git-lfs": "it is a Git LFS pointer: the real file was not downloaded",
    b"<!": "it is a web page",
    b"<html": "it is a web page",
    b"tjgg": "it is in the GGML format from before GGUF",
    b"lmgg": "it is in the GGML format from before GGUF",
}


def check_gguf(path: Path) -> GgufHeader:
    """The header of a file that is whole. Raises BadModelFile."""
    header = read_header(path)
    if header.file_size_bytes < header.expected_size_bytes:
        raise _bad(
            path,
            f"is truncated: it has {header.file_size_bytes:,} bytes, its header promises at least "
            f"{header.expected_size_bytes:,}",
        )
    return header


def read_header(path: Path) -> GgufHeader:
    """The header alone; the data behind it may be missing. Raises BadModelFile."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            return parse_header(file, size_bytes, name=str(path))
    except OSError as error:
        raise _bad(path, f"can't be read: {error.strerror or error}") from error


def parse_header(file: BinaryIO, size_bytes: int, *, name: str) -> GgufHeader:
    """Of a file of that size, read from its start; only ever forwards. Raises BadModelFile."""
    try:
        return _Reader(file, size_bytes).header()
    except _Malformed as error:
        raise _bad(name, str(error)) from None


def _bad(path: Path | str, why: str) -> BadModelFile:
    return BadModelFile(
        f"The model file {str(path)!r} {why}.",
        next_step="Remove it and get it again with `insource models pull REF`, or name another file.",
    )


class _Malformed(Exception):
    """Says what is wrong, without the file's name."""


class _Reader:
    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes
        self._size = size_bytes

    def header(self) -> GgufHeader:
        version = self._preamble()
        tensor_count = self._count("tensors", most=_MAX_TENSORS, least_bytes=24)
        key_count = self._count("metadata keys", most=_MAX_KEYS, least_bytes=13)
        metadata: dict[str, GgufValue] = {}
        for _ in range(key_count):
            key = self._name()
            if key in metadata:
                raise _Malformed(f"has the metadata key {key[:80]!r} twice")
            metadata[key] = self._value(int(self._scalar("<I")), depth=0)
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise _Malformed("has an alignment that is not a power of two")
        position = self._size - self._left
        return GgufHeader(
            version=version,
            metadata=metadata,
            tensors=tensors,
            data_start_bytes=position + -position % alignment,
            file_size_bytes=self._size,
        )

    def _preamble(self) -> int:
        start = self._file.read(min(self._size, 24))
        self._file.seek(0)
        if start[:4] != _MAGIC:
            hint = next((text for prefix, text in _HINTS.items() if start.startswith(prefix)), None)
            empty = "it is empty" if not start else None
            raise _Malformed(f"is not a GGUF file{f' ({hint or empty})' if hint or empty else ''}")
        self._bytes(4)
        version = int(self._scalar("<I"))
        if version & 0xFFFF == 0:
            raise _Malformed("is a big-endian GGUF; only little-endian ones run here")
        if version not in (2, 3):
            raise _Malformed(f"is GGUF version {version}; versions 2 and 3 are known")
        return version

    def _bytes(self, count: int) -> bytes:
        self._need(count)
        data = self._file.read(count)
        if len(data) != count:
            raise _Malformed("became shorter while it was read")
        self._left -= count
        return data

    def _skip(self, count: int) -> None:
        self._need(count)
        self._file.seek(count, 1)
        self._left -= count

    def _need(self, count: int) -> None:
        if count > self._left:
            raise _Malformed("is truncated inside its header, or its header is damaged")

    def _scalar(self, code: str) -> int | float | bool:
        return struct.unpack(code, self._bytes(struct.calcsize(code)))[0]

    def _count(self, what: str, *, most: int, least_bytes: int) -> int:
        """A count of things that take at least `least_bytes` each in the rest of the file."""
        count = int(self._scalar("<Q"))
        if count > most or count * least_bytes > self._left:
            raise _Malformed(f"claims {count:,} {what}, which a file of {self._size:,} bytes can't hold")
        return count

    def _name(self) -> str:
        length = int(self._scalar("<Q"))
        if length > _MAX_NAME_BYTES:
            raise _Malformed(f"has a name of {length:,} bytes")
        return self._bytes(length).decode(errors="replace")

    def _value(self, kind: int, *, depth: int) -> GgufValue:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(depth=depth + 1)
        code = _SCALARS.get(kind)
        if code is None:
            raise _Malformed(f"has a metadata value of the unknown type {kind}")
        return self._scalar(code)

    def _text(self) -> str | None:
        length = int(self._scalar("<Q"))
        if length > _MAX_TEXT_BYTES:
            self._skip(length)
            return None
        return self._bytes(length).decode(errors="replace")

    def _array(self, *, depth: int) -> GgufArray:
        if depth > _MAX_DEPTH:
            raise _Malformed("nests arrays too deeply")
        kind = int(self._scalar("<I"))
        code = _SCALARS.get(kind)
        if code is not None:
            width = struct.calcsize(code)
            length = self._count("array items", most=self._size, least_bytes=width)
            kept = min(length, _KEPT_ITEMS)
            first = struct.unpack(f"<{kept}{code[1]}", self._bytes(kept * width))
            self._skip((length - kept) * width)
            return GgufArray(length=length, first=first)
        least_bytes = 8 if kind == _STRING else 12
        length = self._count("array items", most=_MAX_STRINGS, least_bytes=least_bytes)
        kept = min(length, _KEPT_ITEMS)
        items = tuple(self._value(kind, depth=depth) for _ in range(kept))
        for _ in range(length - kept):
            if kind == _STRING:
                self._skip(int(self._scalar("<Q")))
            else:
                self._value(kind, depth=depth)
        return GgufArray(length=length, first=items)

    def _tensor(self) -> TensorInfo:
        name = self._name()
        dimensions = int(self._scalar("<I"))
        if dimensions > _MAX_DIMENSIONS:
            raise _Malformed(f"has a tensor of {dimensions} dimensions")
        shape = tuple(int(self._scalar("<Q")) for _ in range(dimensions))
        layout = type_layout(int(self._scalar("<I")))
        offset_bytes = int(self._scalar("<Q"))
        size_bytes = layout.size_bytes(shape)
        if offset_bytes >= 1 << 63 or (size_bytes or 0) >= 1 << 63 or any(n >= 1 << 63 for n in shape):
            raise _Malformed(f"has a tensor of an impossible size, {name[:80]!r}")
        return TensorInfo(
            name=name, shape=shape, type_name=layout.name, offset_bytes=offset_bytes, size_bytes=size_bytes
        )
