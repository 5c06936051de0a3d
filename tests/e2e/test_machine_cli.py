"""`insource machine` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from insource.cli.main import app
from insource.core.errors import BadInput, UsageError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["machine", *arguments], catch_exceptions=False)


def document(*arguments: str) -> dict[str, Any]:
    return json.loads(run(*arguments, "--json").stdout)


def test_json_has_the_values_of_the_machine_and_where_each_figure_comes_from() -> None:
    found = document()
    assert set(found) == {
        *("name", "devices", "cores", "cpu_features", "memory_limit", "disk_free_bytes", "assumed"),
        *("measured", "engine_error"),
    }
    cpu = found["devices"][-1]
    assert set(cpu) == {
        *("name", "description", "kind", "backend", "memory_total_bytes", "memory_free_bytes", "unified"),
        *("bandwidth_bytes_per_second", "matmul_flops"),
        "int8_ops",
        "generation",
    }
    assert found["name"] == "here"
    assert found["measured"] is None
    assert cpu["bandwidth_bytes_per_second"] is None
    assert 0 < cpu["memory_free_bytes"] <= cpu["memory_total_bytes"]


def test_unmeasured_it_says_so_and_how_to_measure() -> None:
    shown = run()
    assert "not measured" in shown.stdout
    assert "insource machine --measure" in shown.stderr


@pytest.mark.slow
def test_a_measurement_is_shown_with_its_spread_and_kept() -> None:
    assert run("--measure").exit_code == 0
    found = document()
    rate = found["devices"][-1]["bandwidth_bytes_per_second"]
    assert rate["source"] == "measured"
    measured = found["measured"]
    assert measured["bandwidth_bytes_per_second"]["median"] == rate["value"]
    assert measured["bandwidth_bytes_per_second"]["low"] <= rate["value"]
    assert found["devices"][-1]["matmul_flops"]["value"] == measured["matmul_flops"]["median"]
    assert measured["threads"] == found["cores"]
    assert "in 8 of 10 rounds" in run().stdout


def test_raw_is_what_ggml_and_the_system_said() -> None:
    raw = json.loads(run("--raw").stdout)
    assert raw["devices"][-1]["name"] == "CPU"
    assert {"memory_total", "memory_free", "type", "device_id", "caps"} <= set(raw["devices"][-1])
    assert raw["cores"] >= 1


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("rtx-4090", ["RTX 4090", "DDR5-5600 dual channel"]),
        ("2x h100", ["H100 SXM", "H100 SXM", "EPYC 9004 12-channel DDR5-4800"]),
        ("m4-max-64gb", ["M4 Max 40-core GPU", "M4 Max"]),
    ],
)
def test_a_machine_that_one_does_not_have(name: str, devices: list[str]) -> None:
    found = document(name)
    assert [device["description"] for device in found["devices"]] == devices
    assert found["assumed"]
    assert found["disk_free_bytes"] is None
    shown = run(name).stdout
    assert found["assumed"][0] in shown
    assert "table" in shown


def test_a_machine_file(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('memory_gb = 256\n[[device]]\nname = "rtx-3090"\ncount = 4\n')
    found = document(str(file))
    assert len(found["devices"]) == 5
    assert found["devices"][-1]["memory_total_bytes"] == 256 << 30


def test_wrong_calls_are_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be measured"):
        run("rtx-4090", "--measure")
    with pytest.raises(UsageError, match="can't be measured"):
        run("rtx-4090", "--raw")
    with pytest.raises(UsageError, match="No such file"):
        run(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="RTX 4090"):
        run("rtx-4091")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not text"):
        run(str(binary))
