"""Importing a log in a test: the real workflow, over a store in memory or a real one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from insource.config import Settings
from insource.core.errors import BadInput
from insource.core.fakes import FakeClock, FakeDetector
from insource.core.stores import ExchangeFilter
from insource.core.values import CHAT_ENDPOINT, Exchange
from insource.traffic.formats.recorded import is_answered
from insource.wire import chat
from insource.workflows.prove.import_traffic import import_traffic
from insource.workflows.services import Services
from tests.fakes.scans import ScanHere

_SURPRISES = ("AttributeError", "TypeError", "KeyError", "IndexError", "AssertionError")


class HeldExchanges:
    """The part of an ExchangeStore that an import uses, in memory."""

    def __init__(self) -> None:
        self.held: dict[str, Exchange] = {}

    def append(self, exchanges: list[Exchange]) -> int:
        before = len(self.held)
        for exchange in exchanges:
            self.held.setdefault(exchange.id, exchange)
        return len(self.held) - before

    def read(self, where: ExchangeFilter) -> list[Exchange]:
        return [self.held[id] for id in where.ids or () if id in self.held]


def services_over(store: Any) -> Services:
    detector = FakeDetector("secret")
    used: dict[str, Any] = {
        "settings": Settings(),  # pyright: ignore[reportCallIssue] - every field has a default
        "clock": FakeClock(),
        "exchanges": store,
        "detector": detector,
        "make_scan": lambda: ScanHere(detector),
    }
    others: dict[str, Any] = {field.name: None for field in fields(Services)}
    return Services(**{**others, **used})


def written(folder: Path, files: tuple[bytes, ...]) -> list[Path]:
    paths = [folder / f"log-{number}" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


def import_or_refuse(folder: Path, files: tuple[bytes, ...]) -> list[Exchange]:
    """What an import of anything must keep to: it ends with exchanges that ask and answer something, or with an error
    that says what to do; no reader meets what it did not expect."""
    store = HeldExchanges()
    try:
        report = import_traffic(services_over(store), written(folder, files))
    except BadInput as error:
        if not error.next_step:
            raise
        return []
    assert report.added == len(store.held)
    assert not [line for line in report.bad if any(name in line.reason for name in _SURPRISES)]
    for exchange in store.held.values():
        if exchange.endpoint == CHAT_ENDPOINT:
            assert any(_says(message) for message in chat.messages(exchange.request)), exchange
        assert is_answered(exchange) or exchange.metadata.get("no_answer"), exchange
    answered = [exchange for exchange in store.held.values() if is_answered(exchange)]
    assert len(answered) * 2 >= len(store.held), "an import that is mostly empty fails"
    return list(store.held.values())


def _says(message: dict[str, Any]) -> bool:
    return bool(message.get("content")) or bool(message.get("tool_calls"))
