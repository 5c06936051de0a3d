"""The default model in fewer bits: bytes, seconds, equality with ggml, and how far the next tokens move.

    python bench/quantize.py [FILE_TYPE ...]      prints a table and writes bench/results/quantize.txt

The original is the F16 file made of the default model (which is published in four bits). Every tensor of every file is
made a second time by the engine's own ggml and compared byte for byte. Divergence: at the last 16 tokens of the prompt
and the greedy answer of 16 Banking77 and restaurant8k requests; its interval is a bootstrap over the positions.
"Served" is what the engine says, which rounds activations too; "weights" is torch on the files' weights in float32 and
over the whole vocabulary, where the extra `adapt` is installed.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xllamacpp
from bench.adapt_data import (
    RESULTS,
    Patient,
    banking,
    data_folder,
    default_model,
    engine_settings,
    model_file,
    restaurant,
    share,
)

from insource.adapt.files.gguf import GgufFile, read_gguf
from insource.adapt.llama_server import LogProbs
from insource.adapt.quantize.convert import as_floats, quantize, widen
from insource.adapt.quantize.divergence import (
    Position,
    asked,
    compare,
    divergence,
    positions,
    told_by_both,
)
from insource.core.ggml_types import type_number
from insource.core.values import JsonObject
from insource.engines.llamacpp import LlamaCppEngine

_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_M", "Q2_K")
_REQUESTS = 8
"""Of each task."""


def engines_ggml() -> Any:
    """ggml as it is inside the engine's wheel: a private way to it, good for a comparison."""
    library = ctypes.CDLL(str(next(Path(str(xllamacpp.__file__)).parent.glob("*.so"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    return library


def unequal(ggml: Any, original: GgufFile, made: GgufFile) -> int:
    """Tensors whose bytes differ from ggml's."""
    wrong = 0
    for tensor in made.tensors:
        old = original.find(tensor.name)
        assert old is not None
        if tensor.type_name == old.type_name:
            wrong += made.data(tensor).tobytes() != original.data(old).tobytes()
            continue
        floats = np.ascontiguousarray(as_floats(original.data(old), old.type_name, old.row_elements))
        target = np.zeros(tensor.size_bytes, dtype=np.uint8)
        number = type_number(tensor.type_name)
        ggml.ggml_quantize_chunk(number, floats.ctypes.data, target.ctypes.data, 0, *floats.shape, None)
        wrong += made.data(tensor).tobytes() != target.tobytes()
    return wrong


async def ask(path: Path, places: Sequence[Position]) -> list[LogProbs | None]:
    engine = LlamaCppEngine(model_file(path), engine_settings(1))
    await engine.start()
    try:
        return await asked(Patient(engine), places)
    finally:
        await engine.stop()


async def places_of(path: Path, requests: Sequence[JsonObject]) -> list[Position]:
    engine = LlamaCppEngine(model_file(path), engine_settings(1))
    await engine.start()
    try:
        return await positions(Patient(engine), requests)
    finally:
        await engine.stop()


def by_weights(path: Path, places: Sequence[Position]) -> dict[Position, Any] | None:
    """Position -> log-probabilities of all tokens, by torch; None without it."""
    if find_spec("torch") is None:
        return None
    from insource.adapt.lora.trainer.base import load_model
    from insource.adapt.lora.trainer.libraries import torch

    model = load_model(path)
    found: dict[Position, Any] = {}
    longest = [p for p, after in zip(places, [*places[1:], ()], strict=True) if after[: len(p)] != p]
    with torch.no_grad():
        for whole in longest:
            told = torch.log_softmax(model(torch.tensor([whole])).logits[0].float(), dim=-1).numpy()
            found |= {p: told[len(p) - 1] for p in places if p == whole[: len(p)]}
    return found


def weights_line(before: dict[Position, Any] | None, path: Path, places: Sequence[Position]) -> str:
    after = by_weights(path, places)
    if before is None or after is None:
        return "weights: not measured (needs the extra `adapt`)"
    each = [float((np.exp(before[p]) * (before[p] - after[p])).sum()) for p in places]
    same = sum(int(before[p].argmax()) == int(after[p].argmax()) for p in places)
    return (
        f"weights: KL {np.mean(each):.4f} {interval(each)}, p99 {np.quantile(each, 0.99):.3f}; same top "
        f"{share(same, len(places))}"
    )


def interval(values: Sequence[float]) -> str:
    """95 %, of the mean."""
    rng = np.random.default_rng(0)
    data = np.array(values)
    means = [data[rng.integers(0, len(data), len(data))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"[{low:.4f}, {high:.4f}]"


async def main() -> None:
    folder = data_folder()
    if folder is None:
        print("skipped: shared data not found")
        return
    requests = [row.request for task in (banking, restaurant) for row in task(folder)[1][:_REQUESTS]]
    ggml = engines_ggml()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as work:
        original = widen(default_model(), Path(work) / "f16.gguf")
        places = await places_of(original.path, requests)
        before, whole = await ask(original.path, places), by_weights(original.path, places)
        lines.append(f"F16: {original.size_bytes:,} bytes; {len(requests)} requests, {len(places)} positions")
        for name in sys.argv[1:] or _TYPES:
            began = time.process_time()
            made = quantize(original.path, Path(work) / "made.gguf", name)
            seconds = time.process_time() - began
            wrong = unequal(ggml, read_gguf(original.path), read_gguf(made.path))
            after = await ask(made.path, places)
            figures = compare(before, after)
            each = [divergence(one, other) for one, other in told_by_both(before, after)]
            lines.append(
                f"{name:7} {made.size_bytes:11,} bytes; {seconds:5.1f} s of one processor ({made.seconds:.1f} s here); "
                f"tensors unequal to ggml's {wrong} of {sum(made.tensors.values())}; served: KL {figures.mean:.4f} "
                f"{interval(each)}, p99 {figures.p99:.3f}; same top {share(figures.same_top, figures.positions)}; "
                f"{weights_line(whole, widen(made.path, Path(work) / 'wide.gguf').path, places)}"
            )
            print(lines[-1], flush=True)
    text = "\n".join(lines)
    (RESULTS / "quantize.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
