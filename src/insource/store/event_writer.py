"""Takes events off the request path: a thread of its own writes what came in meanwhile, one transaction a batch.

What can't be written is tried again with the next batch, within bounds; what the bounds can't hold is counted and told,
never dropped silently.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from insource.core.errors import StorageError
from insource.core.evidence import Event

_PAUSE_SECONDS = 0.5
_MOST_WAITING = 10_000


class EventWriter:
    """Its thread starts with the first event."""

    def __init__(
        self,
        put: Callable[[Sequence[Event]], None],
        *,
        gather_seconds: float = 0.02,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        """`gather_seconds`: how long the first event of a batch waits for company."""
        self._put = put
        self._gather_seconds = gather_seconds
        self._on_error = on_error
        self._changed = threading.Condition()
        self._waiting: list[Event] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self.dropped = 0

    def note(self, event: Event) -> None:
        """Returns at once, never raises."""
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING or self._closing:
                self.dropped += 1
                return
            self._waiting.append(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Writes what waits; what fails now is dropped and told. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if self.dropped:
            self._on_error(
                StorageError(f"{self.dropped} events were not written.", next_step="Check the disk and the database.")
            )
            self.dropped = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._closing:
                    self._changed.wait_for(lambda: self._closing, self._gather_seconds)
                batch, self._waiting = self._waiting, []
                closing = self._closing
            if batch and not self._write(batch):
                with self._changed:
                    if closing:
                        self.dropped += len(batch)
                    else:
                        self._waiting = [*batch, *self._waiting]
                        self._changed.wait_for(lambda: self._closing, _PAUSE_SECONDS)
            if closing:
                return

    def _write(self, batch: Sequence[Event]) -> bool:
        try:
            self._put(batch)
        except Exception as error:  # the thread must outlive whatever a store raises
            self._on_error(error)
            return False
        return True
