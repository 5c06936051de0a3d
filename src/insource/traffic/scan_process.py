"""The scanner's own process: reads requests on stdin, answers with what is private in each, and masks it where its
policy says so.

A process of its own, because a scan must neither hold up a gateway's answers nor be able to stop them. Its limit is
processor time, in proportion to the body: how busy the machine is changes no finding.

    python -m insource.traffic.scan_process DETECTOR CPU_SECONDS NICENESS

Frames, both ways: four bytes of length (big-endian) and so many bytes of MessagePack; an order in, its results out.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import BinaryIO

import msgspec

from insource import plugins
from insource.core.policy import UNSCANNED, WATCH, Policy
from insource.core.ports import PrivacyDetector
from insource.core.scanning import Examined, ScanJob
from insource.traffic.request_scan import Remembering, examine
from insource.traffic.sieve import Sieve

if sys.platform != "win32":
    import resource

LENGTH_BYTES = 4
_BYTES_PER_ALLOWANCE = 1 << 20
_GRACE_SECONDS = 1.0
"""Of processor time beyond the limit, until the kernel ends the process."""


class OutOfTime(Exception):
    """The scan used up its processor time."""


def write_frame(stream: BinaryIO, data: bytes) -> None:
    stream.write(len(data).to_bytes(LENGTH_BYTES))
    stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """None at the end of the stream."""
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    size = int.from_bytes(head)
    data = stream.read(size)
    return data if len(data) == size else None


def allowance_seconds(size_bytes: int, cpu_seconds: float, *, linear_time: bool) -> float:
    """Processor time for a body: `cpu_seconds`, and as much again for each MiB where the detector's time is linear."""
    return cpu_seconds * (1 + size_bytes / _BYTES_PER_ALLOWANCE) if linear_time else cpu_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What goes to the process."""

    jobs: list[ScanJob]
    """Without their policy: all have the same."""
    policy: Policy | None
    """None: that of the order before."""


class Scanner:
    """Examines one job after the other."""

    def __init__(self, detector: PrivacyDetector, cpu_seconds: float) -> None:
        self._detector = Remembering(detector)
        self._cpu_seconds = cpu_seconds
        self._policy = WATCH
        self._sieve = Sieve(WATCH)

    def answer(self, order: Order) -> list[Examined]:
        if order.policy is not None:
            self._policy, self._sieve = order.policy, Sieve(order.policy)
        return [self._examined(replace(job, policy=self._policy)) for job in order.jobs]

    def _examined(self, job: ScanJob) -> Examined:
        """With a limit where the system has timers of processor time (all but Windows)."""
        if sys.platform == "win32":
            return examine(job, self._detector, self._sieve)
        size_bytes = len(job.body) + len(job.target) + sum(len(name) + len(value) for name, value in job.headers)
        allowed = allowance_seconds(size_bytes, self._cpu_seconds, linear_time=self._detector.linear_time)
        _end_after(allowed + _GRACE_SECONDS)
        # Again and again, because a detector may catch the first.
        signal.setitimer(signal.ITIMER_PROF, allowed, 0.1)
        try:
            return examine(job, self._detector, self._sieve)
        except OutOfTime:  # between two texts, where nobody catches it
            return Examined(kinds={UNSCANNED: 1})
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _end_after(seconds: float) -> None:
    """The process ends once it has used so much more processor time: a detector may catch every exception, or never
    come back from its C code to where one is raised."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _stop(number: int, frame: object) -> None:
    raise OutOfTime


def _own_stdout() -> BinaryIO:
    """Where the answers go. What a detector prints goes nowhere: it would break the frames, and may be what it
    found."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return answers


def main() -> None:
    answers = _own_stdout()
    if sys.platform != "win32":
        signal.signal(signal.SIGPROF, _stop)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold what was being scanned
        os.nice(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and the end of stdin ends this
    scanner = Scanner(plugins.load("detectors", sys.argv[1]), float(sys.argv[2]))
    decoder = msgspec.msgpack.Decoder(Order)
    encoder = msgspec.msgpack.Encoder()
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        write_frame(answers, encoder.encode(scanner.answer(decoder.decode(frame))))


if __name__ == "__main__":
    main()
