"""Is the probe's figure the machine's? Reading memory as `insource machine --measure` does it, beside a C program that
only reads (compiled here with gcc), in turns, because a shared machine's speed changes from second to second; and what
the commands take.

python bench/machine.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from insource.core.cores import usable_cores
from insource.machine.measure import Measurement, measure
from insource.machine.probe import take_probe
from insource.machine.read import cpu_name, last_cache_bytes, read_probe

TURNS = 7
RESULT = Path(__file__).parent / "results" / "machine.txt"
READ_IN_C = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double *data; static size_t each; static volatile double sink;
static void *run(void *which) {
  const double *p = data + (size_t)which * each; double a[16] = {0};
  for (size_t i = 0; i + 16 <= each; i += 16) for (int k = 0; k < 16; k++) a[k] += p[i + k];
  for (int k = 1; k < 16; k++) a[0] += a[k];
  sink = a[0]; return 0;
}
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
int main(int argc, char **argv) {
  size_t threads = atoi(argv[1]), bytes = strtoull(argv[2], 0, 10); each = bytes / 8 / threads;
  pthread_t *t = malloc(threads * sizeof *t); data = aligned_alloc(1 << 21, bytes);
  for (size_t i = 0; i < each * threads; i++) data[i] = 1;
  for (double end = now() + 1.0; now() < end;) {
    double began = now();
    for (size_t i = 0; i < threads; i++) pthread_create(&t[i], 0, run, (void *)i);
    for (size_t i = 0; i < threads; i++) pthread_join(t[i], 0);
    printf("%.0f\n", each * threads * 8 / (now() - began));
  }
}
"""


def compiled(folder: Path) -> Path | None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    (folder / "read.c").write_text(READ_IN_C)
    flags = ["-O3", "-march=native", "-ffast-math", "-pthread"]
    subprocess.run([compiler, *flags, "-o", str(folder / "read"), str(folder / "read.c")], check=True)
    return folder / "read"


def read_in_c(program: Path, threads: int, size: int) -> float:
    done = subprocess.run([str(program), str(threads), str(size)], capture_output=True, text=True, check=True)
    return median(float(line) for line in done.stdout.split()[1:])


def command_seconds(*arguments: str) -> float:
    argv = [sys.executable, "-m", "insource.cli.main", "machine", *arguments]
    began = time.perf_counter()
    subprocess.run(argv, capture_output=True, check=True)
    return time.perf_counter() - began


def table(found: list[Measurement], reads: list[float], cpu: str) -> list[str]:
    rates = [one.bandwidth_bytes_per_second for one in found]
    lines = [
        f"{cpu}, {found[0].threads} threads, buffer {found[0].buffer_bytes >> 20} MiB, {TURNS} turns\n",
        f"{'turn':>4} {'C reads GB/s':>14} {'probe GB/s':>12} {'8 of 10 rounds':>17} {'probe/C':>9}"
        f" {'cores got':>10} {'fp32 GFLOPS':>12} {'probe s':>8}",
    ]
    for turn, (one, rate) in enumerate(zip(found, rates, strict=True), 1):
        c = reads[turn - 1] if reads else None
        lines.append(
            f"{turn:>4} {f'{c / 1e9:.1f}' if c else '-':>14} {rate.median / 1e9:>12.1f}"
            f" {f'{rate.low / 1e9:.1f} - {rate.high / 1e9:.1f}':>17} {f'{rate.median / c:.2f}' if c else '-':>9}"
            f" {one.cpu_share:>10.0%} {one.matmul_flops.median / 1e9:>12.1f} {one.seconds:>8.2f}"
        )
    if reads:
        ratios = [rate.median / c for rate, c in zip(rates, reads, strict=True)]
        lines.append(
            f"\nmedian probe/C {median(ratios):.2f}; median probe {median(r.median for r in rates) / 1e9:.1f} GB/s"
        )
    lines.append(f"longest measurement {max(one.seconds for one in found):.2f} s")
    return lines


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        probe = take_probe(Path(folder))
        free = read_probe(probe).cpu.memory_free_bytes
        program = compiled(Path(folder))
        found: list[Measurement] = []
        reads: list[float] = []
        for _ in range(TURNS):
            found.append(measure(threads=usable_cores(), cache_bytes=last_cache_bytes(probe), free_bytes=free))
            if program is not None:
                reads.append(read_in_c(program, usable_cores(), found[-1].buffer_bytes))
    here = [command_seconds() for _ in range(5)]
    named = [command_seconds("2x h100") for _ in range(5)]
    lines = [
        *table(found, reads, cpu_name(probe)),
        f"`insource machine`, unmeasured: median {median(here):.2f} s, longest {max(here):.2f} s",
        f"`insource machine '2x h100'`: median {median(named):.2f} s, longest {max(named):.2f} s",
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    RESULT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
