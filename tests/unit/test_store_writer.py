"""The batching writer against stores that work, hang, fail and refuse."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from insource.core.errors import StorageError
from insource.core.values import Exchange
from insource.store import writer as writer_module
from insource.store.writer import BatchingWriter

PATIENCE_SECONDS = 30.0


def _exchange(id: str, text: str = "") -> Exchange:
    return Exchange(id=id, created=datetime(2026, 1, 1, tzinfo=UTC), request={"text": text})


class Store:
    """Keeps batches. `open_` is the disk: while cleared, writing blocks; `error` is what writing raises."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.kinds: dict[str, tuple[str, ...] | None] = {}
        self.updates: list[dict[str, tuple[str, ...]]] = []
        self.error: Exception | None = None
        self.update_error: Exception | None = None
        self.refuses = ""
        self.open_ = threading.Event()
        self.open_.set()
        self.attempted = threading.Event()

    def append(self, exchanges: Sequence[Exchange]) -> int:
        self.attempted.set()
        assert self.open_.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        if any(exchange.id == self.refuses for exchange in exchanges):
            raise TypeError("can't be encoded")
        if exchanges:
            self.batches.append([exchange.id for exchange in exchanges])
        self.kinds |= {exchange.id: exchange.private_kinds for exchange in exchanges}
        return len(exchanges)

    def set_private_kinds(self, kinds_of: Mapping[str, tuple[str, ...]]) -> None:
        if self.update_error is not None:
            raise self.update_error
        if kinds_of:
            self.updates.append(dict(kinds_of))
        self.kinds |= {id: kinds for id, kinds in kinds_of.items() if id in self.kinds}

    @property
    def ids(self) -> list[str]:
        return [id for batch in self.batches for id in batch]


LOCKED = StorageError("locked", next_step="wait")


def test_everything_is_written_in_order_in_few_transactions() -> None:
    store = Store()
    writer = BatchingWriter(store)
    names = [f"e{number}" for number in range(3000)]
    for name in names:
        writer.record(_exchange(name))
    assert writer.flush()
    assert store.ids == names
    assert len(store.batches) < 100
    health = writer.close()
    assert (health.written, health.waiting, health.dropped, health.error) == (3000, 0, 0, None)


def test_without_flush_it_writes_by_itself() -> None:
    store = Store()
    writer = BatchingWriter(store)
    writer.record(_exchange("a"))
    assert store.attempted.wait(PATIENCE_SECONDS)
    writer.close()
    assert store.ids == ["a"]


def test_record_does_not_wait_for_a_store_that_hangs() -> None:
    store = Store()
    store.open_.clear()
    writer = BatchingWriter(store)
    writer.record(_exchange("a"))
    assert store.attempted.wait(PATIENCE_SECONDS)
    writer.record(_exchange("b"))  # returns although the thread is inside append
    assert writer.health().waiting == 2
    assert not writer.flush(timeout_seconds=0.01)
    store.open_.set()
    writer.close()
    assert store.ids == ["a", "b"]


def test_a_locked_store_is_tried_again_and_nothing_is_lost() -> None:
    store, told = Store(), list[Exception]()
    failed_twice = threading.Event()

    def on_error(error: Exception) -> None:
        told.append(error)
        if len(told) == 2:
            failed_twice.set()
        raise RuntimeError("a listener's own failure changes nothing")

    store.error = LOCKED
    writer = BatchingWriter(store, on_error=on_error)
    writer.record(_exchange("a"))
    assert failed_twice.wait(PATIENCE_SECONDS)
    writer.record(_exchange("b"))
    assert writer.health().error is LOCKED
    store.error = None
    assert writer.flush(PATIENCE_SECONDS)
    assert writer.health().error is None
    writer.close()
    assert store.ids == ["a", "b"]
    assert set(told) == {LOCKED}


def test_what_the_bounds_can_not_hold_is_counted_and_told() -> None:
    store, told = Store(), list[str]()
    store.open_.clear()
    writer = BatchingWriter(store, on_error=lambda error: told.append(str(error)), max_waiting=10)
    for number in range(25):
        writer.record(_exchange(f"e{number}"))
    assert writer.health().dropped == 15
    store.open_.set()
    health = writer.close()
    assert (health.written, health.dropped, health.waiting) == (10, 15, 0)
    assert store.ids == [f"e{number}" for number in range(10)]
    assert any("15 exchanges were not recorded" in line for line in told)


def test_memory_is_bounded_in_bytes_too() -> None:
    store = Store()
    store.open_.clear()
    writer = BatchingWriter(store, max_waiting_bytes=100_000)
    writer.record(_exchange("first"))
    assert store.attempted.wait(PATIENCE_SECONDS)
    unmeasured = writer_module._UNMEASURED  # pyright: ignore[reportPrivateUsage] - the bound begins above it
    for number in range(unmeasured + 50):
        writer.record(_exchange(f"e{number}", "x" * 10_000))
    assert writer.health().dropped == 50 - 9, "nine of 10,000 bytes and their frame fit into 100,000"
    store.open_.set()
    writer.close()


