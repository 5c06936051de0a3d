"""A scanner process as its user sees it. Blocking; for several at once use several, each in a thread.

A process that dies or hangs is replaced, and the request that it had is `unscanned`: fail closed, and go on.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from insource.config import child_environment
from insource.core.policy import UNSCANNED, WATCH, Policy
from insource.core.scanning import Examined, ScanJob
from insource.traffic.scan_process import Order, read_frame, write_frame

OFF_THE_WAY = 10
"""Niceness of a process whose scans nobody waits for: answers to clients come first."""
HUNG_SECONDS = 30.0
"""Without an answer and without any processor time used: what waits for nothing that is known never ends."""
_LOOK_SECONDS = 1.0
_TOGETHER, _TOGETHER_BYTES = 64, 1 << 20
"""Bodies that go to the process at once, and bytes of them: a round trip costs as much as the scan of a short one."""


class ScanProcess:
    """Started with the first request."""

    def __init__(
        self,
        detector: str,
        *,
        cpu_seconds: float,
        policy: Callable[[], Policy] = lambda: WATCH,
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        """`detector` by its registered name; `cpu_seconds` as in scan_process.allowance_seconds; `policy` for
        requests that come without one: it may raise, and then `kinds` does."""
        self._argv = (sys.executable, "-P", "-m", "insource.traffic.scan_process", detector, str(cpu_seconds))
        self._own_policy = policy
        self._hung_seconds = hung_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._niceness = 0
        self._told: Policy | None = None
        """The policy that the process knows."""
        self._closed = False
        self._busy = threading.Lock()
        self._starting = threading.Lock()
        """Held while a process starts: none may start after `close`."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def kinds(self, body: bytes) -> tuple[str, ...]:
        """The kinds of private data in a request's body, sorted; with `unscanned` where it was not read to its end."""
        return self.examine(ScanJob(body=body, policy=self._own_policy())).names

    def kinds_of(self, bodies: Sequence[bytes]) -> list[tuple[str, ...]]:
        policy = self._own_policy()
        return [
            examined.names
            for some in _together(bodies)
            for examined in self._examined([ScanJob(body=body, policy=policy) for body in some])
        ]

    def examine(self, job: ScanJob) -> Examined:
        return self._examined([job])[0]

    def _examined(self, jobs: Sequence[ScanJob]) -> list[Examined]:
        """Of jobs under one policy. Where the process fails with several, each is asked for by itself: only what it
        fails with is unscanned."""
        with self._busy:
            try:
                answer = self._asked(jobs)
            except OSError:
                answer = None
            if answer is not None:
                return msgspec.msgpack.decode(answer, type=list[Examined])
            self._drop()
        if len(jobs) == 1:
            return [Examined(kinds={UNSCANNED: 1})]
        return [self.examine(job) for job in jobs]

    def _asked(self, jobs: Sequence[ScanJob]) -> bytes | None:
        policy = jobs[0].policy
        process = self._running(0 if policy.acts else OFF_THE_WAY)
        if process is None:
            return None
        to, back = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        write_frame(to, self._order(jobs, policy))
        return read_frame(back) if self._answers(process, back) else None

    def _order(self, jobs: Sequence[ScanJob], policy: Policy) -> bytes:
        new = None if policy is self._told else policy
        self._told = policy
        return msgspec.msgpack.encode(Order(jobs=[replace(job, policy=WATCH) for job in jobs], policy=new))

    def close(self) -> None:
        """Ends the process, also under another thread that waits for its answer: then its request is unscanned, as are
        all after it. Idempotent."""
        with self._starting:
            self._closed, process = True, self._process
        if process is not None:
            process.kill()
        with self._busy:
            self._drop()

    def _drop(self) -> None:
        """Ends the process, at once if it does not end by itself; the next request starts another."""
        process, self._process = self._process, None
        self._told = None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _running(self, niceness: int) -> subprocess.Popen[bytes] | None:
        """At most so nice: priority can't be won back, so a process that is nicer is replaced. None: closed."""
        if self._process is None or self._process.poll() is not None or self._niceness > niceness:
            self._drop()
            with self._starting:
                if self._closed:
                    return None
                argv, self._niceness = (*self._argv, str(niceness)), niceness
                self._process = subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()
                )
        return self._process

    def _answers(self, process: subprocess.Popen[bytes], stream: BinaryIO) -> bool:
        """Waits for the answer for as long as the process works; False: it hangs."""
        if sys.platform == "win32":
            return True  # pipes can't be waited for there; the read waits
        waiting = select.poll()  # not select(): a gateway with many connections has descriptors beyond its 1,024
        waiting.register(stream, select.POLLIN)
        look_ms = 1000 * min(_LOOK_SECONDS, self._hung_seconds)
        if waiting.poll(look_ms):
            return True
        used, idle_since = _cpu_ticks(process.pid), time.monotonic()
        while True:
            if waiting.poll(look_ms):
                return True
            now = _cpu_ticks(process.pid)
            if now is None or used is None or now > used:
                used, idle_since = now, time.monotonic() if now is not None else idle_since
            if time.monotonic() - idle_since > self._hung_seconds:
                return False


def _together(bodies: Sequence[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    size_bytes = 0
    for body in bodies:
        if some and (len(some) == _TOGETHER or size_bytes + len(body) > _TOGETHER_BYTES):
            yield some
            some, size_bytes = [], 0
        some.append(body)
        size_bytes += len(body)
    if some:
        yield some


def _cpu_ticks(pid: int) -> int | None:
    """Processor time that a process has used, in the kernel's ticks; None where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return None
