"""The measurement, and the file that keeps it for as long as the machine stays the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import StorageError
from insource.core.fakes import FakeClock
from insource.core.hardware import Rate
from insource.machine.measure import Measurement, Spread, buffer_bytes, measure, spread
from insource.machine.measured import FILE, Kept, fingerprint, load, save, with_measured
from insource.machine.probe import Probe
from insource.machine.read import read_probe
from insource.workflows.choose.machine import MachineFolders, describe, find_machine

MIB = 1 << 20
PROBE = Probe(
    system="Linux",
    architecture="x86_64",
    devices=({"name": "CPU", "description": "a CPU", "type": "cpu", "memory_total": 8 << 30, "memory_free": 8 << 30},),
    system_info="",
    engine_error="",
    files={"/proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"},
    cores=4,
    disk_free_bytes=None,
)
MEASUREMENT = Measurement(
    bandwidth_bytes_per_second=Spread(median=40e9, low=38e9, high=41e9, rounds=20),
    matmul_flops=Spread(median=2e11, low=1.9e11, high=2.1e11, rounds=9),
    threads=4,
    buffer_bytes=256 * MIB,
    seconds=2.5,
    cpu_share=0.98,
)
KEPT = Kept(measurement=MEASUREMENT, measured_at=datetime(2026, 11, 25, tzinfo=UTC))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "home", PROBE, KEPT)
    assert load(tmp_path / "home", PROBE) == KEPT
    assert [path.name for path in (tmp_path / "home").iterdir()] == [FILE]


@pytest.mark.parametrize(
    "changed",
    [
        replace(PROBE, cores=8),
        replace(PROBE, version=PROBE.version + 1),
        replace(PROBE, files={"/proc/meminfo": "MemTotal: 16777216 kB\n"}),
        replace(PROBE, files={**PROBE.files, "/proc/cpuinfo": "model name : another CPU\n"}),
        replace(PROBE, devices=(*PROBE.devices, {"name": "CUDA0", "description": "a GPU", "type": "gpu"})),
    ],
    ids=["cores", "probe version", "memory", "processor", "devices"],
)
def test_another_machine_is_measured_again(changed: Probe, tmp_path: Path) -> None:
    save(tmp_path, PROBE, KEPT)
    assert fingerprint(changed) != fingerprint(PROBE)
    assert load(tmp_path, changed) is None


def test_what_changes_from_minute_to_minute_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, PROBE, KEPT)
    later = replace(PROBE, files={"/proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 1 kB\n"}, disk_free_bytes=7)
    assert load(tmp_path, later) == KEPT


@given(st.one_of(st.text(), st.dictionaries(st.text(), st.integers()).map(json.dumps)))
def test_a_damaged_file_is_no_measurement(text: str) -> None:
    class Folder:
        def __truediv__(self, name: str) -> Folder:
            return self

        def read_text(self, encoding: str) -> str:
            return text

    assert load(Folder(), PROBE) is None  # pyright: ignore[reportArgumentType] - a file per example would take minutes


def test_a_file_of_an_older_form_is_no_measurement(tmp_path: Path) -> None:
    save(tmp_path, PROBE, KEPT)
    document = json.loads((tmp_path / FILE).read_text())
    del document["measurement"]["matmul_flops"]["rounds"]
    (tmp_path / FILE).write_text(json.dumps(document))
    assert load(tmp_path, PROBE) is None


def test_a_home_that_is_no_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StorageError, match="home"):
        save(tmp_path / "home", PROBE, KEPT)


def test_measured_figures_go_to_the_cpu_and_to_shared_memory_that_the_table_does_not_know() -> None:
    shared = {"name": "Vulkan0", "description": "unknown", "type": "igpu", "memory_total": 4 << 30, "memory_free": 1}
    known = {**shared, "name": "Vulkan1", "description": "AMD Radeon 780M Graphics"}
    own = {**shared, "name": "CUDA0", "type": "gpu"}
    machine = with_measured(read_probe(replace(PROBE, devices=(shared, known, own, *PROBE.devices))), MEASUREMENT)
    measured = Rate(value=40e9, source="measured")
    assert machine.cpu.bandwidth_bytes_per_second == measured
    assert machine.cpu.matmul_flops == Rate(value=2e11, source="measured")
    assert [device.bandwidth_bytes_per_second for device in machine.accelerators] == [
        measured,
        Rate(value=89.6e9, source="table"),
        None,
    ]


@given(st.integers(0, 1 << 30), st.integers(MIB, 1 << 42))
def test_the_buffer_is_larger_than_every_cache_and_never_most_of_what_is_free(cache: int, free: int) -> None:
    size = buffer_bytes(cache, free)
    assert size <= free // 4
    assert size >= min(4 * cache, free // 4, 2 << 30)


@given(st.lists(st.floats(1, 1e12), min_size=1, max_size=60))
def test_the_spread_holds_the_median(rates: list[float]) -> None:
    found = spread(rates)
    assert found.low <= found.median <= found.high


def test_the_first_round_warms_up() -> None:
    assert spread([1.0, 10.0, 10.0]) == Spread(median=10.0, low=10.0, high=10.0, rounds=2)


def test_measuring_gives_possible_figures() -> None:
    """A small buffer: this checks the way, not the figure, which a bench compares with a C program."""
    found = measure(threads=2, cache_bytes=0, free_bytes=64 * MIB)
    assert found.buffer_bytes == 16 * MIB
    assert 1e8 < found.bandwidth_bytes_per_second.median < 1e13
    assert 1e8 < found.matmul_flops.median < 1e15
    assert found.bandwidth_bytes_per_second.rounds >= 2
    assert 0 < found.cpu_share <= 1


def test_describe_measures_when_told_to_and_then_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, int]] = []

    def fake(**arguments: int) -> Measurement:
        calls.append(arguments)
        return MEASUREMENT

    monkeypatch.setattr("insource.workflows.choose.machine.measure", fake)
    folders = MachineFolders(home=tmp_path, models=tmp_path)
    clock = FakeClock()
    assert describe(folders, clock=clock).kept is None
    assert calls == []
    first = describe(folders, clock=clock, measure_now=True)
    assert first.kept is not None
    assert first.kept.measured_at == clock.now()
    assert calls[0]["threads"] == first.machine.cores
    again = describe(folders, clock=clock)
    assert again.kept == first.kept
    assert again.machine.cpu.bandwidth_bytes_per_second == Rate(value=40e9, source="measured")
    assert find_machine("here", folders, clock=clock).cpu.matmul_flops == Rate(value=2e11, source="measured")
    assert len(calls) == 1
