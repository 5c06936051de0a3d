"""Writes `types.json`: the tensor types that llama.cpp itself chooses for the models of `tests/quantize_models.py`.
`with importance` is there where an importance matrix changes the choice.

    python -m tests.golden.quantize.write LIBLLAMA

LIBLLAMA is a libllama.so with its ggml libraries beside it, built from llama.cpp's source (the Python package
llama-cpp-python ships it). Nothing but this script needs it.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from insource.adapt.files.gguf import GgufFile, Tensor
from insource.adapt.quantize.policy import FILE_TYPES, in_order
from insource.core.ggml_types import type_layout
from tests.quantize_models import SHAPES, header_only

TARGET = Path(__file__).with_name("types.json")
_DRY_RUN = 5
_LINE = re.compile(r"\] +(\S+) +- \[.*?type = +(\w+), size = .*?MiB(?: -> .*?MiB \((\w+)\))?\n")
_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
NEED_IMPORTANCE = ("IQ3_XXS", "IQ3_XS", "Q2_K_S")


class _Importance(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Parameters(ctypes.Structure):
    """llama_model_quantize_params, as of October 2026."""

    _fields_ = (
        ("threads", ctypes.c_int32),
        ("file_type", ctypes.c_int),
        ("output_type", ctypes.c_int),
        ("embedding_type", ctypes.c_int),
        ("flags", ctypes.c_bool * 6),
        ("importance", ctypes.c_void_p),
        ("overrides", ctypes.c_void_p * 3),
        ("most_bytes", ctypes.c_size_t),
    )


def loaded(path: Path) -> ctypes.CDLL:
    for name in ("libggml-base.so", "libggml-cpu.so", "libggml.so"):
        ctypes.CDLL(str(path.with_name(name)), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(path))
    library.llama_model_quantize_default_params.restype = _Parameters
    library.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(_Parameters)]
    return library


def chosen(library: ctypes.CDLL, file: GgufFile, file_type: int, *, with_importance: bool) -> Mapping[str, str]:
    """Name -> type, out of the log of a dry run: nothing is quantised, so the file needs no data."""
    parameters = library.llama_model_quantize_default_params()
    parameters.file_type = file_type
    parameters.flags[_DRY_RUN] = True
    kept: list[tuple[bytes, np.ndarray]] = []
    if with_importance:
        for tensor in file.tensors:
            if len(tensor.shape) > 1 and tensor.name.startswith("blk"):
                kept.append((tensor.name.encode(), np.ones(tensor.shape[0] * (*tensor.shape, 1)[2], np.float32)))
        table = (_Importance * (len(kept) + 1))(*((name, a.ctypes.data, a.size) for name, a in kept))
        parameters.importance = ctypes.cast(table, ctypes.c_void_p)
    said: list[bytes] = []
    listen = _Log(lambda level, line, user: said.append(line))
    library.llama_log_set(listen, None)
    path = str(file.path).encode()
    if library.llama_model_quantize(path, path + b".out", ctypes.byref(parameters)) != 0:
        raise SystemExit(f"llama.cpp refused {file.path.name} as file type {file_type}: {b''.join(said).decode()}")
    known = {layout.upper(): layout for layout in (type_layout(n).name for n in range(48))}
    found = re.findall(
        r"\] +(\S+) +- \[.*?type = +(\w+), size = .*?MiB(?: -> .*?MiB \((\w+)\))?\n", b"".join(said).decode()
    )
    return {name: known[(new or old).upper()] for name, old, new in found}


def by_name(types: Mapping[str, str], tensors: Sequence[Tensor]) -> dict[str, str]:
    """Name without its layer -> the types by layer, as `2×Q6_K Q4_K`; without what stays in 32 bit."""
    rows: dict[str, list[str]] = {}
    for tensor in in_order(tensors):
        name = tensor.name.partition(".")[2].partition(".")[2] if tensor.name.startswith("blk.") else tensor.name
        rows.setdefault(name, []).append(types[tensor.name])
    return {
        name: " ".join(f"{len(run)}×{kind}" for kind, run in ((kind, list(run)) for kind, run in groupby(row)))
        for name, row in rows.items()
        if set(row) != {"F32"}
    }


def main() -> None:
    library = loaded(Path(sys.argv[1]))
    found: dict[str, dict[str, Mapping[str, str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.gguf"
        for name, shape in SHAPES.items():
            file = header_only(source, shape)
            for file_type in FILE_TYPES.values():
                for with_importance in (False, True):
                    if file_type.name in NEED_IMPORTANCE and not with_importance:
                        continue
                    types = chosen(library, file, file_type.number, with_importance=with_importance)
                    row = by_name(types, file.tensors)
                    by_type = found.setdefault(name, {})
                    if row != by_type.get(file_type.name):
                        by_type[file_type.name + (" with importance" if with_importance else "")] = row
    rows = [
        f" {json.dumps(name)}: {{\n"
        + ",\n".join(f"  {json.dumps(key)}: {json.dumps(types, ensure_ascii=False)}" for key, types in by_type.items())
        + "\n }"
        for name, by_type in found.items()
    ]
    TARGET.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
