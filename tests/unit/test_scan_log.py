"""What a busy gateway left unscanned is scanned by whoever reads the log next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.core.fakes import FakeDetector
from insource.core.values import Exchange, Marks
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.store.registry import SqlRegistry
from insource.wire.chat import completion
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.scan_log import scan_log
from insource.workflows.services import Services
from tests.fakes.scans import ScanHere

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    database = open_database(f"sqlite:///{tmp_path / 'log.db'}")
    parts: dict[str, Any] = {field.name: None for field in fields(Services)}
    parts |= {"exchanges": SqlExchangeStore(database), "registry": SqlRegistry(database), "detector": FakeDetector()}
    parts["make_scan"] = lambda: ScanHere(FakeDetector())
    yield Services(**parts)
    database.close()


def _exchange(number: int, text: str, **changes: Any) -> Exchange:
    messages = [{"role": "system", "content": "Sort the message."}, {"role": "user", "content": text}]
    return Exchange(
        id=f"e{number:04}",
        created=START + timedelta(seconds=number),
        request={"model": "m", "messages": messages},
        response=completion(id="c", created=0, model="m", text=["card", "loan"][number % 2]),
        **changes,
    )


def _kinds(services: Services) -> dict[str, tuple[str, ...] | None]:
    return {exchange.id: exchange.private_kinds for exchange in services.exchanges.read()}


def test_only_what_nobody_scanned_is_scanned(services: Services) -> None:
    services.exchanges.append(
        [
            _exchange(1, "a secret"),
            _exchange(2, "hello"),
            _exchange(3, "a secret", private_kinds=()),
            _exchange(4, "hello", private_kinds=("email",)),
            replace(_exchange(5, "a secret"), request={"model": "m"}),
        ]
    )
    seen: list[int] = []
    assert scan_log(services, progress=lambda _what, done, _total: seen.append(done)) == 2
    assert _kinds(services) == {"e0001": ("word",), "e0002": (), "e0003": (), "e0004": ("email",), "e0005": None}
    assert seen == [2]
    assert scan_log(services) == 0, "a request whose body was not kept can't be scanned any more"


def test_many_are_scanned_batch_by_batch(services: Services) -> None:
    services.exchanges.append(_exchange(number, "a secret" if number % 3 == 0 else "hello") for number in range(1300))
    assert scan_log(services) == 1300
    assert sum(kinds == ("word",) for kinds in _kinds(services).values()) == 434


def test_an_interrupted_scan_keeps_what_it_found(services: Services) -> None:
    services.exchanges.append(_exchange(number, "a secret") for number in range(1300))

    def interrupt(_what: str, _done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_log(services, progress=interrupt)
    kept = sum(kinds is not None for kinds in _kinds(services).values())
    assert 0 < kept < 1300
    assert scan_log(services) == 1300 - kept


def test_a_detector_that_fails_leaves_nothing_clean(services: Services) -> None:
    services.exchanges.append([_exchange(1, "hello")])
    broken = FakeDetector(error=RuntimeError("broken"))
    scan_log(replace(services, make_scan=lambda: ScanHere(broken)))
    assert _kinds(services) == {"e0001": ("unscanned",)}


def test_tasks_are_shown_only_after_their_requests_were_scanned(services: Services) -> None:
    services.exchanges.append(_exchange(number, f"hello {number} secret") for number in range(10))
    services.exchanges.append(_exchange(number, f"hello {number}") for number in range(10, 40))
    (report,) = find_tasks(services)
    assert report.figures.private_share == 0.25
    assert "secret" not in repr(report)


def test_a_shadow_is_no_request_of_its_own(services: Services) -> None:
    services.exchanges.append(_exchange(number, f"hello {number}") for number in range(20))
    services.exchanges.append([_exchange(20, "hello 1", marks=Marks(shadow_of="e0001"))])
    (report,) = find_tasks(services)
    assert report.figures.exchanges == 20
    assert "e0020" not in services.exchanges.assignments()
