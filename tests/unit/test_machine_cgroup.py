"""cgroup limits out of the texts of files, as systemd, Docker and Kubernetes lay them out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from insource.core.cgroup import MemoryBound, cpu_quota, groups, memory_bound
from insource.core.cores import cores_within, siblings_file

GIB = 1 << 30
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
HYBRID_V2 = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
NO_LIMIT_V1 = "9223372036854771712\n"


def v2(own: str, files: dict[str, str]) -> dict[str, str]:
    return {"/proc/self/cgroup": f"0::{own}\n", "/proc/self/mountinfo": V2_MOUNT} | {
        f"/sys/fs/cgroup{name}": text for name, text in files.items()
    }


def test_v2_takes_the_smallest_limit_on_the_way_to_the_own_group() -> None:
    files = v2(
        "/user.slice/user-1000.slice/app.scope",
        {
            "/user.slice/memory.max": f"{8 * GIB}\n",
            "/user.slice/memory.current": f"{1 * GIB}\n",
            "/user.slice/user-1000.slice/memory.max": "max\n",
            "/user.slice/user-1000.slice/app.scope/memory.max": f"{16 * GIB}\n",
            "/user.slice/user-1000.slice/app.scope/memory.current": f"{GIB}\n",
        },
    )
    assert memory_bound(files.get) == MemoryBound(limit_bytes=8 * GIB, free_bytes=7 * GIB)


def test_the_least_free_group_need_not_be_the_smallest_one() -> None:
    files = v2(
        "/pod/container",
        {
            "/pod/memory.max": f"{10 * GIB}\n",
            "/pod/memory.current": f"{9 * GIB}\n",  # the pod's other containers
            "/pod/container/memory.max": f"{4 * GIB}\n",
            "/pod/container/memory.current": f"{GIB}\n",
        },
    )
    assert memory_bound(files.get) == MemoryBound(limit_bytes=4 * GIB, free_bytes=GIB)


def test_cached_file_pages_are_free_and_memory_high_binds() -> None:
    files = v2(
        "/",
        {
            "/memory.max": f"{8 * GIB}\n",
            "/memory.high": f"{6 * GIB}\n",
            "/memory.current": f"{5 * GIB}\n",
            "/memory.stat": f"anon 1\ninactive_file {3 * GIB}\nactive_file 7\n",
        },
    )
    assert memory_bound(files.get) == MemoryBound(limit_bytes=6 * GIB, free_bytes=4 * GIB)


def test_v1_of_docker_without_a_namespace_of_its_own() -> None:
    files = {
        "/proc/self/cgroup": "9:cpuset:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n",
        "/proc/self/mountinfo": V1_MOUNT.format(root="/docker/abc") + HYBRID_V2,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
        "/sys/fs/cgroup/memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 2}\n",
    }
    assert memory_bound(files.get) == MemoryBound(limit_bytes=2 * GIB, free_bytes=GIB + GIB // 2)


def test_v1_without_a_limit_and_a_hybrid_host_are_not_bound() -> None:
    files = {
        "/proc/self/cgroup": "4:memory:/a\n0::/elsewhere\n",
        "/proc/self/mountinfo": V1_MOUNT.format(root="/") + HYBRID_V2,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": NO_LIMIT_V1,
        "/sys/fs/cgroup/unified/elsewhere/memory.max": "1\n",  # the controller is v1's: this file can't bind
    }
    assert memory_bound(files.get) == MemoryBound(limit_bytes=None, free_bytes=None)
    assert [group.folder for group in groups("memory", files.get)] == [
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/memory/a",
    ]


def test_a_path_outside_the_mount_falls_back_to_the_mount() -> None:
    files = v2("/../../other", {"/memory.max": f"{GIB}\n"})
    assert memory_bound(files.get).limit_bytes == GIB


def test_no_cgroup_at_all_is_no_limit() -> None:
    assert memory_bound({}.get) == MemoryBound(limit_bytes=None, free_bytes=None)
    assert cpu_quota({}.get) is None


def test_cpu_quota_of_v2_is_the_smallest_on_the_way() -> None:
    files = v2("/a/b", {"/a/cpu.max": "150000 100000\n", "/a/b/cpu.max": "max 100000\n"})
    assert cpu_quota(files.get) == 1.5


def test_cpu_quota_of_v1() -> None:
    files = {
        "/proc/self/cgroup": "3:cpu,cpuacct:/job\n",
        "/proc/self/mountinfo": V1_CPU,
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
        "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
    }
    assert cpu_quota(files.get) == 4.0


def test_hyper_threads_count_once_and_the_quota_bounds_them() -> None:
    siblings = {siblings_file(cpu): f"{cpu % 4},{cpu % 4 + 4}\n" for cpu in range(8)}
    assert cores_within(range(8), siblings.get) == 4
    assert cores_within([0, 4], siblings.get) == 1
    assert cores_within(range(8), (siblings | v2("/", {"/cpu.max": "250000 100000\n"})).get) == 2
    assert cores_within(range(8), (siblings | v2("/", {"/cpu.max": "50000 100000\n"})).get) == 1
    assert cores_within(range(3), {}.get) == 3


@given(st.dictionaries(st.sampled_from(["/proc/self/cgroup", "/proc/self/mountinfo"]), st.text()))
def test_whatever_the_files_say_it_does_not_crash(files: dict[str, str]) -> None:
    assert memory_bound(lambda path: files.get(path, "not a number")).limit_bytes is None
    assert cpu_quota(lambda path: files.get(path, "not a number")) is None
