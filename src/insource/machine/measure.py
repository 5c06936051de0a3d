"""Measures what the CPU reaches: reading memory, and multiplying matrices. A few seconds of full load.

Reading is measured as decoding does it: each core multiplies its share of a matrix, far larger than every cache, with
a vector that stays in the cache. That is nine tenths of what a C program reaches that only reads (bench/machine.py).
The matrix product is NumPy's, fp32, because that is what prefill and training come nearest to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

_WIDTH = 4096
_CACHES = 8
"""The matrix is this many times the largest cache, so that nothing of it is left there from the round before."""
_LEAST_BYTES, _MOST_BYTES = 256 << 20, 2 << 30
_SHARE_OF_FREE = 4
"""At most a quarter of what is free, so that measuring never makes a machine swap."""
_CHUNK_BYTES = 32 << 20
"""What a thread takes at a time, as in ggml: a core that is busy with something else then does fewer."""
_ROUND_SECONDS = 0.06
"""Longer than the time slice that another process gets, or a round would measure the scheduler."""
_UNDISTURBED = 0.9
_FEWEST_ROUNDS = 3
FULL_SECONDS, BRIEF_SECONDS = 1.0, 0.12
"""For each of the two figures."""
_SIDES = (1024, 2048)
"""The larger one occupies many cores; the smaller one is for machines where that would take too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of several rounds."""

    median: float
    low: float
    """A tenth of the rounds lies below,"""
    high: float
    """and a tenth above."""
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    bandwidth_bytes_per_second: Spread
    matmul_flops: Spread
    """fp32, 2 per multiply-add."""
    threads: int
    buffer_bytes: int
    seconds: float
    """That measuring took."""
    cpu_share: float
    """Of the cores' time, what the reading threads got; the rest went to other programs."""

    @property
    def undisturbed(self) -> bool:
        return self.cpu_share >= _UNDISTURBED


def measure(*, threads: int, cache_bytes: int, free_bytes: int, time_seconds: float = FULL_SECONDS) -> Measurement:
    """`cache_bytes` is the largest cache's size, 0 when unknown."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    began = time.perf_counter()
    vector = np.ones(_WIDTH, dtype=np.float32)  # NumPy's BLAS must be loaded before its threads can be limited
    size = buffer_bytes(cache_bytes, free_bytes)
    with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool:
        bandwidth, cpu_share = _read(pool, _Reading(threads, size, time_seconds), vector)
    with threadpool_limits(limits=threads):
        flops = _multiply(time_seconds)
    return Measurement(
        bandwidth_bytes_per_second=bandwidth,
        matmul_flops=flops,
        threads=threads,
        buffer_bytes=size,
        seconds=time.perf_counter() - began,
        cpu_share=cpu_share,
    )


def buffer_bytes(cache_bytes: int, free_bytes: int) -> int:
    wanted = min(max(_CACHES * cache_bytes, _LEAST_BYTES), _MOST_BYTES)
    return max(_WIDTH * 4, min(wanted, free_bytes // _SHARE_OF_FREE))


def spread(rates: list[float]) -> Spread:
    """The first round is left out: it warms up. Cut to the middle four fifths, because a machine has other work too."""
    ordered = sorted(rates[1:] or rates)
    cut = len(ordered) // 10
    return Spread(median=median(ordered), low=ordered[cut], high=ordered[-1 - cut], rounds=len(ordered))


class _Reading(NamedTuple):
    threads: int
    size_bytes: int
    time_seconds: float


def _read(pool: ThreadPoolExecutor, how: _Reading, vector: Any) -> tuple[Spread, float]:
    import numpy as np

    threads, size, time_seconds = how
    rows = max(1, min(size // (4 * threads), _CHUNK_BYTES) // (_WIDTH * 4))
    count = max(1, size // (rows * _WIDTH * 4))
    chunks = list(pool.map(lambda _: np.ones((rows, _WIDTH), dtype=np.float32), range(count)))

    def take(turns: Iterator[int]) -> None:
        # `next` is one step under the interpreter's lock; the product runs outside it.
        for turn in turns:
            np.dot(chunks[turn % count], vector)

    def read(times: int) -> None:
        turns = iter(range(times * count))
        list(pool.map(take, [turns] * threads))

    read(1)
    began = time.perf_counter()
    read(1)
    times = max(1, round(_ROUND_SECONDS / (time.perf_counter() - began)))
    began, cpu_began = time.perf_counter(), time.process_time()
    rates = _timed(lambda: read(times), float(times * sum(chunk.nbytes for chunk in chunks)), time_seconds=time_seconds)
    return rates, min(1.0, (time.process_time() - cpu_began) / (time.perf_counter() - began) / threads)


def _multiply(time_seconds: float) -> Spread:
    import numpy as np

    def product(side: int) -> Callable[[], object]:
        left = np.ones((side, side), dtype=np.float32)
        out = np.empty_like(left)
        return lambda: np.dot(left, left, out=out)

    small, large = product(_SIDES[0]), product(_SIDES[1])
    small()
    began = time.perf_counter()
    small()
    expected_seconds = (time.perf_counter() - began) * (_SIDES[1] / _SIDES[0]) ** 3
    slow = _FEWEST_ROUNDS * expected_seconds > time_seconds
    return _timed(small if slow else large, 2.0 * _SIDES[0 if slow else 1] ** 3, time_seconds=time_seconds)


def _timed(work: Callable[[], object], amount: float, *, time_seconds: float) -> Spread:
    """Amounts per second, of rounds until the time is up; the first is left out."""
    rates: list[float] = []
    end = time.perf_counter() + time_seconds
    while len(rates) < _FEWEST_ROUNDS or time.perf_counter() < end:
        began = time.perf_counter()
        work()
        rates.append(amount / (time.perf_counter() - began))
    return spread(rates)
