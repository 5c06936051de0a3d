"""Scans of live requests: whatever a detector does, requests that wait get an answer, and the end comes soon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from insource.core.scanning import Examined, ScanJob
from insource.workflows.serve.scans import WAITING_BYTES, Scans

PATIENCE_SECONDS = 30.0


class ScriptedScan:
    """A RequestScan that does with each body what its script says; `close` wakes one that sleeps."""

    def __init__(self, script: Callable[[bytes], tuple[str, ...]]) -> None:
        self.closed = threading.Event()
        self._script = script

    def kinds(self, body: bytes) -> tuple[str, ...]:
        return self.examine(ScanJob(body=body)).names

    def kinds_of(self, bodies: Sequence[bytes]) -> list[tuple[str, ...]]:
        return [self.kinds(body) for body in bodies]

    def examine(self, job: ScanJob) -> Examined:
        if job.body == b"sleep":
            self.closed.wait(PATIENCE_SECONDS)
            return Examined(kinds={"unscanned": 1})
        return Examined(kinds=dict.fromkeys(self._script(job.body), 1))

    def close(self) -> None:
        self.closed.set()


def _finds_secret(body: bytes) -> tuple[str, ...]:
    if body == b"raise":
        raise ValueError("a detector's own fault")
    return ("word",) if body == b"secret" else ()


async def _names(scans: Scans, body: bytes) -> tuple[str, ...]:
    return (await scans.examine(ScanJob(body=body))).names


async def test_a_scan_that_raises_costs_its_own_body_only() -> None:
    scans = Scans(lambda: ScriptedScan(_finds_secret), processes=1)
    found = [await _names(scans, body) for body in (b"raise", b"secret", b"raise", b"x")]
    assert found == [("unscanned",), ("word",), ("unscanned",), ()]
    scans.close()


async def test_a_scan_that_can_not_be_made_leaves_its_body_unscanned_and_is_tried_again() -> None:
    failures = [OSError("no more processes")]

    def make() -> ScriptedScan:
        if failures:
            raise failures.pop()
        return ScriptedScan(_finds_secret)

    scans = Scans(make, processes=1)
    assert [await _names(scans, b"secret") for _ in range(2)] == [("unscanned",), ("word",)]
    scans.close()


async def test_a_listener_that_fails_ends_no_thread() -> None:
    scans = Scans(lambda: ScriptedScan(_finds_secret), processes=1)

    def fails(examined: Examined) -> None:
        raise RuntimeError("the log is gone")

    assert scans.offer(ScanJob(body=b"secret"), fails)
    assert await _names(scans, b"secret") == ("word",)
    scans.close()


@pytest.mark.parametrize("processes", [1, 3])
async def test_the_end_does_not_wait_for_a_detector_that_sleeps_and_answers_who_waits(processes: int) -> None:
    scans = Scans(lambda: ScriptedScan(_finds_secret), processes=processes)
    noted: list[Examined] = []
    asked = [asyncio.create_task(_names(scans, b"sleep")) for _ in range(processes)]
    waiting = asyncio.create_task(_names(scans, b"secret"))
    await asyncio.sleep(0)
    assert scans.offer(ScanJob(body=b"secret"), noted.append)
    started = time.monotonic()
    await asyncio.to_thread(scans.close)
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    assert await asyncio.gather(*asked, waiting) == [("unscanned",)] * (processes + 1)
    assert noted == [], "what was not scanned stays so in the log"
    assert await _names(scans, b"secret") == ("unscanned",), "after the end"
    assert not scans.offer(ScanJob(body=b"secret"), noted.append)


async def test_what_waits_off_the_way_is_bounded_by_its_bytes() -> None:
    scans = Scans(lambda: ScriptedScan(_finds_secret), processes=1)
    noted: list[Examined] = []
    assert scans.offer(ScanJob(body=b"sleep"), noted.append)
    large = ScanJob(body=bytes(WAITING_BYTES // 2))
    assert [scans.offer(large, noted.append) for _ in range(3)] == [True, False, False]
    assert scans.skipped == 2
    await asyncio.to_thread(scans.close)
