"""A model file converted tensor by tensor: 16 bit to fewer, or fewer to 16 bit. Resumable after a kill.

The layout of the new file follows from the old header and the policy alone, so it is written front to back, and a
partial file is a prefix of the whole one: whoever starts again cuts it back to the last whole tensor and goes on. The
partial file's name holds a hash of all that the result depends on, so a conversion never goes on with another's bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from insource.adapt.extras import QUANTIZING, require
from insource.adapt.files.gguf import (
    ALIGNMENT,
    Bytes,
    Entry,
    Floats,
    GgufFile,
    Tensor,
    header_bytes,
    laid_out,
    read_gguf,
    settle,
    u32,
)
from insource.adapt.quantize.policy import (
    FILE_TYPES,
    FileType,
    in_order,
    model_facts,
    needs_importance,
    tensor_types,
)
from insource.core.errors import BadInput, UsageError
from insource.core.ggml_types import type_number
from insource.core.hashing import content_address, file_sha256, sha256_hex

Progress = Callable[[int, int], None]
"""(elements done, elements in all)."""
Importance = Mapping[str, Floats]
"""Tensor name -> the mean square of each of its input columns; experts one behind the other."""
_CHUNK_ELEMENTS = 1 << 22
"""Converted at a time: 16 MB as float32."""
_QUANTIZATION_VERSION = 2
"""GGML_QNT_VERSION."""
_FLOATS = ("F32", "F16", "BF16")
_LARGEST_F16 = 65_504.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A finished conversion."""

    path: Path
    size_bytes: int
    sha256: str
    seconds: float
    """Of this run; a resumed one counts only what it did itself."""
    tensors: Mapping[str, int]
    """Type -> number of tensors."""


def nothing(done: int, total: int) -> None:
    """No progress wanted."""


def quantize(
    source: Path, target: Path, file_type: str, *, importance: Importance | None = None, progress: Progress = nothing
) -> Converted:
    """Writes `source`, a GGUF of 16 or 32 bit, as `file_type`. Raises UsageError, BadInput, BadModelFile."""
    wanted, file = _file_type(file_type), read_gguf(source)
    worse = sorted({tensor.type_name for tensor in file.tensors} - {*_FLOATS})
    if worse:
        raise BadInput(
            f"{str(source)!r} is quantised already ({', '.join(worse)}): rounding twice loses more than once.",
            next_step="Quantise the original 16-bit file, or widen this one to F16 first.",
        )
    return _convert(file, target, wanted, importance=importance or {}, progress=progress)


def widen(source: Path, target: Path, *, progress: Progress = nothing) -> Converted:
    """Writes any model file as F16, to train on or to merge into. What quantisation lost before does not come back."""
    return _convert(read_gguf(source), target, FILE_TYPES["F16"], importance={}, progress=progress)


def _file_type(name: str) -> FileType:
    found = FILE_TYPES.get(name)
    if found is None:
        raise UsageError(f"There is no file type {name!r}.", next_step=f"Choose one of {', '.join(FILE_TYPES)}.")
    return found


def _convert(
    file: GgufFile, target: Path, file_type: FileType, *, importance: Importance, progress: Progress
) -> Converted:
    require(QUANTIZING, extra="quantize", purpose="Converting a model file")
    began = time.monotonic()
    facts = model_facts(file, has_importance=bool(importance))
    types = tensor_types(file_type, facts, file.tensors)
    ordered = in_order(file.tensors)
    _check_importance(ordered, types, file_type, importance=importance)
    placed = laid_out(replace(tensor, type_name=types[tensor.name]) for tensor in ordered)
    head = header_bytes(_entries(file, file_type), placed)
    key = _identity(file, head, importance)
    partial = target.with_name(f".{target.name}.{key[:16]}.partial")
    total = sum(tensor.row_elements * tensor.rows for tensor in placed)
    with partial.open("r+b" if partial.exists() else "w+b") as out:
        first = _begin(out, head, placed)
        done = sum(tensor.row_elements * tensor.rows for tensor in placed[:first])
        for old, new in zip(ordered[first:], placed[first:], strict=True):
            for chunk in _chunks(file, old, new.type_name, columns=importance.get(new.name)):
                out.write(chunk)
            out.write(bytes(-new.size_bytes % ALIGNMENT))
            done += new.row_elements * new.rows
            progress(done, total)
        settle(out)
    partial.replace(target)
    return Converted(
        path=target,
        size_bytes=target.stat().st_size,
        sha256=file_sha256(target),
        seconds=time.monotonic() - began,
        tensors={name: list(types.values()).count(name) for name in sorted(set(types.values()))},
    )


def _entries(file: GgufFile, file_type: FileType) -> Mapping[str, Entry]:
    """The metadata as it was; what says how the file is quantised comes last, so that the file is llama.cpp's byte for
    byte. A file in one piece has no split."""
    new = {
        "general.quantization_version": u32(_QUANTIZATION_VERSION),
        "general.file_type": u32(file_type.number),
    }
    kept = {key: entry for key, entry in file.entries.items() if not key.startswith("split.") and key not in new}
    return {**kept, **new}


