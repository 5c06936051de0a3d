"""Static embeddings of texts: the mean of WordLlama's token vectors, 0.03 ms a text, no model to run.

WordLlama (MIT; Miller, 2024) distilled a large model's token embeddings to 256 numbers each. The package's own loader
asks a server for its tokenizer, so its two files are read here directly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from insource.core.errors import InsourceError

DIMENSIONS = 256
NAME = "wordllama l2_supercat 256"
_PACKAGE = "wordllama"
_WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
_TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
_MOST_CHARACTERS = 8_192
"""Of a text: its end, where instructions and questions stand."""
Vectors = npt.NDArray[np.float32]


def embed(texts: Sequence[str]) -> Vectors:
    """(texts, 256), each of length 1; zeros for a text without a token."""
    table, tokenizer = _table(), _tokenizer()
    found = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for at, text in enumerate(texts):
        ids = tokenizer.encode(text[-_MOST_CHARACTERS:], add_special_tokens=False).ids
        if ids:
            mean = table[ids].astype(np.float32).mean(axis=0)
            found[at] = mean / (np.linalg.norm(mean) + 1e-9)
    return found


@cache
def _table() -> npt.NDArray[np.float16]:
    """(tokens, 256), mapped from the file: 16 MB of pages that the system may drop."""
    path = _file(_WEIGHTS)
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(header_bytes))
    (entry,) = (value for name, value in header.items() if name != "__metadata__")
    start, _ = entry["data_offsets"]
    return np.memmap(path, dtype="<f2", mode="r", offset=8 + header_bytes + start, shape=tuple(entry["shape"]))


@cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer  # late: it takes 50 ms, and only heads need it

    return Tokenizer.from_file(str(_file(_TOKENIZER)))


def _file(name: str) -> Path:
    try:
        path = Path(str(distribution(_PACKAGE).locate_file(name)))
    except PackageNotFoundError:
        path = Path()
    if not path.is_file():
        raise InsourceError(
            f"The package {_PACKAGE!r} is not installed, or holds no {name!r}.",
            next_step=f"Install it again: pip install --force-reinstall {_PACKAGE}",
        )
    return path
