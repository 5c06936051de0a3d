"""Scans of live requests in processes of their own: before the decision where a policy asks for one, else off the way.

A request that waits for its scan waits for as long as others are before it: load and queues change no decision. Off the
way the queue is bounded by bytes; what does not fit stays unscanned in the log, for whoever reads the log next.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from insource.core.ports import RequestScan
from insource.routing.decide import UNSCANNED

_LOG = logging.getLogger(__name__)
WAITING_BYTES = 8 << 20
"""Of requests that wait for a scan off the way."""
_LAST_SECONDS = 1.0
"""What scans under way get when the gateway stops: a detector that sleeps must not hold it up."""

Found = Callable[[tuple[str, ...]], None]
"""Told what a scan found, in a thread."""
_Job = tuple[bytes, Found]


class Scans:
    def __init__(self, make: Callable[[], RequestScan], *, processes: int) -> None:
        """Threads and processes start with the first request."""
        self._make = make
        self._processes = processes
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._scans: list[RequestScan] = []
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._closed = False
        self.skipped = 0
        """Requests left unscanned because the queue was full."""

    async def kinds(self, body: bytes) -> tuple[str, ...]:
        """Waits for its turn, however long that takes."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[str, ...]] = loop.create_future()

        def found(kinds: tuple[str, ...]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(lambda: answer.done() or answer.set_result(kinds))

        self._put((body, found))
        return await answer

    def offer(self, body: bytes, found: Found) -> bool:
        """Off the way; False: the queue is full, and the request stays unscanned."""
        with self._lock:
            if self._closed or self._waiting_bytes + len(body) > WAITING_BYTES:
                self.skipped += 1
                return False
            self._waiting_bytes += len(body)

        def scanned(kinds: tuple[str, ...]) -> None:
            with self._lock:
                self._waiting_bytes -= len(body)
            if not (self._closed and UNSCANNED in kinds):  # what the end cut short is not scanned yet
                found(kinds)

        self._put((body, scanned))
        return True

    def close(self) -> None:
        """Ends the threads and their processes. What waits is not scanned; what is being scanned gets a moment."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
        with suppress(queue.Empty):
            while True:
                if (job := self._jobs.get_nowait()) is not None:
                    job[1]((UNSCANNED,))
        for _ in threads:
            self._jobs.put(None)
        deadline = time.monotonic() + _LAST_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for scan in self._scans:
            scan.close()
        for thread in threads:
            thread.join()

    def _put(self, job: _Job) -> None:
        with self._lock:
            if not self._closed:
                self._jobs.put(job)
                if len(self._threads) < self._processes:
                    thread = threading.Thread(target=self._work, name="insource-scan", daemon=True)
                    self._threads.append(thread)
                    thread.start()
                return
        job[1]((UNSCANNED,))

    def _work(self) -> None:
        """Outlives whatever a scan raises, for requests wait for its answer."""
        scan: RequestScan | None = None
        while (job := self._jobs.get()) is not None:
            body, found = job
            try:
                scan = scan or self._opened()
                kinds = scan.kinds(body)
            except Exception as error:
                # Without the traceback: a detector's frames and messages may quote what it found.
                _LOG.error("A request was not scanned (%s).", type(error).__name__)
                kinds = (UNSCANNED,)
            try:
                found(kinds)
            except Exception:
                _LOG.exception("What a scan found could not be noted.")
        if scan is not None:
            scan.close()

    def _opened(self) -> RequestScan:
        scan = self._make()
        with self._lock:
            self._scans.append(scan)
        return scan
