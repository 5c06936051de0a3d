"""Several adapters over one worker: each request carries the scales of all, whoever sent it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.files.gguf import Tensor, f32, read_gguf, text, write_gguf
from insource.core.errors import UsageError
from insource.core.ports import Call, Engine, Reply
from insource.core.values import EngineSettings, EngineState, ModelFile
from insource.engines.adapters import AdaptedEngine, Scales, with_scales
from insource.engines.llamacpp import LlamaCppEngine

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=6), _JSON, max_size=5), st.integers(1, 4), st.data())
def test_a_body_says_every_adapter_and_nothing_else_changes(body: dict[str, Any], count: int, data: Any) -> None:
    chosen = data.draw(st.dictionaries(st.integers(0, count - 1), st.floats(0, 2)))
    body = {**body, "lora": [{"id": 0, "scale": 9}]}
    sent = json.loads(with_scales(json.dumps(body).encode(), chosen, adapters=count))
    told = sent.pop("lora")
    assert [one["id"] for one in told] == list(range(count))
    assert [one["scale"] for one in told] == [chosen.get(at, 0.0) for at in range(count)]
    body.pop("lora")
    assert sent == body


@given(st.binary(max_size=20))
def test_what_is_no_object_goes_out_as_it_came(body: bytes) -> None:
    try:
        is_object = isinstance(json.loads(body), dict)
    except ValueError:
        is_object = False
    if not is_object:
        assert with_scales(body, {0: 1.0}, adapters=1) == body


class _Shared:
    """An engine that writes down what it is asked for."""

    name, model, state, is_here = "engine:test", "base", EngineState.READY, True
    honours: frozenset[Any] = frozenset()
    adapters = ("a", "b")

    def __init__(self) -> None:
        self.scales: list[Scales] = []
        self.stopped = 0

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped += 1

    async def close(self) -> None:
        self.stopped += 1

    async def send(self, call: Call) -> Reply:
        return await self.send_scaled(call, {})

    async def send_scaled(self, call: Call, scales: Scales) -> Reply:
        self.scales.append(scales)

        async def chunks() -> AsyncGenerator[bytes]:
            yield b"{}"

        return Reply(status=200, headers=(), chunks=chunks())


async def test_a_view_asks_for_its_adapter_and_never_stops_what_it_shares() -> None:
    shared = _Shared()
    one, other = AdaptedEngine(shared, "a"), AdaptedEngine(shared, "b", scale=0.5)
    for engine in (one, other, shared):
        await engine.send(Call(path="/v1/chat/completions"))
    assert shared.scales == [{0: 1.0}, {1: 0.5}, {}]
    assert (one.model, other.model, one.is_here) == ("base+a", "base+b", shared.is_here)
    await one.stop()
    await other.close()
    assert shared.stopped == 0
    with pytest.raises(UsageError, match=r"no adapter 'c' \(it has: a, b\)"):
        AdaptedEngine(shared, "c")


def _adapter(base: Path, target: Path, seed: int) -> Path:
    """On the attention's output alone, strong enough to change what is said."""
    file, rng = read_gguf(base), np.random.default_rng(seed)
    data: list[Any] = []
    for tensor in file.tensors:
        if tensor.name.endswith("attn_output.weight"):
            inputs, outputs = tensor.shape
            for suffix, rows, columns in (("lora_a", 2, inputs), ("lora_b", outputs, 2)):
                values = (rng.normal(size=(rows, columns)) * 0.15).astype("<f4").reshape(-1).view(np.uint8)
                data.append((Tensor(name=f"{tensor.name}.{suffix}", shape=(columns, rows), type_name="F32"), values))
    facts = {"general.type": text("adapter"), "adapter.type": text("lora"), "adapter.lora.alpha": f32(8.0)}
    write_gguf(target, {"general.architecture": text(file.architecture), **facts}, data)
    return target


async def _said(engine: Engine, prompt: str, **fields: Any) -> str:
    body = {"prompt": prompt, "n_predict": 4, "temperature": 0, "cache_prompt": True, **fields}
    reply = await engine.send(Call(path="/completion", body=json.dumps(body).encode()))
    return json.loads(await reply.read())["content"]


@pytest.mark.engine
async def test_two_adapters_interleaved_answer_as_each_alone(default_model_path: Path, tmp_path: Path) -> None:
    paths = {name: _adapter(default_model_path, tmp_path / f"{name}.gguf", at) for at, name in enumerate("ab")}
    model = ModelFile(ref="test/model", path=default_model_path, sha256="0" * 64, size_bytes=1, source="file")
    engine = LlamaCppEngine(model, EngineSettings(context_tokens=256, slots=1, threads=1), adapters=paths)
    await engine.start()
    try:
        askers: list[Engine] = [AdaptedEngine(engine, "a"), engine, AdaptedEngine(engine, "b")]
        prompts = ("The sea is", "The sea is wide and", "A cat")
        alone = [[await _said(one, prompt, cache_prompt=False) for prompt in prompts] for one in askers]
        mixed = [[await _said(one, prompt) for one in askers] for prompt in (*prompts, *prompts)]
        assert len({tuple(row) for row in alone}) == 3
        assert mixed == [[row[at % 3] for row in alone] for at in range(6)]
        forged = await _said(engine, prompts[0], lora=[{"id": 0, "scale": 1.0}])
        assert forged == alone[1][0]
    finally:
        await engine.stop()
