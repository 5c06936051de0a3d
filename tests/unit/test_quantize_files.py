"""Conversions of model files: the engine's own bytes, whole or not at all, and the same after a kill."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.adapt.files.gguf import GgufFile, Tensor, laid_out, read_gguf, text, texts, u32, write_gguf
from insource.adapt.quantize.convert import as_floats, quantize, widen
from insource.adapt.quantize.policy import FILE_TYPES
from insource.core.errors import BadInput, BadModelFile, UsageError
from insource.core.ggml_types import type_number
from tests.quantize_models import Shape, with_weights

SMALL = Shape(layers=1, width=256, inner=256, heads=4, kv_heads=2, vocabulary=32)
MIXED = Shape(layers=1, width=288, inner=256, heads=9, kv_heads=3, tied=True, vocabulary=32)
QUICK = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_1", "Q4_K_M", "Q4_1", "IQ4_XS", "Q3_K_M", "Q2_K")
"""The others take their time to set up; bench/quantize.py has them all."""


@pytest.fixture(scope="module")
def engine_ggml() -> Any:
    """ggml as it is inside the engine. A private way to it, for tests alone: the wheel's version is pinned."""
    import xllamacpp

    library = ctypes.CDLL(str(next(Path(str(xllamacpp.__file__)).parent.glob("*.so"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    return library


def importance_of(file: GgufFile) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        tensor.name: rng.random(tensor.row_elements, dtype=np.float32) + 0.01
        for tensor in file.tensors
        if len(tensor.shape) > 1 and tensor.name.startswith("blk")
    }


def by_engine(ggml: Any, source: GgufFile, made: Tensor, columns: Any) -> bytes:
    old = source.find(made.name)
    assert old is not None
    floats = np.ascontiguousarray(as_floats(source.data(old), old.type_name, old.row_elements))
    target = np.zeros(made.size_bytes, dtype=np.uint8)
    weights = None if columns is None else columns.ctypes.data
    number = type_number(made.type_name)
    ggml.ggml_quantize_chunk(number, floats.ctypes.data, target.ctypes.data, 0, *floats.shape, weights)
    return target.tobytes()


@pytest.mark.parametrize("shape", [SMALL, MIXED])
@pytest.mark.parametrize("name", QUICK)
def test_every_byte_is_what_the_engines_ggml_makes(name: str, shape: Shape, tmp_path: Path, engine_ggml: Any) -> None:
    source = tmp_path / "model.gguf"
    with_weights(source, shape)
    file = read_gguf(source)
    for importance in (importance_of(file), {}):
        done = quantize(source, tmp_path / "made.gguf", name, importance=importance)
        made = read_gguf(done.path)
        assert made.value("general.file_type") == FILE_TYPES[name].number
        for tensor in made.tensors:
            if tensor.type_name != "F32":
                expected = by_engine(engine_ggml, file, tensor, importance.get(tensor.name))
                assert made.data(tensor).tobytes() == expected, tensor.name


def test_experts_are_rounded_by_their_own_importance(tmp_path: Path, engine_ggml: Any) -> None:
    source = tmp_path / "model.gguf"
    with_weights(source, Shape(layers=1, inner=256, experts=4, vocabulary=32))
    file = read_gguf(source)
    name = "blk.0.ffn_up_exps.weight"
    columns = np.random.default_rng(0).random(4 * 256, dtype=np.float32) + 0.01
    quantize(source, tmp_path / "made.gguf", "Q4_K_M", importance={name: columns})
    made, old = read_gguf(tmp_path / "made.gguf"), file.find(name)
    tensor = made.find(name)
    assert tensor is not None
    assert old is not None
    floats = as_floats(file.data(old), "F16", 256).reshape(4, 256, 256)
    target = np.zeros(tensor.size_bytes // 4, dtype=np.uint8)
    parts = b""
    for expert in range(4):
        one, own = np.ascontiguousarray(floats[expert]), columns[expert * 256 : (expert + 1) * 256].copy()
        engine_ggml.ggml_quantize_chunk(
            type_number(tensor.type_name), one.ctypes.data, target.ctypes.data, 0, 256, 256, own.ctypes.data
        )
        parts += target.tobytes()
    assert made.data(tensor).tobytes() == parts


_KILLED = """
import os, signal, sys
from pathlib import Path
from insource.adapt.quantize.convert import quantize
calls = []
def stop(done, total):
    calls.append(done)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
quantize(Path(sys.argv[1]), Path(sys.argv[2]), "Q4_K_M", progress=stop)
"""


@pytest.mark.parametrize("calls", [1, 9])
def test_a_killed_conversion_goes_on_where_it_was(calls: int, tmp_path: Path) -> None:
    source, target = tmp_path / "model.gguf", tmp_path / "made.gguf"
    with_weights(source, SMALL)
    whole = quantize(source, tmp_path / "whole.gguf", "Q4_K_M")
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(source), str(target), str(calls)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    done: list[int] = []
    again = quantize(source, target, "Q4_K_M", progress=lambda at, total: done.append(at))
    assert again.sha256 == whole.sha256
    assert len(done) == len(read_gguf(target).tensors) - calls
    assert not list(tmp_path.glob(".*.partial"))


def test_a_partial_file_of_other_weights_is_not_gone_on_with(tmp_path: Path) -> None:
    source, target = tmp_path / "model.gguf", tmp_path / "made.gguf"
    with_weights(source, SMALL)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(source, target, "Q8_0", progress=stop)
    other = bytearray(source.read_bytes())
    other[-1] ^= 1
    source.write_bytes(other)
    assert quantize(source, target, "Q8_0").sha256 == quantize(source, tmp_path / "whole.gguf", "Q8_0").sha256


def test_what_would_lose_twice_or_make_noise_is_refused(tmp_path: Path) -> None:
    source, small = tmp_path / "model.gguf", tmp_path / "small.gguf"
    with_weights(source, SMALL)
    quantize(source, small, "Q4_0")
    with pytest.raises(BadInput, match="already"):
        quantize(small, tmp_path / "x.gguf", "Q2_K")
    with pytest.raises(BadInput, match="importance matrix"):
        quantize(source, tmp_path / "x.gguf", "Q2_K_S")
    with pytest.raises(BadInput, match="255 values; 256"):
        quantize(source, tmp_path / "x.gguf", "Q4_0", importance={"blk.0.ffn_up.weight": np.ones(255, np.float32)})
    with pytest.raises(UsageError, match="Q4_K_XXL"):
        quantize(source, tmp_path / "x.gguf", "Q4_K_XXL")


def test_a_value_beyond_16_bit_is_refused_and_none_is_lost_in_silence(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    tensor = Tensor(name="blk.0.ffn_up.weight", shape=(32, 2), type_name="F32")
    values = np.full(64, 70_000, dtype="<f4")
    write_gguf(source, {"general.architecture": text("llama")}, [(tensor, values.view(np.uint8))])
    with pytest.raises(BadInput, match="70000"):
        widen(source, tmp_path / "x.gguf")
    assert quantize(source, tmp_path / "x.gguf", "BF16").tensors == {"BF16": 1}


@settings(max_examples=30)
@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused_wherever_it_ends(cut: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "model.gguf"
    with_weights(path, Shape(layers=1, width=32, inner=32, heads=1, kv_heads=1, vocabulary=8))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(cut * size))
    with pytest.raises(BadModelFile):
        read_gguf(path)


@settings(max_examples=30)
@given(
    texts_in=st.lists(st.text(max_size=12), max_size=6),
    number=st.integers(0, 2**32 - 1),
    shapes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), max_size=4),
)
def test_what_is_written_is_read_again(
    texts_in: list[str], number: int, shapes: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / "model.gguf"
    entries = {"general.architecture": text("llama"), "a": texts(texts_in), "b": u32(number)}
    data = [
        (Tensor(name=f"t{at}", shape=tuple(shape), type_name="F32"), np.arange(np.prod(shape), dtype="<f4"))
        for at, shape in enumerate(shapes)
    ]
    write_gguf(path, entries, [(tensor, values.view(np.uint8)) for tensor, values in data])
    file = read_gguf(path)
    assert (file.value("a"), file.value("b"), file.architecture) == (texts_in, number, "llama")
    assert file.tensors == laid_out(tensor for tensor, _ in data)
    for tensor, (_, values) in zip(file.tensors, data, strict=True):
        assert file.data(tensor).view("<f4").tolist() == values.tolist()
