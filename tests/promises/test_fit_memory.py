"""The memory formulas against llama.cpp's own allocator for every model with all settings; `make test` asks half."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

import pytest

from tests.oracle.cases import CASES
from tests.oracle.truth import HALF_OF_THE_RUNS, RUNS, compare_all

AT_LENGTH = int(os.environ.get("INSOURCE_PROMISE_CASES", "300")) >= 10_000

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_the_half_holds_every_value_of_every_setting() -> None:
    assert set(HALF_OF_THE_RUNS) < set(RUNS)
    for name in ("context_tokens", "cache_type_k", "slots"):
        assert {getattr(run, name) for run in HALF_OF_THE_RUNS} == {getattr(run, name) for run in RUNS}


@pytest.mark.skipif(not AT_LENGTH, reason="skipped: half a minute of a core; `make promises` runs it")
def test_every_model_with_all_settings(tmp_path: Path) -> None:
    rows = compare_all(CASES, tmp_path, RUNS)
    assert len(rows) >= 360
    assert not {row.label for row in rows if row.predicted.unknown}
    assert not {row.label for row in rows if row.predicted.weights_bytes != row.truth.weights_bytes}
    assert {row.label: row.kv_error for row in rows if abs(row.kv_error) > 0.01} == {}
    assert median(abs(row.total_error) for row in rows) <= 0.01
    assert {row.label: row.total_error for row in rows if abs(row.total_error) > 0.03} == {}
