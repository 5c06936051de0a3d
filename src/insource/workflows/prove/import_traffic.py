"""`insource import`: a foreign log into the exchange log, each request scanned for private data, each exchange priced.

Every batch is committed, so an interrupted import keeps what it read, and importing the file again goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from insource import plugins
from insource.core.errors import BadInput, UsageError
from insource.core.ports import RequestScan
from insource.core.values import Exchange
from insource.providers.prices import estimated_tokens, price_usd
from insource.traffic.lines import LogFile
from insource.traffic.readers import BadLine, Reader
from insource.traffic.request_scan import UNSCANNED
from insource.wire import chat, json_text
from insource.workflows.services import Progress, Services, quiet

_BATCH = 500
_SNIFFED_LINES = 20
_SHOWN_BAD_LINES = 20
_FIRST_PRICED_YEAR = 2020
"""There was no hosted chat model before: an earlier time is a made-up one (see traffic/log_line.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """`read` = `added` + `already_there`; `private` and `cost_estimated` count among `read`."""

    format: str
    read: int
    added: int
    already_there: int
    private: int
    unscanned: int
    """Of `private`: the detector failed or took too long, so they count as private."""
    cost_estimated: int
    bad_lines: int
    bad: tuple[BadLine, ...]
    """The first twenty."""


@dataclass(slots=True, kw_only=True)
class _Counts:
    read: int = 0
    added: int = 0
    private: int = 0
    unscanned: int = 0
    cost_estimated: int = 0
    bad_lines: int = 0


def import_traffic(
    services: Services, path: Path, *, format: str | None = None, progress: Progress = quiet
) -> ImportReport:
    """Raises BadInput for a file that is empty, unreadable, in no known format, or without one exchange in it."""
    counts, bad = _Counts(), list[BadLine]()
    with LogFile(path) as file, closing(services.make_scan()) as scan:
        lines = iter(file)
        reader, lines = _choose_reader(lines, path, format)
        records = reader.read(lines)
        while batch := list(islice(records, _BATCH)):
            exchanges = [record for record in batch if isinstance(record, Exchange)]
            finished = [_finish(services, scan, exchange) for exchange in exchanges]
            counts.added += services.exchanges.append(finished)
            counts.read += len(finished)
            counts.private += sum(bool(exchange.private_kinds) for exchange in finished)
            counts.unscanned += sum(UNSCANNED in (exchange.private_kinds or ()) for exchange in finished)
            counts.cost_estimated += sum(exchange.cost_source == "estimate" for exchange in finished)
            new_bad = [record for record in batch if isinstance(record, BadLine)]
            counts.bad_lines += len(new_bad)
            bad.extend(new_bad[: _SHOWN_BAD_LINES - len(bad)])
            progress("Importing", file.done_bytes, file.size_bytes)
    if file.broken is not None:  # said first: the report may not show the twenty-first line
        counts.bad_lines += 1
        bad = [BadLine(line_number=file.line_number + 1, reason=file.broken, excerpt=""), *bad][:_SHOWN_BAD_LINES]
    if counts.read == 0:
        raise _nothing_in(path, reader, bad)
    return ImportReport(
        format=reader.name,
        read=counts.read,
        added=counts.added,
        already_there=counts.read - counts.added,
        private=counts.private,
        unscanned=counts.unscanned,
        cost_estimated=counts.cost_estimated,
        bad_lines=counts.bad_lines,
        bad=tuple(bad),
    )


# ------------------------------------------------------------------------------------------------- the reader


def _choose_reader(lines: Iterator[bytes], path: Path, format: str | None) -> tuple[Reader, Iterator[bytes]]:
    first = _first_lines(lines)
    if not any(line.strip() for line in first):
        raise BadInput(f"The file {str(path)!r} is empty.", next_step="Name a file with one exchange a line.")
    lines = chain(first, lines)
    known = plugins.names("readers")
    if format is not None:
        if format not in known:
            raise UsageError(f"There is no log format {format!r}.", next_step=f"Choose one of: {', '.join(known)}.")
        return cast("Reader", plugins.load("readers", format)), lines
    readers: Iterable[Any] = plugins.load_all("readers")
    for reader in readers:
        if reader.sniff(first):
            return reader, lines
    raise BadInput(
        f"The file {str(path)!r} is in no known format ({', '.join(known)}): its first lines hold no exchange.",
        next_step='Write one JSON object a line, such as {"request": {"model": …, "messages": […]}, "response": {…}}.',
    )


def _first_lines(lines: Iterator[bytes]) -> list[bytes]:
    """Enough to tell the format: lines up to the twentieth that is not blank."""
    first: list[bytes] = []
    filled = 0
    for line in lines:
        first.append(line)
        filled += bool(line.strip())
        if filled == _SNIFFED_LINES:
            break
    return first


def _nothing_in(path: Path, reader: Reader, bad: list[BadLine]) -> BadInput:
    first = f" Line {bad[0].line_number}: {bad[0].reason}." if bad else ""
    return BadInput(
        f"The file {str(path)!r} holds no exchange in the format {reader.name!r}.{first}",
        next_step="Correct the file, or name its format with --format.",
    )


# ---------------------------------------------------------------------------------------- privacy and cost


def _finish(services: Services, scan: RequestScan, exchange: Exchange) -> Exchange:
    """Kinds that the log itself states are kept beside those found here: a log can make a request more private only."""
    found = scan.kinds(json_text.encode(exchange.request))
    kinds = dict.fromkeys((*(exchange.private_kinds or ()), *found))
    return priced(replace(exchange, private_kinds=tuple(kinds)), services)


def priced(exchange: Exchange, services: Services) -> Exchange:
    """With its cost: the recorded one; else counted tokens at the list price; else estimated tokens, and said so.

    An exchange with a label and no hosted answer gets what the call would have cost; a failed one without a recorded
    cost, or with a model that has no price, gets none.
    """
    if exchange.cost_usd is not None or (exchange.response is None and exchange.status != 200):
        return exchange
    counted = chat.usage_tokens(exchange.response)
    tokens = counted or estimated_tokens(exchange.request, exchange.response, exchange.reference)
    model = exchange.request.get("model") or (exchange.response or {}).get("model")
    if not isinstance(model, str) or tokens is None:
        return exchange
    when = exchange.created if exchange.created.year >= _FIRST_PRICED_YEAR else services.clock.now()
    cost_usd = price_usd(model, input_tokens=tokens[0], output_tokens=tokens[1], when=when)
    if cost_usd is None:
        return exchange
    return replace(exchange, cost_usd=cost_usd, cost_source="estimate" if counted is None else "list price")
