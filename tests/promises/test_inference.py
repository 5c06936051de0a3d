"""Inference over the whole real file: minutes of learning, so only `make promises` waits for it. A third of it is
learned in tests/unit/test_hub_inference_data.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.hub.lineage.repair import CONFIDENCE
from tests.hub_hidden import hidden_half

CASES = int(os.environ.get("INSOURCE_PROMISE_CASES", "300"))

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(CASES < 10_000, reason="skipped: minutes; `make promises` runs it"),
]


def test_hidden_half_of_declared_edges(shared_data: Path) -> None:
    found = hidden_half(shared_data)
    assert found.precision >= 0.90
    assert found.recall >= 0.18


def test_learned_edges_stand_beside_the_declared_ones(shared_data: Path, tmp_path: Path) -> None:
    file, out = str(shared_data / "hub" / "hub_stats_frozen.parquet"), tmp_path / "edges.parquet"
    asked = ["hub", "edges", "--out", str(out), "--inferred", "--from", file, "--json"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0
    both = json.loads(done.stdout)
    assert both["edges"] == 5511 + both["by_evidence"]["inferred"]
    found = duckdb.connect().execute("SELECT child, confidence FROM read_parquet(?)", [str(out)]).fetchall()
    declared = {child for child, confidence in found if confidence >= min(CONFIDENCE.values())}
    assert len({child for child, _ in found}) - len(declared) <= both["by_evidence"]["inferred"]