def _identity(file: GgufFile, head: bytes, importance: Importance) -> str:
    """Of everything that the new file's bytes depend on."""
    columns = {name: sha256_hex(np.ascontiguousarray(values).tobytes()) for name, values in sorted(importance.items())}
    parts = [file_sha256(file.path), sha256_hex(head), columns]
    return content_address(parts).removeprefix("sha256:")


def _begin(out: BinaryIO, head: bytes, placed: tuple[Tensor, ...]) -> int:
    """Cuts a partial file back to its last whole tensor; returns the number of tensors that it holds."""
    size = out.seek(0, 2)
    out.seek(0)
    if size < len(head) or out.read(len(head)) != head:
        out.seek(0)
        out.truncate()
        out.write(head)
        return 0
    whole, end = 0, len(head)
    for tensor in placed:
        after = len(head) + tensor.offset_bytes + tensor.size_bytes + -tensor.size_bytes % ALIGNMENT
        if after > size:
            break
        whole, end = whole + 1, after
    out.truncate(end)
    out.seek(end)
    return whole


def _check_importance(
    tensors: list[Tensor], types: Mapping[str, str], file_type: FileType, *, importance: Importance
) -> None:
    for tensor in tensors:
        columns = importance.get(tensor.name)
        if columns is None:
            if types[tensor.name] != tensor.type_name and needs_importance(
                tensor.name, types[tensor.name], file_type.name
            ):
                raise BadInput(
                    f"{file_type.name} rounds {tensor.name!r} so coarsely that it needs an importance matrix.",
                    next_step="Measure one on the task's own prompts first, or choose Q2_K or larger.",
                )
            continue
        wanted = tensor.row_elements * (tensor.shape[2] if len(tensor.shape) > 2 else 1)
        if columns.shape != (wanted,) or not np.isfinite(columns).all():
            raise BadInput(
                f"The importance of {tensor.name!r} has {columns.size} values; {wanted} finite ones are needed.",
                next_step="Measure the importance matrix on this very model.",
            )


def _chunks(file: GgufFile, tensor: Tensor, type_name: str, *, columns: Floats | None) -> Iterator[memoryview]:
    """The tensor's new bytes. A chunk holds whole rows of one expert, because each has its own importance."""
    data = file.data(tensor)
    if type_name == tensor.type_name:
        yield memoryview(data)  # pyright: ignore[reportArgumentType] - a memory map is a buffer
        return
    old_row = tensor.size_bytes // tensor.rows
    rows_of_one = tensor.shape[1] if len(tensor.shape) > 1 else 1
    step = max(1, _CHUNK_ELEMENTS // tensor.row_elements)
    for expert in range(tensor.rows // rows_of_one):
        own = None if columns is None else columns[expert * tensor.row_elements : (expert + 1) * tensor.row_elements]
        for row in range(0, rows_of_one, step):
            start = expert * rows_of_one + row
            stop = start + min(step, rows_of_one - row)
            raw = data[start * old_row : stop * old_row]
            floats = as_floats(raw, tensor.type_name, tensor.row_elements)
            yield memoryview(_encode(floats, type_name, own, name=tensor.name))


def as_floats(raw: Bytes, type_name: str, row_elements: int) -> Floats:
    """(rows, elements) of float32."""
    if type_name == "F32":
        values: Floats = raw.view("<f4")
    elif type_name == "F16":
        values = raw.view("<f2").astype(np.float32)
    elif type_name == "BF16":
        values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = _dequantized(raw, type_name, row_elements)
    return values.reshape(-1, row_elements)


def _dequantized(raw: Bytes, type_name: str, row_elements: int) -> npt.NDArray[np.float32]:
    import libgguf  # late: a library of an extra

    library: Any = libgguf
    number = type_number(type_name)
    rows = raw.nbytes // library.row_size(number, row_elements)
    packed = np.ascontiguousarray(raw)
    return np.frombuffer(library.dequantize_rows_raw(number, packed, rows, row_elements), dtype=np.float32)


def _encode(floats: Floats, type_name: str, columns: Floats | None, *, name: str) -> bytes:
    import libgguf

    library: Any = libgguf
    largest = float(np.abs(floats).max(initial=0.0))
    if not np.isfinite(largest) or (type_name == "F16" and largest > _LARGEST_F16):
        raise BadInput(
            f"The tensor {name!r} has a value that {type_name} can't represent ({largest}).",
            next_step="Use BF16 where the value is finite; otherwise the source file is damaged.",
        )
    floats = np.ascontiguousarray(floats, dtype=np.float32)
    weights = None if columns is None else np.ascontiguousarray(columns, dtype=np.float32)
    return library.quantize_rows_raw(type_number(type_name), floats, *floats.shape, weights)
