"""Blobs that only Ollama's own build can load, tried with the real engine."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from insource.cli.session import load_settings
from insource.core.errors import BadModelFile, EngineFailed
from insource.core.values import EngineSettings, ModelFile
from insource.engines.llamacpp import LlamaCppEngine
from insource.engines.models.gguf import read_header
from insource.wiring import open_models
from insource.workflows.files import models
from insource.workflows.files.import_model import import_model
from insource.workflows.files.model_stores import list_models, try_model, try_models
from tests.fakes.gguf_writer import text
from tests.fakes.stores import FakeOllama, layer, sha256

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def with_a_projectors_tensor(model: bytes, path: Path) -> bytes:
    """As Ollama converts vision models: the projector's tensors stand among the language model's, in one file, which
    llama.cpp refuses ("wrong number of tensors", ggml-org/llama.cpp #27349)."""
    header = read_header(path)
    last = header.tensors[-1]
    at = model.index(text(last.name)) + len(text(last.name)) + 4 + 8 * len(last.shape) + 4 + 8
    extra_at = header.file_size_bytes - header.data_start_bytes
    extra_at += -extra_at % 32
    entry = text("v.patch_embd.weight") + struct.pack("<IQIQ", 1, 32, 0, extra_at)
    count = struct.pack("<Q", len(header.tensors) + 1)
    head = model[:8] + count + model[16:at] + entry
    data = model[header.data_start_bytes :]
    return head + bytes(-len(head) % 32) + data + bytes(extra_at - len(data)) + bytes(128)


def test_what_llamacpp_refuses_is_marked_and_what_it_loads_too(default_model_path: Path, tmp_path: Path) -> None:
    fake = FakeOllama(tmp_path / "ollama_models")
    plain = default_model_path.read_bytes()
    vision = with_a_projectors_tensor(plain, default_model_path)
    for name, data in (("smol", plain), ("vision", vision)):
        fake.pull(f"{name}/latest", data)
    fake.manifest(
        "registry.ollama.ai/library/twin/latest",
        fake.manifest_of([layer("model", f"sha256:{sha256(vision)}", len(vision))]),
    )
    opened = open_models(load_settings())
    assert {row.model.problem for row in list_models(opened).models} == {None}, "no header tells them apart"
    assert {row.trial for row in list_models(opened).models} == {None}
    assert asyncio.run(try_models(opened)) == ()
    rows = {row.model.ref: row.trial for row in list_models(open_models(load_settings())).models}
    smol, seen, twin = rows["ollama:smol:latest"], rows["ollama:vision:latest"], rows["ollama:twin:latest"]
    assert smol is not None
    assert (smol.runs, smol.reason) == (True, "")
    assert seen is not None
    assert not seen.runs
    assert "wrong number of tensors; expected 273, got 272" in seen.reason
    assert twin == seen, "by the hash: two names of one blob are tried once"
    with pytest.raises(BadModelFile, match="Our engine can't load"):
        asyncio.run(import_model("ollama:vision", opened))
    assert asyncio.run(import_model("ollama:smol", opened)).linked


def test_an_engine_that_fails_for_another_reason_says_nothing_about_the_file(
    default_model_path: Path, tmp_path: Path
) -> None:
    opened = open_models(load_settings())
    file = models.pull(f"file:{default_model_path}", opened.sources, cache=opened.cache)

    def hurried(model: ModelFile, wanted: EngineSettings) -> LlamaCppEngine:
        return LlamaCppEngine(model, wanted, restarts=0, start_seconds=0.001)

    with pytest.raises(EngineFailed):
        asyncio.run(try_model(file, replace(opened, make_engine=hurried)))
    assert opened.trials.of(file.sha256) is None
