"""The deciding parts of the engines: pure functions, no process and no server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.ports import Demand
from insource.core.values import EngineSettings, ModelFile
from insource.engines.external import choose_model, offered_models, with_model
from insource.engines.llamacpp import LlamaCppEngine, load_failure
from insource.engines.process import Ring, WorkerLimits, backoff_seconds, crashes_in_a_row, how_it_ended
from insource.engines.worker import WorkerParameters, parse_parameters, usable_cores
from tests.fakes.gguf_writer import Value, gguf_bytes

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _JSON, max_size=4), st.text())
def test_with_model_sets_the_model_and_nothing_else(fields: dict[str, Any], model: str) -> None:
    body = json.dumps(fields).encode()
    changed = with_model(body, model)
    assert json.loads(changed) == {**fields, "model": model}
    assert with_model(changed, model) is changed


@given(st.binary())
def test_with_model_leaves_what_is_no_object(body: bytes) -> None:
    try:
        is_object = isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        assert with_model(body, "m") == body


def test_with_model_keeps_how_values_are_written() -> None:
    assert with_model(b'{"model": "a", "t": 1.0, "n": 12345678901234567890123}', "b") == (
        b'{"model":"b","t":1.0,"n":12345678901234567890123}'
    )


@pytest.mark.parametrize(
    ("metadata", "honours"),
    [
        ({"tokenizer.chat_template": "{% if tools %}{{ tools | tojson }}{% endif %}"}, {"tools"}),
        ({"tokenizer.chat_template": "{{ messages }}"}, set[Demand]()),
        ({"tokenizer.chat_template": 7}, set[Demand]()),
        ({}, set[Demand]()),
    ],
)
def test_llamacpp_takes_tools_where_the_models_template_has_a_place_for_them(
    tmp_path: Path, metadata: dict[str, Value], honours: set[Demand]
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf_bytes(metadata))
    assert _engine_of(file).honours == honours


def test_a_model_file_that_can_not_be_read_honours_nothing(tmp_path: Path) -> None:
    assert _engine_of(tmp_path / "gone.gguf").honours == set()


def _engine_of(path: Path) -> LlamaCppEngine:
    file = ModelFile(ref="test/model", path=path, sha256="0" * 64, size_bytes=1, source="file")
    return LlamaCppEngine(file, EngineSettings())


@given(_JSON)
def test_offered_models_reads_any_json(listing: Any) -> None:
    assert offered_models(listing) == [] or isinstance(listing, dict)


def test_choose_model() -> None:
    assert choose_model(None, ["a", "b"]) == "a"
    assert choose_model("b", ["a", "b"]) == "b"
    assert choose_model("b", ["a", "b:latest"]) == "b:latest"
    assert choose_model("c", ["a"]) is None
    assert choose_model(None, []) is None


def test_load_failure_takes_the_most_telling_line() -> None:
    log = [
        "0.00.003 E gguf_init_from_reader: failed to read key-value pairs",
        "0.00.004 E llama_model_load: error loading model: llama_model_loader: failed to load model",
        "0.00.005 I srv: cleaning up",
    ]
    assert load_failure(log) == "failed to read key-value pairs"
    assert load_failure(log[1:]) == "error loading model: llama_model_loader: failed to load model"
    assert load_failure(["Killed"]) is None


@given(st.text(), st.integers(1, 10**6), st.none() | st.integers(1, 64))
def test_parameters_survive_their_line(text: str, number: int, threads: int | None) -> None:
    parameters = WorkerParameters(
        model_path=text,
        alias=text,
        context_tokens=number,
        slots=number,
        threads=threads,
        seed=number,
        key=text,
        lora_paths=(text,),
    )
    line = parameters.line()
    assert line.count(b"\n") == 1
    assert parse_parameters(line) == parameters


def test_usable_cores_are_some_and_no_more_than_there_are() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@given(st.lists(st.binary(max_size=80)), st.integers(1, 5), st.integers(1, 20))
def test_the_ring_holds_the_last_lines_however_they_arrive(chunks: list[bytes], lines: int, line_bytes: int) -> None:
    ring = Ring(lines, line_bytes)
    for chunk in chunks:
        ring.feed(chunk)
    split = b"".join(chunks).split(b"\n")
    whole = split if split[-1] else split[:-1]
    expected = [line[:line_bytes].decode(errors="replace").rstrip("\r") for line in whole[-lines:]]
    assert ring.lines() == expected


@given(st.integers(1, 10_000))
def test_back_off_doubles_up_to_its_longest(crashes: int) -> None:
    limits = WorkerLimits(backoff_seconds=0.5, longest_backoff_seconds=30.0)
    assert backoff_seconds(1, limits) == 0.5
    assert backoff_seconds(crashes + 1, limits) == min(30.0, 2 * backoff_seconds(crashes, limits))


@given(st.integers(0, 100), st.floats(0, 1e6))
def test_crashes_count_in_a_row(before: int, ready_seconds: float) -> None:
    counted = crashes_in_a_row(before, ready_seconds=ready_seconds, limits=WorkerLimits(good_seconds=60.0))
    assert counted == (1 if ready_seconds >= 60.0 else before + 1)


def test_the_end_of_a_process_in_words() -> None:
    assert how_it_ended(-9) == "was killed by signal 9 (the kernel does that when memory runs out)"
    assert how_it_ended(-6) == "was killed by signal 6 (Aborted)"
    assert how_it_ended(3) == "ended with exit code 3"
    assert how_it_ended(-64).startswith("was killed by signal 64")
    assert how_it_ended(None) == "closed its output"
