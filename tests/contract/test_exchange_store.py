"""The exchange log, on every database."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insource.core.errors import UsageError
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, Marks, Route
from insource.store.database import Database, open_database
from insource.store.exchanges import SqlExchangeStore

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def _exchange(id: str, seconds: float = 0.0) -> Exchange:
    return Exchange(
        id=id,
        created=START + timedelta(seconds=seconds),
        request={"model": "gpt-4", "messages": [{"role": "user", "content": f"hello {id}"}]},
        response={"choices": [{"message": {"role": "assistant", "content": "hi"}}]},
    )


FULL = Exchange(
    id="fuß/ü 1",
    created=START,
    request={
        "model": "m",
        "seed": 2**70,
        "temperature": 1.0,
        "messages": [],
        "nul": "a\x00b",
        "lone": "\ud800",
        "x": None,
    },
    response=None,
    status=503,
    latency_seconds=0.25,
    cost_usd=0.0001,
    cost_source="estimate",
    reference="nul \x00 and \udfff",
    reference_kind="feedback",
    reference_correct=False,
    private_kinds=("email", "phone"),
    route=Route(upstream="engine:llamacpp", model="m", reason="moved", task_id="task-1", confidence=0.5, pinned=True),
    metadata={"user": "Zoë", "deep": {"list": [1, 1.5, "x", None, True]}},
    endpoint="/v1/responses",
    incomplete="its stream was cut",
    marks=Marks(escalated=True, fallback="EngineFailed", shadow_of="fuß/ü 0"),
)


# -------------------------------------------------------------------------------------------- the exchange log


def test_every_field_comes_back(store: SqlExchangeStore) -> None:
    plain = _exchange("plain", 1)
    assert store.append([FULL, plain]) == 2
    assert list(store.read()) == [FULL, plain]
    (full,) = store.read(ExchangeFilter(ids=frozenset({FULL.id})))
    assert isinstance(full.request["temperature"], float)
    assert full.created.utcoffset() == timedelta(0)


def test_scanned_and_clean_is_not_the_same_as_not_scanned(store: SqlExchangeStore) -> None:
    clean = Exchange(id="clean", created=START, request={}, private_kinds=())
    unknown = Exchange(id="unknown", created=START, request={})
    store.append([clean, unknown])
    assert [exchange.private_kinds for exchange in store.read()] == [(), None]


def test_a_later_scan_says_what_it_found(store: SqlExchangeStore) -> None:
    store.append([_exchange("a"), _exchange("b"), FULL])
    store.set_private_kinds({"a": ("email", "phone"), "b": (), "not in the log": ("email",)})
    assert {exchange.id: exchange.private_kinds for exchange in store.read()} == {
        "a": ("email", "phone"),
        "b": (),
        FULL.id: FULL.private_kinds,
    }
    assert store.count() == 3
    store.set_private_kinds({})
    store.set_private_kinds({"a": ("unscanned",)})
    (again,) = store.read(ExchangeFilter(ids=frozenset({"a"})))
    assert again.private_kinds == ("unscanned",), "the last scan counts"
    assert again == replace(_exchange("a"), private_kinds=("unscanned",)), "and nothing else was changed"


def test_what_nobody_scanned_is_found(store: SqlExchangeStore) -> None:
    store.append(_exchange(f"e{number:04}", number) for number in range(1200))
    unscanned = ExchangeFilter(unscanned=True)
    assert len(list(store.read(unscanned))) == 1200
    store.set_private_kinds({f"e{number:04}": () if number % 2 else ("email",) for number in range(1000)})
    assert [exchange.id for exchange in store.read(unscanned)] == [f"e{number:04}" for number in range(1000, 1200)]
    assert [exchange.id for exchange in store.read(ExchangeFilter(unscanned=True, newest=1))] == ["e1199"]


def test_scanning_while_reading_passes_over_nothing(store: SqlExchangeStore) -> None:
    """`scan_log` writes what it found while it still reads what is to be scanned."""
    store.append(_exchange(f"e{number:04}", number) for number in range(1200))
    seen: list[str] = []
    for exchange in store.read(ExchangeFilter(unscanned=True)):
        seen.append(exchange.id)
        if len(seen) % 100 == 0:
            store.set_private_kinds(dict.fromkeys(seen[-100:], ()))
    assert seen == [f"e{number:04}" for number in range(1200)]


def test_an_id_that_is_there_is_left_as_it_is(store: SqlExchangeStore) -> None:
    assert store.append([_exchange("a")]) == 1
    assert store.append([_exchange("a", 9), _exchange("b"), _exchange("b", 9)]) == 1
    assert [(exchange.id, exchange.created) for exchange in store.read()] == [("a", START), ("b", START)]
    assert store.append([]) == 0
    assert store.count() == 2


def test_order_is_created_then_id_by_code_point_over_many_pages(store: SqlExchangeStore) -> None:
    names = ["a", "B", "é", "Z", "ä", "z", "-", "_", "10", "9"]
    exchanges = [_exchange(f"{name}{number}", number // 40) for number in range(130) for name in names]
    assert store.append(reversed(exchanges)) == len(exchanges)
    expected = sorted(exchanges, key=lambda exchange: (exchange.created, exchange.id))
    assert [exchange.id for exchange in store.read()] == [exchange.id for exchange in expected]


def test_a_transaction_writes_all_or_nothing(store: SqlExchangeStore) -> None:
    naive = Exchange(id="naive", created=START.replace(tzinfo=None), request={})
    with pytest.raises(TypeError):
        store.append([_exchange("a"), naive])
    assert store.count() == 0


def test_filters_join(store: SqlExchangeStore) -> None:
    store.append(_exchange(f"e{number:04}", number) for number in range(1300))
    store.assign({f"e{number:04}": f"task-{number % 2}" for number in range(1299)})
    even = [f"e{number:04}" for number in range(0, 1299, 2)]

    def ids(where: ExchangeFilter) -> list[str]:
        return [exchange.id for exchange in store.read(where)]

    assert ids(ExchangeFilter(task_id="task-0")) == even
    assert ids(ExchangeFilter(task_id="nothing")) == []
    assert ids(ExchangeFilter(ids=frozenset({"e0003", "e0001", "missing"}))) == ["e0001", "e0003"]
    assert ids(ExchangeFilter(ids=frozenset(even))) == even, "more ids than a statement may list"
    assert ids(ExchangeFilter(ids=frozenset())) == []
    since = START + timedelta(seconds=1298)
    assert ids(ExchangeFilter(since=since)) == ["e1298", "e1299"]
    assert ids(ExchangeFilter(since=since, newest=1)) == ["e1299"]
    assert ids(ExchangeFilter(newest=3)) == ["e1297", "e1298", "e1299"]
    assert ids(ExchangeFilter(newest=0)) == []
    assert ids(ExchangeFilter(task_id="task-0", newest=2)) == even[-2:]
    assert ids(ExchangeFilter(since=since, task_id="task-0", ids=frozenset(even))) == ["e1298"]


def test_reads_what_an_upstream_answered(store: SqlExchangeStore) -> None:
    def routed(number: int, upstream: str, reason: str = "moved") -> Exchange:
        route = Route(upstream=upstream, model="m", reason=reason)
        return Exchange(id=f"r{number}", created=START + timedelta(seconds=number), request={}, route=route)

    others = [routed(3, "provider:openai", reason='no "upstream":"engine:llamacpp" was ready'), routed(4, "engineer:x")]
    store.append([routed(1, "engine:llamacpp"), routed(2, "engine:external"), *others, _exchange("plain")])
    assert [e.id for e in store.read(ExchangeFilter(upstream="engine:"))] == ["r1", "r2"]
    assert [e.id for e in store.read(ExchangeFilter(upstream="engine:", newest=1))] == ["r2"]
    assert [e.id for e in store.read(ExchangeFilter(upstream="engine:%"))] == []


def test_assign_replaces_all_and_refuses_strangers(store: SqlExchangeStore) -> None:
    store.append([_exchange("a"), _exchange("b")])
    store.assign({"a": "one", "b": "two"})
    store.assign({"b": "three"})
    assert store.assignments() == {"b": "three"}
    with pytest.raises(UsageError, match="not in the log"):
        store.assign({"a": "one", "stranger": "one"})
    assert store.assignments() == {"b": "three"}, "nothing of a refused assignment stays"
    store.assign({})
    assert store.assignments() == {}


def test_set_reference(store: SqlExchangeStore) -> None:
    store.append([_exchange("a")])
    store.set_reference("a", reference="yes\x00", kind="label")
    (exchange,) = store.read()
    assert (exchange.reference, exchange.reference_kind) == ("yes\x00", "label")
    with pytest.raises(UsageError, match="'nobody'"):
        store.set_reference("nobody", reference="x", kind="label")


def test_reading_while_writing(store: SqlExchangeStore) -> None:
    store.append(_exchange(f"e{number:04}", number) for number in range(700))
    reading = store.read()
    first = next(reading)
    assert store.append([_exchange("z", -1)]) == 1, "an open reader blocks no writer"
    assert [first.id, *(exchange.id for exchange in reading)] == [f"e{number:04}" for number in range(700)]


def test_two_processes_share_what_is_written(database: Database, store: SqlExchangeStore) -> None:
    other = open_database(database.url)
    SqlExchangeStore(other).append([_exchange("a")])
    assert [exchange.id for exchange in store.read()] == ["a"]
    other.close()


# ------------------------------------------------------------------------------------------------------- pruning


def test_pruning_deletes_what_is_older_with_its_assignments_and_nothing_else(store: SqlExchangeStore) -> None:
    store.append([_exchange(f"e{number:04}", seconds=number) for number in range(2_500)])
    store.assign({"e0000": "task-1", "e2400": "task-1"})
    before = START + timedelta(seconds=2_400)
    assert store.count_before(before) == 2_400
    assert store.prune(before) == 2_400
    assert [exchange.id for exchange in store.read()] == [f"e{number:04}" for number in range(2_400, 2_500)]
    assert store.assignments() == {"e2400": "task-1"}
    assert store.prune(before) == 0


def test_further_answers_are_found_by_their_kind(store: SqlExchangeStore) -> None:
    marks = [
        Marks(),
        Marks(escalated=True, fallback='"share_of":"x"'),
        Marks(shadow_of="a"),
        Marks(share_of="a"),
        Marks(anchor_of="a"),
    ]
    store.append([replace(_exchange(f"e{at}"), marks=each) for at, each in enumerate(marks)])
    assert [e.id for e in store.read(ExchangeFilter(extra=True))] == ["e2", "e3", "e4"]
    assert [e.id for e in store.read(ExchangeFilter(mark="share_of"))] == ["e3"]
    store.set_reference("e1", reference="yes", kind="label")
    assert [e.id for e in store.read(ExchangeFilter(reference_kind="label"))] == ["e1"]


def test_assignments_are_added_without_touching_others(store: SqlExchangeStore) -> None:
    store.append([_exchange(f"e{number}") for number in range(3)])
    store.assign({"e0": "task-1"})
    store.assign_more({"e0": "task-2", "e1": "task-2", "gone": "task-2"})
    store.assign_more({})
    assert store.assignments() == {"e0": "task-1", "e1": "task-2"}


def test_pruning_makes_the_file_smaller_while_others_read_and_write(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    database = open_database(f"sqlite:///{file}")
    store = SqlExchangeStore(database)
    old = [replace(_exchange(f"e{number}"), request={"text": f"{number:06} " * 1_000}) for number in range(1_500)]
    store.append(old)
    whole_bytes = _on_disk_bytes(tmp_path)
    done, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        while not done.is_set():
            written += store.append([_exchange(f"new{written}", seconds=3600)])

    def read() -> None:
        while not done.is_set():
            for _ in store.read():
                pass

    threads = [threading.Thread(target=work) for work in (write, read)]
    for thread in threads:
        thread.start()
    other = open_database(f"sqlite:///{file}")
    assert SqlExchangeStore(other).prune(START + timedelta(seconds=1)) == 1_500
    done.set()
    for thread in threads:
        thread.join()
    assert _on_disk_bytes(tmp_path) < whole_bytes / 8
    assert store.count() == written > 0
    for each in (other, database):
        each.close()


def _on_disk_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
