"""`insource quantize` on a task: what each file costs on its own requests, and which one is recommended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.files.gguf import read_gguf
from insource.adapt.quantize.convert import Converted
from insource.adapt.quantize.divergence import Divergence
from insource.adapt.quantize.importance import write_importance
from insource.core.fakes import FakeEngine, json_reply
from insource.core.ports import Call, Reply
from insource.core.values import EngineSettings, ModelFile
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.quantize import (
    Flips,
    Quant,
    Smaller,
    _apart,  # pyright: ignore[reportPrivateUsage] - the split decides what a figure is worth
    quantize_model,
    quants_json,
    recommended,
)
from tests.fakes.evaluating import evaluating, only_task
from tests.fakes.traffic import engine_that, exchanges, label_of
from tests.quantize_models import Shape, with_weights


def quant(name: str, size_bytes: int, loss_upper: float) -> Quant:
    made = Converted(path=Path(name), size_bytes=size_bytes, sha256=name, seconds=0.0, tensors={})
    flips = Flips(n=100, same=100, worse=0, better=0)
    divergence = Divergence(positions=1, mean=0.0, p99=0.0, same_top=1)
    return Quant(type_name=name, file=made, flips=flips, divergence=divergence, loss_upper=loss_upper)


@given(st.lists(st.tuples(st.integers(1, 1_000), st.floats(0, 1)), max_size=6, unique_by=lambda pair: pair[0]))
def test_the_smallest_whose_loss_is_bounded_is_recommended(files: list[tuple[int, float]]) -> None:
    rows = [quant(str(at), size_bytes, loss) for at, (size_bytes, loss) in enumerate(files)]
    chosen = recommended(rows, margin=0.05)
    bounded = sorted(size_bytes for size_bytes, loss in files if loss <= 0.05)
    assert (chosen is None) is (not bounded)
    assert chosen is None or files[int(chosen)][0] == bounded[0]


def server(says: Callable[[str], str]) -> Callable[[Call], Reply]:
    chat = engine_that(says)

    def answer(call: Call) -> Reply:
        if call.path == "/apply-template":
            return json_reply({"prompt": "hello"})
        if call.path == "/tokenize":
            return json_reply({"tokens": [1, 2, 3]})
        if call.path == "/completion":
            top = [{"id": 5, "logprob": -0.1}, {"id": 6, "logprob": -3.0}]
            first = {"id": 5, "logprob": -0.1, "top_logprobs": top}
            return json_reply({"tokens": [5, 6], "completion_probabilities": [first]})
        return chat(call)

    return answer


async def test_a_file_that_answers_otherwise_is_not_recommended(tmp_path: Path) -> None:
    pytest.importorskip("libgguf")
    source = tmp_path / "model.gguf"
    with_weights(source, Shape(layers=2))
    asked: list[str] = []

    def engine(file: ModelFile, settings: EngineSettings) -> FakeEngine:
        asked.append(file.path.name)
        spoilt = "Q4_0" in file.path.name
        return FakeEngine(server(lambda text: "card" if spoilt else label_of(text)))

    with evaluating(tmp_path / "home", margin=0.05) as (opened, _):
        services = replace(opened, make_engine=engine)
        services.exchanges.append(exchanges(300))
        find_tasks(services)
        wanted = Smaller(folder=tmp_path / "out", types=("Q8_0", "Q4_0"), requests=150)
        file = ModelFile(ref="fake", path=source, sha256="x", size_bytes=1, source="file")
        found = await quantize_model(services, only_task(services), file, wanted=wanted)
        assert found.recommended == "Q8_0"
        whole, spoilt = found.rows
        assert whole.flips == Flips(n=150, same=150, worse=0, better=0)
        assert whole.loss_upper < 0.05 < spoilt.loss_upper
        assert spoilt.flips.worse > 50
        assert spoilt.flips.mcnemar_p < 0.001
        assert spoilt.file.size_bytes < whole.file.size_bytes < found.original_bytes
        assert whole.divergence.mean == 0
        json.dumps(quants_json(found))
        assert len(asked) == 3


async def test_a_matrix_of_importance_changes_the_file_and_its_name(tmp_path: Path) -> None:
    pytest.importorskip("libgguf")
    source, matrix = tmp_path / "model.gguf", tmp_path / "task.imatrix.gguf"
    with_weights(source, Shape(layers=1))
    columns = {tensor.name: tensor.row_elements for tensor in read_gguf(source).tensors if len(tensor.shape) == 2}
    write_importance(matrix, {name: np.arange(n, dtype=np.float32) ** 2 for name, n in columns.items()}, tokens=1)
    written: dict[str, str] = {}
    with evaluating(tmp_path / "home") as (opened, _):
        services = replace(opened, make_engine=lambda file, settings: FakeEngine(server(label_of)))
        services.exchanges.append(exchanges(60))
        find_tasks(services)
        file = ModelFile(ref="fake", path=source, sha256="x", size_bytes=1, source="file")
        for importance in (None, matrix):
            wanted = Smaller(folder=tmp_path / "out", types=("Q4_0",), requests=20, importance=importance)
            (row,) = (await quantize_model(services, only_task(services), file, wanted=wanted)).rows
            written[row.file.path.name] = row.file.sha256
    assert list(written) == ["model-Q4_0.gguf", "model-Q4_0-imatrix.gguf"]
    assert len(set(written.values())) == 2


@given(st.integers(1, 500), st.integers(20, 300))
def test_what_a_file_is_compared_on_did_not_shape_it(size: int, most: int) -> None:
    examples: list[Any] = list(range(size))
    compared, shaping = _apart(examples, most)
    assert compared
    assert len(compared) <= most
    assert not set(compared) & set(shaping)
    assert len(shaping) >= min(16, size // 2 - 1)
