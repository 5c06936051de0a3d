"""The memory formulas against llama.cpp's own allocator, live; the only frozen numbers are four reference values.

All settings of every model: tests/promises/test_fit_memory.py.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from insource.fit.memory import predict_memory
from insource.fit.values import RunSettings
from tests.oracle.cases import CASES, DEEPSEEK_V2_LITE, GEMMA_3_27B, QWEN3_8B, QWEN3_30B_A3B
from tests.oracle.facts import Case
from tests.oracle.truth import (
    HALF_OF_THE_RUNS,
    ODD_RUNS,
    Compared,
    compare,
    compare_all,
    cpu_machine,
    spec_of_header,
    truths,
)

pytestmark = [pytest.mark.engine, pytest.mark.slow]

_KV_ERROR = 0.01
_MEDIAN_ERROR = 0.01
_LARGEST_ERROR = 0.03


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[Compared]:
    return compare_all(CASES, tmp_path_factory.mktemp("headers"), HALF_OF_THE_RUNS)


def test_the_cases_cover_what_models_do() -> None:
    kinds = {case.kind for case in CASES}
    assert kinds >= {
        "dense", "GQA", "sliding window", "MLA", "hybrid", "recurrent", "MoE", "shared KV", "large vocabulary",
    }  # fmt: skip
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.arch for case in CASES}) >= 20


def test_everything_about_the_models_is_understood(compared: list[Compared]) -> None:
    assert not {row.case.name: row.predicted.unknown for row in compared if row.predicted.unknown}


def test_weights_are_exact(compared: list[Compared]) -> None:
    wrong = [row.label for row in compared if row.predicted.weights_bytes != row.truth.weights_bytes]
    assert wrong == []


def test_the_cache_is_within_a_percent_everywhere(compared: list[Compared]) -> None:
    wrong = {row.label: row.kv_error for row in compared if abs(row.kv_error) > _KV_ERROR}
    assert wrong == {}


def test_the_total_is_within_a_percent_in_the_median_and_three_at_most(compared: list[Compared]) -> None:
    errors = [abs(row.total_error) for row in compared]
    assert median(errors) <= _MEDIAN_ERROR
    wrong = {row.label: row.total_error for row in compared if abs(row.total_error) > _LARGEST_ERROR}
    assert wrong == {}


@pytest.mark.parametrize(
    ("case", "mebibytes"),
    [(QWEN3_8B, 4608), (QWEN3_30B_A3B, 3072), (GEMMA_3_27B, 3184), (DEEPSEEK_V2_LITE, 972)],
    ids=lambda value: value.name if isinstance(value, Case) else str(value),
)
def test_reference_values_at_32768_tokens(case: Case, mebibytes: int, tmp_path: Path) -> None:
    row = compare(case, tmp_path, [RunSettings(context_tokens=32_768, slots=1)])[0]
    assert row.predicted.kv_cache_bytes == row.truth.kv_cache_bytes == mebibytes << 20


def test_padding_batches_cache_types_and_plain_attention(tmp_path: Path) -> None:
    rows = compare_all(CASES, tmp_path, ODD_RUNS)
    assert {row.label: row.kv_error for row in rows if abs(row.kv_error) > _KV_ERROR} == {}
    assert {row.label: row.total_error for row in rows if abs(row.total_error) > _LARGEST_ERROR} == {}


@pytest.mark.parametrize(
    ("case", "run"),
    [
        (DEEPSEEK_V2_LITE, RunSettings(cache_type_k="q8_0", cache_type_v="f16")),
        (QWEN3_8B, RunSettings(cache_type_v="q8_0", flash_attention=False)),
        (DEEPSEEK_V2_LITE, RunSettings(cache_type_k="q8_0", cache_type_v="q8_0", flash_attention=False)),
    ],
    ids=["one cache in two types", "a quantised V cache without flash attention", "the same with MLA"],
)
def test_what_llama_cpp_refuses_is_not_said_to_fit(case: Case, run: RunSettings, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    with pytest.raises(RuntimeError, match="refuses"):
        truths(path, [run])
    assert predict_memory(spec_of_header(case, path), cpu_machine(), run).fits is None
