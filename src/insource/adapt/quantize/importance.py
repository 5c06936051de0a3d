"""Which inputs of each matrix matter for a task: the mean square of what flows into it while the task's own requests
are read. Rounding then spares the columns that are used.

The file is llama.cpp's own (tools/imatrix, GGUF form), so that its tools read ours and this reads theirs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from insource.adapt.child import answer_of
from insource.adapt.extras import TRAINING, require
from insource.adapt.files.gguf import Bytes, Entry, Floats, Tensor, read_gguf, text, texts, u32, write_gguf
from insource.adapt.lora.job import Row
from insource.core.errors import BadInput

_MODULE = "insource.adapt.lora.trainer.importance"


def measure_importance(
    base: Path, rows: Sequence[Row], target: Path, *, threads: int = 1, python: str = sys.executable
) -> None:
    """Reads the task's requests with their answers once, and writes the matrix. `base` is a GGUF file or a folder of
    safetensors; needs the extra `adapt`."""
    if python == sys.executable:
        require(TRAINING, extra="adapt", purpose="Measuring an importance matrix")
    document = {
        "base": str(base),
        "target": str(target),
        "rows": [asdict(row) for row in rows],
        "threads": threads,
    }
    answer_of(_MODULE, json.dumps(document, ensure_ascii=False), python=python)


def write_importance(target: Path, sums: dict[str, Floats], *, tokens: int) -> None:
    """`sums`: tensor -> sum of squares by input column, over so many tokens."""
    entries: dict[str, Entry] = {
        "general.type": text("imatrix"),
        "imatrix.datasets": texts(["task"]),
        "imatrix.chunk_count": u32(1),
        "imatrix.chunk_size": u32(tokens),
    }
    data: list[tuple[Tensor, Bytes]] = []
    for name, columns in sorted(sums.items()):
        values = np.ascontiguousarray(columns, dtype="<f4")
        count = np.array([tokens], dtype="<f4")
        data.append((Tensor(name=f"{name}.in_sum2", shape=(len(values), 1), type_name="F32"), values.view(np.uint8)))
        data.append((Tensor(name=f"{name}.counts", shape=(1, 1), type_name="F32"), count.view(np.uint8)))
    write_gguf(target, entries, data)


def read_importance(path: Path) -> dict[str, Floats]:
    """Tensor -> mean square by input column (experts one behind the other), as `convert.quantize` takes it."""
    file = read_gguf(path)
    by_name = {tensor.name: tensor for tensor in file.tensors}
    found: dict[str, Floats] = {}
    for name, tensor in by_name.items():
        counts = by_name.get(name.removesuffix(".in_sum2") + ".counts")
        if not name.endswith(".in_sum2") or counts is None:
            continue
        sums = file.data(tensor).view("<f4").reshape(-1, tensor.row_elements)
        each = file.data(counts).view("<f4").reshape(-1, 1)
        # llama.cpp takes a matrix that no token reached (an expert that was never chosen) as evenly important.
        mean = np.where(each > 0, sums / np.maximum(each, 1), 1.0)
        found[name.removesuffix(".in_sum2")] = mean.astype(np.float32).reshape(-1)
    if not found:
        raise BadInput(f"{str(path)!r} is not an importance matrix.", next_step="Measure one on this model.")
    return found
