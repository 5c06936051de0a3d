"""The shipped table of devices: complete, unambiguous, and right where a vendor's document is at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import UsageError
from insource.machine.devices import GIB, KnownDevice, choose, find_described, known_devices, plain

ROWS = known_devices()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_sourced_and_its_figures_are_possible(row: KnownDevice) -> None:
    assert len(row.source) > 20
    assert row.kind in ("cpu", "gpu", "igpu")
    assert row.backend in ("cuda", "rocm", "metal", "sycl", "cpu")
    assert 30e9 < row.bandwidth_bytes_per_second <= 8e12
    assert (row.fp16_flops is None) == (row.kind == "cpu")
    assert row.fp16_flops is None or 5e11 < row.fp16_flops < 3e15
    assert row.memory_gb == tuple(sorted(set(row.memory_gb)))
    assert all(2 <= gb <= 512 for gb in row.memory_gb)
    assert 0.9 <= row.usable <= 1
    assert row.cores or row.kind == "gpu"
    assert choose(row.host).device.kind == "cpu"


def test_the_table_covers_what_people_run() -> None:
    counts = Counter(row.backend for row in ROWS)
    assert len(ROWS) >= 200
    assert counts["cuda"] >= 90
    assert counts["rocm"] >= 30
    assert counts["metal"] >= 25
    assert counts["sycl"] >= 8
    assert counts["cpu"] >= 15


def test_no_name_means_two_rows() -> None:
    names = Counter(plain(name) for row in ROWS for name in {plain(name): name for name in row.names}.values())
    assert [name for name, count in names.items() if count > 1] == []
    assert not set(names) & {plain(row.base) for row in ROWS if row.base}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_name_and_alias_resolves_to_its_row(row: KnownDevice) -> None:
    for name in row.names:
        assert choose(name).device is row
        assert find_described(name, 0) is row


@pytest.mark.parametrize("row", [row for row in ROWS if row.base], ids=lambda row: row.name)
def test_a_variants_base_and_memory_never_mean_another_family(row: KnownDevice) -> None:
    for gb in row.memory_gb:
        assert choose(f"{row.base} {gb}GB").device.base == row.base
        assert gb in choose(f"{row.base}-{gb}gb").device.memory_gb


@given(st.sampled_from(ROWS), st.sampled_from(["-", " ", "_", "  ", "/"]), st.sampled_from([str.upper, str.lower]))
def test_case_and_punctuation_do_not_matter(row: KnownDevice, mark: str, case: Callable[[str], str]) -> None:
    assert choose(case(row.name.replace(" ", mark))).device is row


@pytest.mark.parametrize(
    ("text", "bandwidth_gbs", "fp16_tflops"),
    [
        # NVIDIA's architecture whitepapers and datasheets: dense, fp32 accumulation
        ("rtx-3090", 936, 71.2),
        ("NVIDIA GeForce RTX 4090", 1008, 165.2),
        ("rtx 4090 laptop", 576, 85.8),
        ("5090", 1792, 209.5),
        ("a100 80gb", 2039, 312),
        ("h100", 3350, 989.4),
        ("Tesla T4", 320, 65),
        ("l40s", 864, 362),
        # AMD's and Apple's pages
        ("7900 XTX", 960, 122.8),
        ("MI300X", 5300, 1307.4),
        ("M1 Max", 400, 10.4),
        ("m2-ultra", 800, 27.2),
    ],
)
def test_figures_are_the_vendors(text: str, bandwidth_gbs: float, fp16_tflops: float) -> None:
    row = choose(text).device
    assert row.bandwidth_bytes_per_second == pytest.approx(bandwidth_gbs * 1e9)
    assert row.fp16_flops == pytest.approx(fp16_tflops * 1e12)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rtx 4060 ti", ["RTX 4060 Ti 8GB", "RTX 4060 Ti 16GB"]),
        ("a100", ["A100 40GB", "A100 PCIe 80GB", "A100 SXM 80GB"]),
        ("rtx 6000", ["RTX 6000 Ada", "Quadro RTX 6000", "RTX PRO 6000"]),
        ("rtx 4091", ["RTX 4090"]),
        ("gtx 1075", ["GTX 1070"]),
        ("rtx 4090 48gb", ["24"]),
        ("m4 max 512gb", ["36, 48, 64 and 128"]),
        ("toaster", []),
        ("rtx", []),
        ("", []),
    ],
)
def test_a_doubtful_name_is_refused_and_the_nearest_are_named(text: str, named: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        choose(text)
    assert repr(text) in refused.value.message
    assert all(name in str(refused.value) for name in named)


def test_the_memory_asked_for_decides_between_variants() -> None:
    assert choose("m4 max 36gb").device.name == "M4 Max 32-core GPU"
    assert choose("m4-max-64gb").device.name == "M4 Max 40-core GPU"
    assert choose("rtx 3060 8gb").device.bandwidth_bytes_per_second == 240e9
    assert choose("v100 32gb").assumed == ("'v100 32gb' is V100 SXM 32GB, not V100 PCIe 32GB",)
    assert choose("epyc 9004 768gb").memory_gb == 768


@pytest.mark.parametrize(
    ("description", "memory_gib", "name"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", 15.7, "RTX 4060 Ti 16GB"),
        ("NVIDIA GeForce RTX 4060 Ti", 7.7, "RTX 4060 Ti 8GB"),
        ("NVIDIA GeForce RTX 3080", 9.6, "RTX 3080 10GB"),
        ("NVIDIA GeForce RTX 3080", 11.6, "RTX 3080 12GB"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.7, "RTX 4090 Laptop"),
        ("NVIDIA H100 80GB HBM3", 79.1, "H100 SXM"),
        ("NVIDIA A100-SXM4-80GB", 79.1, "A100 SXM 80GB"),
        ("NVIDIA RTX 6000 Ada Generation", 47.5, "RTX 6000 Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95, "RTX PRO 6000 Blackwell Server Edition"),
        ("NVIDIA GB10", 119.6, "DGX Spark"),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", 24, "RX 7900 XTX"),
        ("Radeon 8060S Graphics", 128, "Ryzen AI Max+ 395"),
        ("Intel(R) Arc(TM) B580 Graphics", 11.9, "Arc B580"),
        ("NVIDIA RTX 2000 Ada Generation Laptop GPU", 8, "RTX 2000 Ada Laptop"),
        ("NVIDIA RTX A2000 8GB Laptop GPU", 8, "RTX A2000 Laptop 8GB"),
        ("AMD Radeon Graphics (RADV GFX1151)", 96, "Ryzen AI Max+ 395"),
        ("Apple M4 Max 10P+4E+32GPU", 36, "M4 Max 32-core GPU"),
        ("Apple M4 Max", 36, "M4 Max 32-core GPU"),
        ("Apple M4 Max", 128, "M4 Max 40-core GPU"),
        ("Apple M1 Max", 64, "M1 Max 32-core GPU"),
        # nothing like it, rather than something near it
        ("NVIDIA GeForce RTX 2070 with Max-Q Design", 8, None),
        ("NVIDIA GeForce RTX 3080", 20, None),
        ("Apple Paravirtual device", 8, None),
        ("", 8, None),
    ],
)
def test_what_drivers_say_finds_the_row_or_nothing(description: str, memory_gib: float, name: str | None) -> None:
    row = find_described(description, round(memory_gib * GIB))
    assert (row.name if row else None) == name


@given(st.text())
def test_any_text_is_a_device_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        assert choose(text).memory_gb > 0