def test_an_exchange_that_no_store_can_hold_takes_no_other_with_it() -> None:
    store, told = Store(), list[Exception]()
    store.refuses = "b"
    store.open_.clear()
    writer = BatchingWriter(store, on_error=told.append)
    for name in "abc":
        writer.record(_exchange(name))
    store.open_.set()
    health = writer.close()
    assert store.ids == ["a", "c"]
    assert (health.written, health.dropped) == (2, 1)
    assert any(isinstance(error, TypeError) for error in told)


def test_close_gives_up_on_a_store_that_stays_locked_and_says_so() -> None:
    store, told = Store(), list[str]()
    store.error = LOCKED
    writer = BatchingWriter(store, on_error=lambda error: told.append(str(error)))
    writer.record(_exchange("a"))
    health = writer.close(timeout_seconds=0.0)
    assert (health.written, health.dropped) == (0, 1)
    assert any("1 exchanges were not recorded" in line for line in told)
    writer.record(_exchange("late"))
    assert writer.close().dropped == 2, "after the end it counts, and closing again is harmless"


# --------------------------------------------------------------------------------- what scans found after the record


def test_what_a_scan_finds_in_time_is_written_with_the_exchange() -> None:
    store = Store()
    store.open_.clear()
    writer = BatchingWriter(store)
    writer.record(_exchange("first"))
    assert store.attempted.wait(PATIENCE_SECONDS)
    for name in ("a", "b"):
        writer.record(_exchange(name))
    writer.note_scan("b", ())
    writer.note_scan("a", ("email",))
    writer.note_scan("first", ("card",))
    store.open_.set()
    health = writer.close()
    assert store.batches == [["first"], ["a", "b"]]
    assert store.kinds == {"first": ("card",), "a": ("email",), "b": ()}
    assert store.updates == [{"first": ("card",)}], "only what was on its way to the disk already is changed there"
    assert (health.written, health.waiting, health.dropped) == (3, 0, 0), "a scan is no exchange"


def test_what_a_scan_finds_later_is_written_as_an_update() -> None:
    store = Store()
    writer = BatchingWriter(store)
    for name in "abc":
        writer.record(_exchange(name))
    assert writer.flush()
    assert set(store.kinds.values()) == {None}
    for name in "ab":
        writer.note_scan(name, ("unscanned",))
    writer.note_scan("b", ("email",))
    writer.close()
    assert store.kinds == {"a": ("unscanned",), "b": ("email",), "c": None}


def test_a_locked_store_loses_no_scan() -> None:
    store, failed = Store(), threading.Event()

    def on_error(error: Exception) -> None:
        failed.set()

    writer = BatchingWriter(store, on_error=on_error)
    writer.record(_exchange("a"))
    assert writer.flush()
    store.update_error = LOCKED
    writer.note_scan("a", ("email",))
    assert failed.wait(PATIENCE_SECONDS)
    writer.record(_exchange("b"))
    store.update_error = None
    health = writer.close()
    assert store.kinds == {"a": ("email",), "b": None}
    assert (health.written, health.error) == (2, None)


def test_an_exchange_that_no_store_can_hold_takes_no_scan_with_it() -> None:
    store = Store()
    writer = BatchingWriter(store)
    writer.record(_exchange("first"))
    assert writer.flush()
    store.attempted.clear()
    store.open_.clear()
    store.refuses = "b"
    writer.record(_exchange("second"))
    assert store.attempted.wait(PATIENCE_SECONDS)
    for name in "abc":
        writer.record(_exchange(name))
    for name in ("first", "a"):
        writer.note_scan(name, ("email",))
    store.open_.set()
    health = writer.close()
    assert (health.written, health.dropped) == (4, 1)
    assert store.kinds == {"first": ("email",), "second": None, "a": ("email",), "c": None}


def test_a_scan_waits_for_nobody_and_is_given_up_where_there_is_no_room() -> None:
    store = Store()
    store.open_.clear()
    writer = BatchingWriter(store, max_waiting=3)
    writer.record(_exchange("first"))
    assert store.attempted.wait(PATIENCE_SECONDS)
    for name in ("first", "x", "y", "z"):
        writer.note_scan(name, ("email",))  # returns although the store hangs
    assert writer.health().waiting == 1, "what was found is no exchange"
    for name in "ab":
        writer.record(_exchange(name))
    writer.note_scan("a", ("email",))
    health = writer.health()
    assert (health.waiting, health.dropped) == (3, 0), "and takes no exchange's room"
    store.open_.set()
    health = writer.close()
    writer.note_scan("b", ("email",))
    assert store.kinds == {"first": ("email",), "a": None, "b": None}, "unscanned, for whoever reads the log next"
    assert (health.written, health.waiting, health.dropped) == (3, 0, 0)
