"""A scanner process as its user sees it: `kinds(body)`. Blocking; for several at once use several, each in a thread.

A process that dies or hangs is replaced, and the body that it had is `unscanned`: fail closed, and go on.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from insource.config import child_environment
from insource.traffic.request_scan import UNSCANNED
from insource.traffic.scan_process import read_frame, write_frame

HUNG_SECONDS = 30.0
"""Without an answer and without any processor time used: what waits for nothing that is known never ends."""
_LOOK_SECONDS = 1.0


class ScanProcess:
    """Started with the first body."""

    def __init__(self, detector: str, *, cpu_seconds: float, hung_seconds: float = HUNG_SECONDS) -> None:
        """`detector` by its registered name; `cpu_seconds` as in scan_process.allowance_seconds."""
        self._argv = (sys.executable, "-P", "-m", "insource.traffic.scan_process", detector, str(cpu_seconds))
        self._hung_seconds = hung_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._busy = threading.Lock()
        self._starting = threading.Lock()
        """Held while a process starts: none may start after `close`."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def kinds(self, body: bytes) -> tuple[str, ...]:
        """The kinds of private data in a request's body, sorted; with `unscanned` where it was not read to its end."""
        with self._busy:
            try:
                answer = self._asked(body)
            except OSError:
                answer = None
            if answer is None:
                self._drop()
                return (UNSCANNED,)
            return tuple(msgspec.json.decode(answer, type=list[str]))

    def _asked(self, body: bytes) -> bytes | None:
        process = self._running()
        if process is None:
            return None
        to, back = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        write_frame(to, body)
        return read_frame(back) if self._answers(process, back) else None

    def close(self) -> None:
        """Ends the process, also under another thread that waits in `kinds`: then its body is unscanned, as are all
        after it. Idempotent."""
        with self._starting:
            self._closed, process = True, self._process
        if process is not None:
            process.kill()
        with self._busy:
            self._drop()

    def _drop(self) -> None:
        """Ends the process, at once if it does not end by itself; the next body starts another."""
        process, self._process = self._process, None
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

    def _running(self) -> subprocess.Popen[bytes] | None:
        """None: closed."""
        if self._process is None or self._process.poll() is not None:
            self._drop()
            with self._starting:
                if self._closed:
                    return None
                self._process = subprocess.Popen(
                    self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()
                )
        return self._process

    def _answers(self, process: subprocess.Popen[bytes], stream: BinaryIO) -> bool:
        """Waits for the answer for as long as the process works; False: it hangs."""
        if sys.platform == "win32":
            return True  # pipes can't be waited for there; the read waits
        used, idle_since = _cpu_ticks(process.pid), time.monotonic()
        waiting = select.poll()  # not select(): a gateway with many connections has descriptors beyond its 1,024
        waiting.register(stream, select.POLLIN)
        while True:
            if waiting.poll(1000 * min(_LOOK_SECONDS, self._hung_seconds)):
                return True
            now = _cpu_ticks(process.pid)
            if now is None or used is None or now > used:
                used, idle_since = now, time.monotonic() if now is not None else idle_since
            if time.monotonic() - idle_since > self._hung_seconds:
                return False


def _cpu_ticks(pid: int) -> int | None:
    """Processor time that a process has used, in the kernel's ticks; None where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return None
