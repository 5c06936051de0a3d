"""Processors and memories by name: what a name says, and that any other text says nothing."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.machine.processors import find_platform, vector_units

TABLE: dict[str, Any] = tomllib.loads(
    resources.files("insource.machine").joinpath("processors.toml").read_text(encoding="utf-8")
)
ROWS = [row for family in TABLE["family"] for row in family["processors"]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["pattern"][:40])
def test_a_row_is_possible(row: dict[str, Any]) -> None:
    re.compile(row["pattern"])
    assert row["simd"] in TABLE["simd"]
    assert 7 < row["bandwidth_gbs"] < 700
    assert 1 <= row["cores"] <= 192
    assert 1 < row["ghz"] < 5.5
    assert 1 <= row["memory_gb"] <= 512


@pytest.mark.parametrize(
    ("name", "bandwidth_gbs", "cores", "units"),
    [
        # memory channels x 8 bytes x the fastest memory that the maker names
        ("AMD Ryzen 7 7800X3D 8-Core Processor", 83.2, 8, "avx512_bf16"),
        ("AMD Ryzen 5 3600 6-Core Processor (znver2)", 51.2, 6, "avx2"),
        ("AMD FX(tm)-8320 Eight-Core Processor", 29.9, 8, "avx"),
        ("AMD Ryzen Threadripper PRO 7955WX 16-Cores", 332.8, 16, "avx512_bf16"),
        ("AMD EPYC 9454P 48-Core Processor", 460.8, 48, "avx512_bf16"),
        ("AMD EPYC 7B13 64-Core Processor", 204.8, 64, "avx2"),
        ("13th Gen Intel(R) Core(TM) i9-13900KS", 89.6, 8, "avx_vnni"),
        ("Intel(R) Core(TM) i7-4790 CPU @ 3.60GHz", 25.6, 4, "avx2"),
        ("Intel(R) Core(TM) i7-10750H CPU @ 2.60GHz", 46.9, 6, "avx2"),
        ("Intel(R) Core(TM)2 Duo CPU L9400 @ 1.86GHz", 8.5, 2, "sse"),
        ("Intel(R) Xeon(R) Platinum 8280 CPU @ 2.70GHz", 140.8, 24, "avx512_vnni"),
        ("Intel Xeon w5-3425", 307.2, 16, "amx_int8"),
        ("Apple M1 Ultra 16P+4E", 480, 16, "dotprod"),
        ("DDR4-2133 quad channel", 68.3, 16, ""),
        ("12-channel DDR5-4800", 460.8, 48, ""),
        ("lpddr5x-8533", 136.5, 8, ""),
        ("ddr5", 89.6, 8, ""),
    ],
)
def test_names_mean_the_machine_they_usually_sit_in(name: str, bandwidth_gbs: float, cores: int, units: str) -> None:
    found = find_platform(name)
    assert found is not None
    assert found.device.bandwidth_bytes_per_second == pytest.approx(bandwidth_gbs * 1e9, rel=2e-3)
    assert found.device.cores == cores
    assert found.device.generation == units


@pytest.mark.parametrize("name", ["", "toaster", "RTX 4090", "QEMU Virtual CPU version 2.5+", "ddr", "ddr9", "channel"])
def test_other_words_are_no_processor(name: str) -> None:
    assert find_platform(name) is None


@given(st.text(max_size=60))
def test_any_text_is_a_platform_or_none(text: str) -> None:
    found = find_platform(text)
    assert found is None or found.device.bandwidth_bytes_per_second > 0


def test_the_widest_units_count() -> None:
    assert vector_units(("avx", "avx2", "avx512f", "avx512_vnni")) == "avx512_vnni"
    assert vector_units(("neon",)) == "neon"
    assert vector_units(()) == ""
