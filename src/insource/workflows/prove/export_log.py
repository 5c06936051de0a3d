"""`insource log export`: the exchange log as JSON lines. Private ones are withheld unless asked for (promise 1)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from insource.core.errors import StorageError, UsageError
from insource.core.ports import RequestScan
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, JsonObject
from insource.traffic.log_line import encode, to_line
from insource.wire import json_text
from insource.workflows.prove.task_log import read_task_log
from insource.workflows.services import Services

FORMATS = ("insource", "openai")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    written: int
    withheld_private: int


def export_log(
    services: Services,
    out: TextIO | Path,
    *,
    format: str = "insource",
    include_private: bool = False,
    task_id: str | None = None,
) -> ExportReport:
    """A path is written under another name and renamed at the end: there is never half a log under its name."""
    if format not in FORMATS:
        raise UsageError(f"There is no export format {format!r}.", next_step=f"Choose one of: {', '.join(FORMATS)}.")
    written = withheld = 0
    with closing(services.make_scan()) as scan, _opened(out) as file:
        for exchange in services.exchanges.read(ExchangeFilter(task_id=task_id)):
            if not include_private and _is_private(exchange, scan):
                withheld += 1
                continue
            file.write(encode(to_line(exchange) if format == "insource" else _pair(exchange)) + "\n")
            written += 1
    return ExportReport(written=written, withheld_private=withheld)


def export_requests(services: Services, out: Path, *, include_private: bool = False) -> ExportReport:
    """What batch services take (one JSON object a line, `custom_id` is the exchange's id): of every task one request a
    cluster, because evidence counts one. What comes back is read by `--answers`."""
    wanted: set[str] = set()
    for task in services.registry.tasks():
        first: dict[str, str] = {}
        for place in read_task_log(services, task).places:
            first.setdefault(place.cluster, place.exchange_id)
        wanted.update(first.values())
    written = withheld = 0
    with closing(services.make_scan()) as scan, _opened(out) as file:
        for exchange in services.exchanges.read(ExchangeFilter(ids=frozenset(wanted))):
            if not include_private and _is_private(exchange, scan):
                withheld += 1
                continue
            line = {"custom_id": exchange.id, "method": "POST", "url": exchange.endpoint, "body": exchange.request}
            file.write(encode(line) + "\n")
            written += 1
    return ExportReport(written=written, withheld_private=withheld)


def _is_private(exchange: Exchange, scan: RequestScan) -> bool:
    """One that was never scanned is scanned now: unknown is not the same as free of private data."""
    kinds = exchange.private_kinds
    return bool(scan.kinds(json_text.encode(exchange.request)) if kinds is None else kinds)


def _pair(exchange: Exchange) -> JsonObject:
    return {"id": exchange.id, "request": exchange.request, "response": exchange.response}


@contextmanager
def _opened(out: TextIO | Path) -> Generator[TextIO]:
    if not isinstance(out, Path):
        yield out
        return
    part = out.with_name(out.name + ".part")
    try:
        part.touch()
        part.chmod(0o600)  # what people wrote, for its owner's eyes
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(out)
    except OSError as error:
        raise StorageError(
            f"The file {str(out)!r} can't be written ({error.strerror}).",
            next_step="Check the folder, its permissions and the free space.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
