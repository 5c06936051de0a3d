"""Scanning recorded requests in a thread, so that a detector that hangs stops neither an import nor an export.

Not here: what is scanned in a request, and the scan of one that a client waits for (traffic/request_scan.py).
"""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Self

from insource.core.ports import Clock, PrivacyDetector
from insource.core.values import JsonObject
from insource.traffic.request_scan import UNSCANNED, Remembering, request_kinds

_PATIENCE = 40
"""Times the limit for live requests: nobody waits here, and a busy machine must not make more requests private."""

_Answer = queue.SimpleQueue["tuple[str, ...]"]
_Job = tuple[JsonObject, _Answer]


class RequestScanner:
    UNSCANNED = UNSCANNED

    def __init__(self, detector: PrivacyDetector, privacy_seconds: float, *, clock: Clock) -> None:
        self._detector = Remembering(detector)
        self._clock = clock
        self._limit_seconds = privacy_seconds * _PATIENCE
        self._jobs: queue.SimpleQueue[_Job | None] | None = None

    def kinds(self, request: JsonObject) -> tuple[str, ...]:
        """The kinds of private data in a request, sorted; with `unscanned` when it was not read to its end."""
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(self._jobs,), name="privacy-scanner", daemon=True).start()
        answer: _Answer = queue.SimpleQueue()
        self._jobs.put((request, answer))
        try:
            return answer.get(timeout=2 * self._limit_seconds)
        except queue.Empty:
            self._end()  # the thread is left to its scan; the next request gets a new one
            return (UNSCANNED,)

    def _work(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            request, answer = job
            answer.put(request_kinds(request, self._detector, seconds=self._limit_seconds, clock=self._clock))

    def _end(self) -> None:
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
