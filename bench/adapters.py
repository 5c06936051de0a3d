"""Adapters: our files beside the upstream converter's, and two of them over one model with the prompt cache on.

    python bench/adapters.py [LLAMA_CPP_SOURCE]      prints a table and writes bench/results/adapters.txt

LLAMA_CPP_SOURCE is a folder with llama.cpp's convert_lora_to_gguf.py (the sdist of llama-cpp-python ships one; it needs
the extra `adapt`); without it the tensors are compared with those recorded in tests/golden/adapters. The two adapters
are random and strong, so that an answer with a trace of the other one's cache would differ.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.adapt_data import RESULTS, Patient, default_model, engine_settings, model_file, share
from tests.adapter_models import MODELS, config, write_peft
from tests.golden.adapters.write import tensors_of, upstream

from insource.adapt.files.gguf import Bytes, Tensor, f32, read_gguf, text, write_gguf
from insource.adapt.lora.to_gguf import facts_of_config, write_adapter
from insource.core.ports import Call, Upstream
from insource.core.values import JsonObject
from insource.engines.adapters import AdaptedEngine
from insource.engines.llamacpp import LlamaCppEngine
from insource.wire.chat import answer_text

_REQUESTS = 200
_RANK = 4
_SUBJECTS = ("tea", "the tides", "a lost key", "winter tyres", "an old bridge", "bread", "a night train", "moss")


def files(source: Path | None) -> list[str]:
    golden: Any = json.loads((Path(__file__).parents[1] / "tests/golden/adapters/tensors.json").read_text())
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for at, name in enumerate(MODELS):
            peft = write_peft(Path(folder) / str(at), name)
            write_adapter(peft, peft / "ours.gguf", facts_of_config(config(name)))
            theirs = golden[name]["tensors"]
            if source is not None:
                upstream(source, peft, peft / "theirs.gguf")
                theirs = tensors_of(peft / "theirs.gguf")
            ours = tensors_of(peft / "ours.gguf")
            equal = sum(ours.get(key) == value for key, value in theirs.items())
            lines.append(f"{name}: {equal} of {len(theirs)} tensors equal, {len(ours.keys() - theirs.keys())} more")
    where = "recorded of the upstream converter" if source is None else "the upstream converter, run here"
    return [f"adapter files beside {where}:", *lines]


def random_adapter(base: Path, target: Path, *, seed: int) -> Path:
    """On every attention and feed-forward matrix, strong enough to change most answers."""
    file = read_gguf(base)
    rng = np.random.default_rng(seed)
    data: list[tuple[Tensor, Bytes]] = []
    for tensor in file.tensors:
        if not tensor.name.startswith("blk.") or len(tensor.shape) != 2:
            continue
        inputs, outputs = tensor.shape
        for suffix, rows, columns in (("lora_a", _RANK, inputs), ("lora_b", outputs, _RANK)):
            values = (rng.normal(size=(rows, columns)) * 0.05).astype("<f4")
            part = Tensor(name=f"{tensor.name}.{suffix}", shape=(columns, rows), type_name="F32")
            data.append((part, values.reshape(-1).view(np.uint8)))
    facts = {"general.type": text("adapter"), "adapter.type": text("lora"), "adapter.lora.alpha": f32(8.0)}
    write_gguf(target, {"general.architecture": text(file.architecture), **facts}, data)
    return target


def conversation(draw: random.Random) -> JsonObject:
    """Conversations that begin alike, so that a slot's cache is taken up again and again."""
    system = {"role": "system", "content": "You answer in one short sentence about everyday things."}
    turns = [{"role": "user", "content": f"Tell me about {draw.choice(_SUBJECTS)}."}]
    if draw.random() < 0.5:
        turns += [
            {"role": "assistant", "content": "It is older than most people think."},
            {"role": "user", "content": f"And what of {draw.choice(_SUBJECTS)}?"},
        ]
    return {"messages": [system, *turns], "temperature": 0, "max_tokens": 12, "cache_prompt": True}


async def answer(engine: Upstream, request: JsonObject) -> str:
    reply = await Patient(engine).send(Call(path="/v1/chat/completions", body=json.dumps(request).encode()))
    return answer_text(json.loads(await reply.read())) or ""


async def alone(base: Path, adapter: Path | None, requests: Sequence[JsonObject]) -> list[str]:
    """Each request to a worker that has this adapter only, and keeps no cache."""
    engine = LlamaCppEngine(model_file(base), engine_settings(1), adapters={} if adapter is None else {"one": adapter})
    await engine.start()
    try:
        asker: Upstream = engine if adapter is None else AdaptedEngine(engine, "one")
        return [await answer(asker, {**request, "cache_prompt": False}) for request in requests]
    finally:
        await engine.stop()


async def interleaved(base: Path, adapters: Sequence[Path]) -> list[str]:
    draw = random.Random(0)
    asked = [(draw.randrange(3), conversation(draw)) for _ in range(_REQUESTS)]
    expected: dict[int, list[str]] = {}
    for which, adapter in enumerate((*adapters, None)):
        mine = [request for chosen, request in asked if chosen == which]
        expected[which] = await alone(base, adapter, mine)
    engine = LlamaCppEngine(
        model_file(base), engine_settings(1), adapters={f"adapter {at}": path for at, path in enumerate(adapters)}
    )
    await engine.start()
    try:
        askers: list[Upstream] = [*(AdaptedEngine(engine, name) for name in engine.adapters), engine]
        began = time.monotonic()
        found = [await answer(askers[which], request) for which, request in asked]
        seconds = time.monotonic() - began
    finally:
        await engine.stop()
    wanted = {which: iter(answers) for which, answers in expected.items()}
    same = sum(one == next(wanted[which]) for (which, _), one in zip(asked, found, strict=True))
    different = len({*zip(expected[0], expected[1], strict=False)}) and sum(
        one != other for one, other in zip(expected[0], expected[1], strict=False)
    )
    return [
        f"two adapters and the bare model over one worker, {_REQUESTS} requests interleaved, prompt cache on: answers "
        f"equal to each alone {share(same, _REQUESTS)}; {seconds:.0f} s",
        f"(the two adapters' answers differ in {different} of {min(len(expected[0]), len(expected[1]))} pairs)",
    ]


async def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    base = default_model()
    lines = files(source)
    with tempfile.TemporaryDirectory() as folder:
        made = [random_adapter(base, Path(folder) / f"{seed}.gguf", seed=seed) for seed in (1, 2)]
        lines += await interleaved(base, made)
    text_ = "\n".join(lines)
    print(text_)
    (RESULTS / "adapters.txt").write_text(text_ + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
