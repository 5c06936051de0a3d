"""What probes mean. There is no GPU where these tests run: the probes are stand-ins, made after ggml's own struct
(name, description, memory, type, device_id, caps) and after the texts that Linux and macOS give.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insource.core.hardware import Rate
from insource.machine import probe as probing
from insource.machine.devices import GIB
from insource.machine.probe import Probe, probe_from_json, take_probe
from insource.machine.read import cpu_name, last_cache_bytes, read_probe

MEMINFO = "MemTotal:       65536000 kB\nMemFree:         1000000 kB\nMemAvailable:   41943040 kB\n"
CPUINFO = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8480+\n"
    "flags\t\t: fpu sse avx avx2 fma f16c avx512f avx512_bf16 amx_bf16 amx_tile amx_int8 hypervisor\n"
)
CAPS = {"async": True, "host_buffer": True, "buffer_from_host_ptr": False, "events": True}


def device(name: str, description: str, kind: str, total_gib: float, **more: Any) -> dict[str, Any]:
    size = round(total_gib * GIB)
    given = {"memory_total": size, "memory_free": size - (GIB if size > GIB else 0), "device_id": "", "caps": CAPS}
    return {"name": name, "description": description, "type": kind, **given, **more}


CPU = device("CPU", "Intel(R) Xeon(R) Platinum 8480+", "cpu", 62.5)


def linux(*devices: dict[str, Any], files: dict[str, str] | None = None) -> Probe:
    return Probe(
        system="Linux",
        architecture="x86_64",
        devices=devices,
        system_info="CPU : AVX2 = 1 | ",
        engine_error="",
        files={"/proc/meminfo": MEMINFO, "/proc/cpuinfo": CPUINFO} | (files or {}),
        cores=8,
        disk_free_bytes=10 * GIB,
    )


def mac(*, memory_gib: int, architecture: str = "arm64") -> Probe:
    arm = "hw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_SME: 0\n"
    intel = "machdep.cpu.features: FPU SSE FMA AVX1.0\nmachdep.cpu.leaf7_features: RDWRFSGS AVX2 SMEP\n"
    vm_stat = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                              655360.\nPages active:                           1000000.\n"
        "Pages inactive:                          327680.\nPages speculative:                        65536.\n"
        "Pages purgeable:                              0.\n"
    )
    sysctl = f"hw.memsize: {memory_gib * GIB}\nmachdep.cpu.brand_string: Apple M4 Max\nhw.l2cachesize: 16777216\n"
    return Probe(
        system="Darwin",
        architecture=architecture,
        devices=(
            device("MTL0", "Apple M4 Max", "gpu", memory_gib * 0.75),
            device("BLAS", "Accelerate", "accel", 0),
            device("CPU", "Apple M4 Max", "cpu", memory_gib),
        ),
        system_info="MTL : EMBED_LIBRARY = 1 | CPU : NEON = 1 | ARM_FMA = 1 | ",
        engine_error="",
        commands={"sysctl": sysctl + (arm if architecture == "arm64" else intel), "vm_stat": vm_stat},
        cores=16,
        disk_free_bytes=None,
    )


def test_the_system_says_how_much_memory_is_free_where_ggml_calls_all_of_it_free() -> None:
    machine = read_probe(linux(CPU))
    assert machine.name == "here"
    assert machine.cpu.memory_total_bytes == 65536000 << 10
    assert machine.cpu.memory_free_bytes == 40 * GIB
    assert machine.cpu.bandwidth_bytes_per_second is None
    assert machine.memory_limit == "physical"
    assert machine.cores == 8
    assert machine.disk_free_bytes == 10 * GIB
    assert machine.cpu_features == (
        *("avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16"),
        *("amx_bf16", "amx_tile", "amx_int8"),
    )


def test_a_cuda_card_has_its_own_memory_and_the_tables_bandwidth() -> None:
    machine = read_probe(linux(device("CUDA0", "NVIDIA GeForce RTX 3090", "gpu", 23.69, device_id="0000:01:00.0"), CPU))
    gpu, cpu = machine.devices
    assert (gpu.name, gpu.kind, gpu.backend, gpu.unified) == ("CUDA0", "gpu", "cuda", False)
    assert gpu.memory_total_bytes == round(23.69 * GIB)
    assert gpu.memory_free_bytes == gpu.memory_total_bytes - GIB
    assert gpu.bandwidth_bytes_per_second == Rate(value=936e9, source="table")
    assert cpu.kind == "cpu"


def test_several_gpus_keep_their_order_and_a_card_that_two_backends_see_counts_once() -> None:
    machine = read_probe(
        linux(
            device("CUDA0", "NVIDIA GeForce RTX 4090", "gpu", 23.6, device_id="0000:01:00.0"),
            device("CUDA1", "NVIDIA GeForce RTX 3060", "gpu", 11.6, device_id="0000:02:00.0"),
            device("Vulkan0", "NVIDIA GeForce RTX 4090", "gpu", 23.6, device_id="0000:01:00.0"),
            device("Vulkan1", "AMD Radeon RX 7900 XTX (RADV NAVI31)", "gpu", 24, device_id="0000:03:00.0"),
            CPU,
        )
    )
    assert [found.name for found in machine.accelerators] == ["CUDA0", "CUDA1", "Vulkan1"]
    rates = [found.bandwidth_bytes_per_second for found in machine.accelerators]
    assert [rate.value / 1e9 for rate in rates if rate] == [1008, 360, 960]
    assert machine.devices[2].backend == "vulkan"


def test_a_card_that_the_table_does_not_know_gets_no_bandwidth() -> None:
    gpu = read_probe(linux(device("Vulkan0", "Some GPU of 2031", "gpu", 12), CPU)).devices[0]
    assert gpu.bandwidth_bytes_per_second is None
    assert gpu.matmul_flops is None


def test_an_integrated_gpu_shares_what_the_system_has_left() -> None:
    gpu = read_probe(linux(device("Vulkan0", "AMD Radeon 780M Graphics (RADV PHOENIX)", "igpu", 50), CPU)).devices[0]
    assert gpu.unified
    assert gpu.kind == "igpu"
    assert gpu.memory_free_bytes == 40 * GIB  # not the 49 that the driver would give


def test_metal_is_unified_although_ggml_calls_it_a_gpu_and_blas_is_no_device() -> None:
    machine = read_probe(mac(memory_gib=36))
    gpu, cpu = machine.devices
    assert gpu.backend == "metal"
    assert gpu.unified
    assert gpu.memory_total_bytes == 27 * GIB
    assert gpu.memory_free_bytes == 16 * GIB  # free, inactive and speculative pages
    assert gpu.bandwidth_bytes_per_second == Rate(value=410e9, source="table")  # the 36 GB part
    assert cpu.memory_total_bytes == 36 * GIB
    assert machine.cpu_features == ("neon", "bf16", "i8mm")
    assert read_probe(mac(memory_gib=128)).devices[0].bandwidth_bytes_per_second == Rate(value=546e9, source="table")
    assert read_probe(mac(memory_gib=16, architecture="x86_64")).cpu_features == ("fma", "avx2")


def test_a_container_is_bound_by_its_control_group() -> None:
    cgroup = {
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "/sys/fs/cgroup/memory.max": f"{8 * GIB}\n",
        "/sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
    }
    gpu = device("Vulkan0", "AMD Radeon 780M Graphics (RADV PHOENIX)", "igpu", 50)
    machine = read_probe(linux(gpu, CPU, files=cgroup))
    assert machine.memory_limit == "cgroup"
    assert machine.cpu.memory_total_bytes == 8 * GIB
    assert machine.cpu.memory_free_bytes == 5 * GIB
    assert machine.devices[0].memory_free_bytes == 5 * GIB


def test_a_limit_above_the_memory_that_there_is_binds_nothing() -> None:
    cgroup = {
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "/sys/fs/cgroup/memory.max": f"{800 * GIB}\n",
        "/sys/fs/cgroup/memory.current": f"{GIB}\n",
    }
    machine = read_probe(linux(CPU, files=cgroup))
    assert machine.memory_limit == "physical"
    assert machine.cpu.memory_free_bytes == 40 * GIB


def test_arm_linux_and_a_system_that_says_nothing() -> None:
    arm = "processor\t: 0\nFeatures\t: fp asimd aes atomics asimddp sve sve2 i8mm bf16\nCPU implementer\t: 0x41\n"
    probe = linux(device("CPU", "Neoverse-V2", "cpu", 62.5), files={"/proc/cpuinfo": arm})
    assert read_probe(probe).cpu_features == ("neon", "dotprod", "sve", "sve2", "i8mm", "bf16")
    assert cpu_name(probe) == "Neoverse-V2"
    windows = Probe(
        system="Windows",
        architecture="AMD64",
        devices=(device("CPU", "AMD Ryzen 7", "cpu", 31.1, memory_free=20 * GIB),),
        system_info="CPU : SSE3 = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | AVX512 = 0 | ",
        engine_error="",
        cores=16,
        disk_free_bytes=1,
    )
    assert read_probe(windows).cpu_features == ("avx2", "f16c", "fma")
    assert read_probe(windows).cpu.memory_free_bytes == 20 * GIB


def test_without_the_engine_the_system_still_answers() -> None:
    machine = read_probe(linux())
    assert machine.accelerators == ()
    assert machine.cpu.description == "Intel(R) Xeon(R) Platinum 8480+"
    assert machine.cpu.memory_total_bytes > 0


def test_the_largest_cache_is_found() -> None:
    folder = "/sys/devices/system/cpu/cpu0/cache"
    files = {f"{folder}/index0/size": "48K\n", f"{folder}/index3/size": "107520K\n", f"{folder}/index2/size": "2M\n"}
    assert last_cache_bytes(linux(CPU, files=files)) == 105 << 20
    assert last_cache_bytes(linux(CPU)) == 0
    assert last_cache_bytes(mac(memory_gib=36)) == 16 << 20


def test_a_probe_survives_a_bug_report() -> None:
    probe = mac(memory_gib=64)
    assert read_probe(probe_from_json(json.dumps(probe.json()))) == read_probe(probe)


def test_the_probe_of_this_machine_is_whole(tmp_path: Path) -> None:
    probe = take_probe(tmp_path / "not" / "yet" / "made")
    assert probe.engine_error == ""
    machine = read_probe(probe_from_json(json.dumps(probe.json())))
    assert machine.cpu.kind == "cpu"
    assert 0 < machine.cpu.memory_free_bytes <= machine.cpu.memory_total_bytes
    assert machine.cores >= 1
    assert machine.disk_free_bytes is not None
    assert machine.cpu_features


@pytest.mark.parametrize("last_words", ["driver crashed", ""])
def test_a_driver_that_crashes_is_reported_and_nothing_else_fails(
    last_words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text(f"#!/bin/sh\necho '{last_words}' >&2\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(probing.sys, "executable", str(crashing))
    probe = take_probe(tmp_path)
    assert probe.devices == ()
    assert "-11" in probe.engine_error
    assert (last_words or "no reason given") in probe.engine_error
    assert read_probe(probe).cpu.memory_total_bytes > 0
