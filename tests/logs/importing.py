"""Importing a log in a test: the real workflow, over a store in memory or a real one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from insource.config import Settings
from insource.core.fakes import FakeClock, FakeDetector
from insource.core.ports import ExchangeFilter
from insource.core.values import Exchange
from insource.workflows.services import Services
from tests.fakes.scans import ScanHere


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
