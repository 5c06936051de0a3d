"""Memory of a process that has the engine and a model's vocabulary, and nothing else: `python resident.py MODEL`.

Prints its peak resident kB. What a worker takes beyond it is weights, cache and compute buffers, which `fit` predicts;
the vocabulary's strings are the model's, but no header says how many bytes llama.cpp's maps of them take.
"""

from __future__ import annotations

import sys

import xllamacpp  # noqa: F401  # pyright: ignore[reportUnusedImport]

from insource.engines.allocator_process import library
from tests.oracle.process import peak_resident_kb


def main() -> None:
    engine = library()
    params = engine.llama_model_default_params()
    params.vocab_only = True
    assert engine.llama_model_load_from_file(sys.argv[1].encode(), params)
    sys.stdout.write(f"{peak_resident_kb('self')}\n")


if __name__ == "__main__":
    main()
