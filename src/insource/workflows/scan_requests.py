"""Scanning recorded requests for private data, failing closed: what was not scanned to its end is private.

Not here: the scan of a request that a client waits for.
"""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Self

from insource.core.ports import PrivacyDetector
from insource.core.values import JsonObject
from insource.wire import chat

_PATIENCE = 40
"""Times the limit for live requests: nobody waits here, and a busy machine must not make more requests private."""
_MOST_CHARACTERS = 2_000_000
"""A longer request is not scanned (and so is private): the cost of a scan grows with its length."""

_Answer = queue.SimpleQueue["tuple[str, ...] | None"]


class RequestScanner:
    """Runs the detector in a thread, so that one that hangs stops neither an import nor an export."""

    UNSCANNED = "unscanned"

    def __init__(self, detector: PrivacyDetector, privacy_seconds: float) -> None:
        self._detector = detector
        self._limit_seconds = privacy_seconds * _PATIENCE
        self._jobs: queue.SimpleQueue[tuple[str, _Answer] | None] | None = None

    def kinds(self, request: JsonObject) -> tuple[str, ...]:
        """The kinds of private data in a request, sorted; `("unscanned",)` when the detector failed or was too slow."""
        text = "\n".join(chat.strings(request))
        if len(text) > _MOST_CHARACTERS:
            return (self.UNSCANNED,)
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(self._jobs,), name="privacy-scanner", daemon=True).start()
        answer: _Answer = queue.SimpleQueue()
        self._jobs.put((text, answer))
        try:
            found = answer.get(timeout=self._limit_seconds)
        except queue.Empty:
            self._end()  # the thread is left to its scan; the next request gets a new one
            found = None
        return (self.UNSCANNED,) if found is None else found

    def _work(self, jobs: queue.SimpleQueue[tuple[str, _Answer] | None]) -> None:
        while (job := jobs.get()) is not None:
            text, answer = job
            try:
                answer.put(tuple(sorted({span.kind for span in self._detector.scan(text)})))
            except Exception:  # whatever went wrong in a detector, the request is private
                answer.put(None)

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
