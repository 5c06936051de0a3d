"""Scans of live requests in processes of their own: before the decision where a policy asks for one, else off the way.

A request that waits for its scan waits for as long as others are before it: load and queues change no decision. Off the
way the queue is bounded by bytes; what does not fit stays unscanned in the log, for whoever reads the log next.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable

from insource.core.policy import UNSCANNED
from insource.core.ports import RequestScan
from insource.core.scanning import Examined, ScanJob

WAITING_BYTES = 32 << 20
"""Of requests that wait for a scan off the way."""

Found = Callable[[Examined], None]
"""Told what a scan found, in a thread."""
_Job = tuple[ScanJob, Found]


class Scans:
    def __init__(self, make: Callable[[], RequestScan], *, processes: int) -> None:
        """Threads and processes start with the first request."""
        self._make = make
        self._processes = processes
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self.skipped = 0
        """Requests left unscanned because the queue was full."""

    async def examine(self, job: ScanJob) -> Examined:
        """Waits for its turn, however long that takes."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Examined] = loop.create_future()

        def found(examined: Examined) -> None:
            loop.call_soon_threadsafe(lambda: answer.done() or answer.set_result(examined))

        self._put((job, found))
        return await answer

    def offer(self, job: ScanJob, found: Found) -> bool:
        """Off the way; False: the queue is full, and the request stays unscanned."""
        with self._lock:
            if self._waiting_bytes + len(job.body) > WAITING_BYTES:
                self.skipped += 1
                return False
            self._waiting_bytes += len(job.body)

        def scanned(examined: Examined) -> None:
            with self._lock:
                self._waiting_bytes -= len(job.body)
            found(examined)

        self._put((job, scanned))
        return True

    def close(self) -> None:
        """Ends the threads and their processes after what they are at; what waits is not scanned."""
        with self._lock:
            threads, self._threads = self._threads, []
        while True:
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    def _put(self, job: _Job) -> None:
        self._jobs.put(job)
        if len(self._threads) < self._processes:
            with self._lock:
                if len(self._threads) < self._processes:
                    thread = threading.Thread(target=self._work, name="insource-scan", daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _work(self) -> None:
        scan = self._make()
        try:
            while (waiting := self._jobs.get()) is not None:
                job, found = waiting
                found(_examined(scan, job))
        finally:
            scan.close()


def _examined(scan: RequestScan, job: ScanJob) -> Examined:
    """Whatever goes wrong, whoever waits gets an answer."""
    try:
        return scan.examine(job)
    except Exception:
        return Examined(kinds={UNSCANNED: 1})
