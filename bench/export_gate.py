"""The gate between training and serving, against planted faults: each wrong export is refused and its reason named.

    python bench/export_gate.py FOLDER      (FOLDER of a finished `bench/lora_here.py banking 400 3 FOLDER`)

Right exports: the adapter over the widened model, and merged into it. Wrong ones: another chat template, an end of turn
that the file no longer knows, the adapter at scale 0, the merge rounded to four bits, a truncated file.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.adapt_data import RESULTS, Patient, banking, data_folder, default_model, engine_settings, model_file

from insource.adapt.equivalence import Equivalence, compare, served
from insource.adapt.files.gguf import Entry, GgufFile, read_gguf, text, texts, u32, write_gguf
from insource.adapt.lora.job import Trained, trained_of
from insource.adapt.lora.merge import merge
from insource.adapt.quantize.convert import quantize, widen
from insource.core.errors import InsourceError
from insource.core.ports import Upstream
from insource.core.values import JsonObject
from insource.engines.adapters import AdaptedEngine
from insource.engines.llamacpp import LlamaCppEngine

_PROBES = 100


async def gate(
    model: Path, requests: Sequence[JsonObject], trained: Trained, *, adapter: Path | None = None, scale: float = 1.0
) -> Equivalence:
    engine = LlamaCppEngine(model_file(model), engine_settings(1), adapters={"task": adapter} if adapter else {})
    await engine.start()
    try:
        asked: Upstream = AdaptedEngine(engine, "task", scale=scale) if adapter else engine
        return compare(trained.probes, await served(Patient(asked), requests, trained.probes))
    finally:
        await engine.stop()


def with_entries(file: GgufFile, target: Path, changes: Mapping[str, Entry]) -> Path:
    write_gguf(target, {**file.entries, **changes}, [(tensor, file.data(tensor)) for tensor in file.tensors])
    return target


def other_template(file: GgufFile, target: Path) -> Path:
    """One line feed less behind the role: to a person the same."""
    template = str(file.value("tokenizer.chat_template")).replace("'\\n' + message", "' ' + message")
    assert template != file.value("tokenizer.chat_template")
    return with_entries(file, target, {"tokenizer.chat_template": text(template)})


def lost_end(file: GgufFile, target: Path) -> Path:
    """The token that ends a turn is a plain one, and another is said to be the end."""
    tokens = list(file.value("tokenizer.ggml.tokens"))
    end = int(file.value("tokenizer.ggml.eos_token_id"))
    tokens[end] = "<|once_the_end|>"
    changes = {"tokenizer.ggml.tokens": texts(tokens), "tokenizer.ggml.eos_token_id": u32(0)}
    return with_entries(file, target, changes)


def told(name: str, wanted: bool, found: Equivalence | InsourceError) -> str:
    if isinstance(found, InsourceError):
        return f"{name}: refused, {found.message}" + ("   WRONG" if wanted else "")
    figures = (
        f"prompts {found.same_prompts}, token ids {found.same_tokens}, answers {found.same_answers} of {found.probes}, "
        f"log-probabilities differ by {found.median_logprob_change}"
    )
    verdict = "passed" if found.reason is None else f"refused: {found.reason}"
    return f"{name}: {verdict} ({figures})" + ("" if wanted == (found.reason is None) else "   WRONG")


async def main() -> None:
    folder, data = Path(sys.argv[1]), data_folder()
    if data is None:
        print("skipped: shared data not found")
        return
    trained = trained_of(json.loads((folder / "training" / "result.json").read_text(encoding="utf-8"))["trained"])
    requests = [row.request for row in banking(data)[1][: len(trained.probes)]]
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        work, adapter = Path(name), folder / "adapter.gguf"
        base = widen(default_model(), work / "base.gguf").path
        merge(base, adapter, work / "merged.gguf")
        merged = read_gguf(work / "merged.gguf")
        lines.append(told("adapter over F16", True, await gate(base, requests, trained, adapter=adapter)))
        lines.append(told("merged into F16", True, await gate(merged.path, requests, trained)))
        template = other_template(merged, work / "template.gguf")
        lines.append(told("another template", False, await gate(template, requests, trained)))
        lines.append(told("lost end", False, await gate(lost_end(merged, work / "end.gguf"), requests, trained)))
        lines.append(told("scale 0", False, await gate(base, requests, trained, adapter=adapter, scale=0.0)))
        small = quantize(merged.path, work / "small.gguf", "Q4_0").path
        lines.append(told("merged in four bits", False, await gate(small, requests, trained)))
        lines.append(told("truncated", False, await truncated(merged.path, requests, trained)))
    told_all = "\n".join(lines)
    print(told_all)
    (RESULTS / "export_gate.txt").write_text(told_all + "\n", encoding="utf-8")


async def truncated(path: Path, requests: Sequence[JsonObject], trained: Trained) -> Equivalence | InsourceError:
    os.truncate(path, os.path.getsize(path) - 1000)  # noqa: ASYNC240, PTH202 - nothing else runs meanwhile
    try:
        read_gguf(path)
        return await gate(path, requests, trained)
    except InsourceError as error:
        return error


if __name__ == "__main__":
    asyncio.run(main())
