"""The batching writer: takes exchanges off the request path and writes them, one transaction a batch.

`record` only appends to a list under a lock that nobody holds for longer than that. A thread of its own gathers what
comes in for a part of `flush_seconds` and commits it, so that an exchange is on disk within `flush_seconds` of its
recording as long as the disk keeps up (promise 5).

When the store can't be written (locked, disk full), the batch is kept and tried again with back-off; what comes in
meanwhile waits too, within bounds. What the bounds can't hold is dropped, counted, and told to `on_error`: never
silently.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from insource.core.errors import StorageError
from insource.core.values import Exchange
from insource.store.documents import encode

_GATHER_SHARE = 0.4
"""Of `flush_seconds`: how long the first exchange of a batch waits for company. The rest is for the commit before it,
that may be under way when it comes in, and its own."""
_MAX_BATCH = 500
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_UNMEASURED = 256
"""Waiting exchanges below which nobody measures their size: a healthy writer never has more, whatever the load."""


class Appends(Protocol):
    """What is used of the ExchangeStore here."""

    def append(self, exchanges: Sequence[Exchange]) -> int: ...

    def set_private_kinds(self, kinds_of: Mapping[str, tuple[str, ...]]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Scanned:
    """What a scan found in a request after its exchange was recorded."""

    exchange_id: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterHealth:
    """Counts are of exchanges since the start."""

    written: int
    """Handed to the store and committed; one whose id was already there counts too."""
    waiting: int
    dropped: int
    error: StorageError | None
    """Why the last attempt failed; None: it did not."""


class BatchingWriter:
    """Start it by making it; `close` it at the end."""

    def __init__(
        self,
        store: Appends,
        *,
        flush_seconds: float = 0.05,
        on_error: Callable[[Exception], None] = lambda _error: None,
        max_waiting: int = 10_000,
        max_waiting_bytes: int = 64 * 2**20,
    ) -> None:
        """`on_error` is called in the writer's thread, after every failed attempt and for every drop it makes."""
        self._store = store
        self._gather_seconds = flush_seconds * _GATHER_SHARE
        self._on_error = on_error
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._changed = threading.Condition()
        self._waiting: list[Exchange | _Scanned] = []
        self._waiting_bytes = 0
        self._notes = 0  # of `_waiting`, what scans found
        self._taken = 0  # exchanges in the batch being written
        self._recorded = 0
        self._written = 0
        self._dropped = 0
        self._told_dropped = 0
        self._error: StorageError | None = None
        self._flushes = 0  # callers of flush that wait
        self._give_up_at: float | None = None  # monotonic; None: not closing
        self._thread = threading.Thread(target=self._run, name="exchange-writer", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Returns at once, never raises. After `close` it only counts the exchange as dropped."""
        with self._changed:
            self._recorded += 1
            size = _size_bytes(exchange) if len(self._waiting) >= _UNMEASURED else 0
            full = self._exchanges >= self._max_waiting
            if full or self._waiting_bytes + size > self._max_waiting_bytes or self._give_up_at is not None:
                self._dropped += 1
                return
            self._waiting.append(exchange)
            self._waiting_bytes += size
            if len(self._waiting) in (1, _MAX_BATCH):  # what the thread waits for
                self._changed.notify_all()

    def note_scan(self, exchange_id: str, kinds: tuple[str, ...]) -> None:
        """What a scan found in the request of an exchange that was recorded before. Where nobody has room for it, the
        exchange stays unscanned. Returns at once, never raises."""
        with self._changed:
            if self._notes >= self._max_waiting or self._give_up_at is not None:
                return
            self._waiting.append(_Scanned(exchange_id, kinds))
            self._notes += 1
            if len(self._waiting) in (1, _MAX_BATCH):
                self._changed.notify_all()

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Waits until everything recorded before this call is on disk or dropped; False: not within the time."""
        with self._changed:
            target = self._recorded
            self._flushes += 1
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._written + self._dropped >= target, timeout_seconds)
            self._flushes -= 1
            return done

    def health(self) -> WriterHealth:
        with self._changed:
            return WriterHealth(
                written=self._written,
                waiting=self._exchanges,
                dropped=self._dropped,
                error=self._error,
            )

    def close(self, timeout_seconds: float = 10.0) -> WriterHealth:
        """Writes what waits, then ends. What can't be written within the time is dropped and counted. Idempotent."""
        with self._changed:
            if self._give_up_at is None:
                self._give_up_at = time.monotonic() + timeout_seconds
            self._changed.notify_all()
        self._thread.join()
        return self.health()

    @property
    def _exchanges(self) -> int:
        """Not written yet."""
        return len(self._waiting) - self._notes + self._taken

    # ------------------------------------------------------------------------------------- the writer's thread

    def _run(self) -> None:
        while batch := self._next_batch():
            self._write_until_done(batch)
            self._tell_drops()
        self._tell_drops()

    def _next_batch(self) -> list[Exchange | _Scanned]:
        """Blocks until there is something to write; empty: closed, and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._give_up_at is not None)
            self._changed.wait_for(
                lambda: len(self._waiting) >= _MAX_BATCH or self._flushes or self._give_up_at is not None,
                self._gather_seconds,
            )
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            if not self._waiting:
                self._waiting_bytes = 0
            self._taken = sum(isinstance(item, Exchange) for item in batch)
            self._notes -= len(batch) - self._taken
            return batch

    def _write_until_done(self, items: list[Exchange | _Scanned]) -> None:
        batch, later = _joined(items)
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self._store.append(batch)
                self._store.set_private_kinds(later)
            except StorageError as error:
                with self._changed:
                    self._error = error
                self._tell(error)
                if not self._pause(pause_seconds):
                    self._done(written=0, dropped=len(batch))
                    return
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            except Exception as error:  # an exchange that no store can hold; the thread must outlive it
                if len(batch) <= 1:
                    self._tell(error)
                    self._done(written=0, dropped=len(batch))
                    return
                for exchange in batch:
                    self._write_until_done([exchange])
                self._write_until_done([_Scanned(exchange_id, kinds) for exchange_id, kinds in later.items()])
                return
            else:
                with self._changed:
                    self._error = None
                self._done(written=len(batch), dropped=0)
                return

    def _pause(self, seconds: float) -> bool:
        """Waits before the next attempt; False: closing, and the time is over."""
        with self._changed:
            if self._give_up_at is None:
                self._changed.wait_for(lambda: self._give_up_at is not None, seconds)
                return True
            left_seconds = self._give_up_at - time.monotonic()
            if left_seconds <= 0:
                return False
        time.sleep(min(seconds, left_seconds))
        return True

    def _done(self, *, written: int, dropped: int) -> None:
        with self._changed:
            self._written += written
            self._dropped += dropped
            self._taken -= written + dropped
            self._changed.notify_all()

    def _tell_drops(self) -> None:
        with self._changed:
            fresh, self._told_dropped = self._dropped - self._told_dropped, self._dropped
        if fresh:
            self._tell(
                StorageError(
                    f"{fresh} exchanges were not recorded: the store could not be written fast enough.",
                    next_step="Check the disk and what else holds the database.",
                )
            )

    def _tell(self, error: Exception) -> None:
        with suppress(Exception):  # a listener's own failure must not end the thread that writes the log
            self._on_error(error)


def _joined(items: Sequence[Exchange | _Scanned]) -> tuple[list[Exchange], dict[str, tuple[str, ...]]]:
    """The exchanges, with what scans found of them meanwhile; and what they found of exchanges written before."""
    found = {item.exchange_id: item.kinds for item in items if isinstance(item, _Scanned)}
    batch = [
        replace(item, private_kinds=found.pop(item.id)) if item.id in found else item
        for item in items
        if isinstance(item, Exchange)
    ]
    return batch, found


def _size_bytes(exchange: Exchange) -> int:
    try:
        return len(encode((exchange.request, exchange.response, exchange.metadata)))
    except Exception:  # it can't be written either; the thread will say so and count it
        return 0
