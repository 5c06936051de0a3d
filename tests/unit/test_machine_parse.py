"""Machines out of words and out of files' texts."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput, UsageError
from insource.core.hardware import Device, Machine, Rate
from insource.machine.devices import GIB
from insource.machine.file import machine_from_toml
from insource.machine.parse import gpu_share_gib, parse_machine, system_bytes


def names(machine: Machine) -> list[tuple[str, str]]:
    return [(device.name, device.description) for device in machine.devices]


def test_one_card_sits_in_an_assumed_desktop_and_says_so() -> None:
    machine = parse_machine("rtx-4090")
    assert names(machine) == [("CUDA0", "RTX 4090"), ("CPU", "DDR5-5600 dual channel")]
    gpu = machine.devices[0]
    assert gpu.bandwidth_bytes_per_second == Rate(value=1008e9, source="table")
    assert gpu.matmul_flops == Rate(value=165.2e12, source="table")
    assert 23 * GIB < gpu.memory_total_bytes < 24 * GIB
    assert machine.cpu.memory_total_bytes == 64 * GIB
    assert machine.cpu.matmul_flops is None
    assert "64 GB of memory" in machine.assumed[0]
    assert "8 cores" in machine.assumed[0]


def test_several_cards_are_counted_as_ggml_counts_them() -> None:
    assert names(parse_machine("2x h100"))[:2] == [("CUDA0", "H100 SXM"), ("CUDA1", "H100 SXM")]
    assert names(parse_machine("2XH100")) == names(parse_machine("2 x h100")) == names(parse_machine("2x h100"))
    mixed = parse_machine("2x rtx-3090 + rtx-3060 + rx-7900-xtx")
    assert [name for name, _ in names(mixed)] == ["CUDA0", "CUDA1", "CUDA2", "ROCm0", "CPU"]
    assert "not H100 PCIe or H100 NVL" in parse_machine("2x h100").assumed[0]


def test_a_card_of_two_dies_is_two_devices() -> None:
    assert [name for name, _ in names(parse_machine("mi250x"))] == ["ROCm0", "ROCm1", "CPU"]


def test_the_platform_can_be_named() -> None:
    machine = parse_machine("rtx-3090 + epyc-9004-256gb")
    assert machine.cpu.description == "EPYC 9004 12-channel DDR5-4800"
    assert machine.cpu.memory_total_bytes == 256 * GIB
    assert not any("around it" in note for note in machine.assumed)
    alone = parse_machine("epyc 9004")
    assert alone.accelerators == ()
    assert alone.cpu.bandwidth_bytes_per_second == Rate(value=460.8e9, source="table")


def test_unified_memory_is_one_memory_and_macos_keeps_its_share() -> None:
    machine = parse_machine("m4-max-64gb")
    gpu = machine.devices[0]
    assert gpu.unified
    assert gpu.memory_total_bytes == 48 * GIB
    assert machine.cpu.memory_total_bytes == 64 * GIB
    assert machine.cores == 16
    assert any("48.0 GiB of 64" in note for note in machine.assumed)
    assert parse_machine("m4-max").cpu.memory_total_bytes == 128 * GIB
    small = parse_machine("m1-8gb").devices[0]
    assert small.memory_free_bytes == small.memory_total_bytes < 5.4 * GIB


@pytest.mark.parametrize(("memory_gb", "least", "most"), [(4, 0.5, 1.2), (8, 1, 2), (16, 2, 3), (64, 4, 4)])
def test_the_system_keeps_a_share_of_a_small_machine(memory_gb: int, least: float, most: float) -> None:
    assert least * GIB <= system_bytes(memory_gb * GIB) <= most * GIB


@pytest.mark.parametrize(
    ("text", "devices", "bandwidth_gbs", "cores"),
    [
        ("Ryzen AI Max+ 395", 2, 256, 16),
        ("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 2, 256, 16),
        ("AMD Ryzen 9 5950X 16-Core Processor", 1, 51.2, 16),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 1, 76.8, 14),
        ("Raspberry Pi 5 Model B Rev 1.0", 1, 17.1, 4),
        ("Apple M1 Max 8P+2E+32GPU", 2, 400, 10),
        ("rtx-2080+ddr4-2666 quad channel", 2, 448, 16),
        ("DDR4-2133, eight-channel", 1, 136.5, 32),
        ("rtx 3060 + Ryzen 5 5600X", 2, 360, 6),
    ],
)
def test_processors_and_plain_memory_are_machines(text: str, devices: int, bandwidth_gbs: float, cores: int) -> None:
    machine = parse_machine(text)
    assert len(machine.devices) == devices
    rate = machine.devices[0].bandwidth_bytes_per_second
    assert rate is not None
    assert rate.value == pytest.approx(bandwidth_gbs * 1e9, rel=1e-3)
    assert machine.cores == cores


@pytest.mark.parametrize(
    ("memory_gb", "megabytes_in_llama_log"),
    [(16, 11453.25), (24, 17179.89), (32, 22906.50), (36, 28991.03), (64, 51539.61), (192, 154618.82)],
)
def test_macos_share_is_what_llama_logs_show(memory_gb: int, megabytes_in_llama_log: float) -> None:
    """`recommendedMaxWorkingSetSize` in MB of 10^6, as llama.cpp prints it on Macs with that much memory."""
    assert gpu_share_gib(memory_gb) * GIB / 1e6 == pytest.approx(megabytes_in_llama_log, rel=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", "+", "rtx-4090+", "0x h100", "17x h100", "2x m4-max", "rtx-4090+m4-max", "2x epyc-9004", "here", "a100"],
)
def test_what_is_no_machine_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_machine(text)


@given(st.text(alphabet="0123456789x+-* rtxhm4a.gb", max_size=40))
def test_any_words_are_a_machine_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        machine = parse_machine(text)
        assert all(0 < device.memory_free_bytes <= device.memory_total_bytes for device in machine.devices)
        assert machine.cpu.kind == "cpu"


FILE = """
name = "workstation"
cores = 16
memory_gb = 128
bandwidth_gbs = 96
matmul_tflops = 1.5
cpu_features = ["avx2"]
[[device]]
name = "rtx-4090"
count = 2
memory_free_gb = 22
[[device]]
description = "Prototype"
backend = "vulkan"
memory_gb = 20
bandwidth_gbs = 700
fp16_tflops = 60
"""


def test_a_file_says_all_of_a_machine() -> None:
    machine = machine_from_toml(FILE, name="file.toml")
    assert machine.name == "workstation"
    assert machine.cores == 16
    assert machine.cpu_features == ("avx2",)
    assert names(machine) == [("CUDA0", "RTX 4090"), ("CUDA1", "RTX 4090"), ("Vulkan0", "Prototype"), ("CPU", "CPU")]
    assert [device.memory_free_bytes for device in machine.accelerators] == [22 * GIB, 22 * GIB, 20 * GIB]
    assert machine.devices[2] == Device(
        name="Vulkan0",
        description="Prototype",
        kind="gpu",
        backend="vulkan",
        memory_total_bytes=20 * GIB,
        memory_free_bytes=20 * GIB,
        bandwidth_bytes_per_second=Rate(value=700e9, source="stated"),
        matmul_flops=Rate(value=60e12, source="stated"),
    )
    assert machine.cpu.bandwidth_bytes_per_second == Rate(value=96e9, source="stated")
    assert machine.cpu.matmul_flops == Rate(value=1.5e12, source="stated")
    assert machine.cpu.memory_total_bytes == 128 * GIB
    assert machine.assumed == ("no display and no other program on the GPU",)


def test_what_a_file_leaves_out_is_assumed_and_said() -> None:
    machine = machine_from_toml("", name="empty.toml")
    assert machine.name == "empty.toml"
    assert machine.accelerators == ()
    assert machine.assumed == ("64 GB of memory", "its bandwidth that of DDR5-5600 dual channel", "8 cores")


def test_a_files_apple_chip_brings_its_own_system() -> None:
    machine = machine_from_toml('[[device]]\nname = "m4-max"\nmemory_gb = 64\n', name="mac.toml")
    assert machine.cpu.memory_total_bytes == 64 * GIB
    assert machine.devices[0].memory_total_bytes == 48 * GIB


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("][", "not valid TOML"),
        ("memory = 3", "'memory' is not known"),
        ("cores = 1.5", "whole number"),
        ("cores = true", "above 0"),
        ("memory_gb = nan", "above 0"),
        ("memory_gb = -1", "above 0"),
        ("bandwidth_gbs = 'fast'", "above 0"),
        ("name = 3", "is text"),
        ("cpu_features = 'avx2'", "list of texts"),
        ("device = 3", "list of tables"),
        ("[[device]]", "'memory_gb' is required"),
        ("[[device]]\nmemory_gb = 8\ncount = 100000000", "16 at most"),
        ("[[device]]\nmemory_gb = 8\nbackend = 'abacus'", "'backend' is one of"),
        ("[[device]]\nname = 'epyc 9004'", "not an accelerator"),
        ("[[device]]\nname = 'rtx 4090'\nmemory_free_gb = 40", "more than its 23.6"),
        ("[[device]]\nname = 'm4 max'\n[[device]]\nname = 'rtx 4090'", "unified"),
    ],
)
def test_a_wrong_file_is_told_where(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        machine_from_toml(text, name="m.toml")
    assert said in refused.value.message
    assert "m.toml" in refused.value.message


def test_a_files_unknown_device_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="RTX 4090"):
        machine_from_toml('[[device]]\nname = "rtx 4091"\n', name="m.toml")


_VALUES = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=5), st.lists(st.integers(), max_size=2))


@given(st.dictionaries(st.sampled_from(["cores", "memory_gb", "name", "device", "count", "cpu_features"]), _VALUES))
def test_any_values_are_a_machine_or_an_error_of_ours(values: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {_toml(value)}" for key, value in values.items())
    with suppress(BadInput, UsageError):
        assert machine_from_toml(text, name="m.toml").cores >= 1


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
