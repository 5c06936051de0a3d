"""`insource import`: foreign logs into the exchange log, each request scanned for private data, each exchange priced.

Every batch is committed, so an interrupted import keeps what it read, and importing the files again goes on from there.
A file that mostly holds something else than exchanges is refused, before anything of it is kept where its first records
show that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypedDict, cast

from insource import plugins
from insource.core.errors import BadInput, UsageError
from insource.core.hashing import canonical_json, sha256_hex
from insource.core.ports import RequestScan
from insource.core.stores import ExchangeFilter
from insource.core.values import CostSource, Exchange
from insource.providers.prices import estimated_tokens, price_usd
from insource.traffic.containers import BadLine
from insource.traffic.formats import batch, hints
from insource.traffic.formats.layout import mapped
from insource.traffic.formats.recorded import is_answered
from insource.traffic.readers import FileReader, Halves, Reader
from insource.traffic.request_scan import UNSCANNED
from insource.wire import chat, json_text
from insource.workflows.prove.log_files import LogSource, sources
from insource.workflows.services import Progress, Services, quiet

_BATCH = 500
_SHOWN_BAD_LINES = 20
_FIRST_PRICED_YEAR = 2020
"""There was no hosted chat model before: an earlier time is a made-up one (see traffic/log_line.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file of which nothing, or nothing more, was taken."""

    name: str
    reason: str
    next_step: str
    optional: bool = False
    """Nobody named it, and it is no log: it lay in a folder or an archive."""


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """`read` = `added` + `already_there`; `private`, `cost_estimated`, `without_answer` and `truncated` count among
    `read`, `without_messages` and `unknown` among `bad_lines`."""

    format: str = ""
    """The formats that were found, the most frequent first."""
    files: int = 0
    read: int = 0
    added: int = 0
    private: int = 0
    unscanned: int = 0
    """Of `private`: the detector failed or took too long, so they count as private."""
    cost_estimated: int = 0
    without_answer: int = 0
    """Requests with neither an answer nor a label nor a failure; the metadata says why, under `no_answer`."""
    truncated: int = 0
    """The tool that recorded them cut their texts, or their stream has no end: they are no evidence."""
    conflicting: int = 0
    """Their ids are those of other exchanges: they are kept under ids of their own."""
    bad_lines: int = 0
    without_messages: int = 0
    unknown: int = 0
    """Records of no known format."""
    bad: tuple[BadLine, ...] = ()
    """The first twenty."""
    refused: tuple[Refused, ...] = ()

    @property
    def already_there(self) -> int:
        return self.read - self.added


def import_traffic(
    services: Services,
    paths: Path | Sequence[Path],
    *,
    format: str | None = None,
    map: Sequence[str] = (),
    without_answers: bool = False,
    progress: Progress = quiet,
) -> ImportReport:
    """Raises BadInput where nothing could be taken of any file, UsageError for a format or a map that is none."""
    named = [paths] if isinstance(paths, Path) else list(paths)
    readers = _readers(format, map)
    halves = Halves()
    with closing(services.make_scan()) as scan, closing(halves):
        run = _Import(services, scan, halves, without_answers=without_answers, progress=progress)
        last = FileReader(readers, halves)
        for source in sources(named):
            last = FileReader(readers, halves)
            run.file(source, last, readers)
        run.left_over(last)
    report = run.report
    report.format = ", ".join(name for name, _ in run.formats.most_common())
    report.refused = tuple(run.refused)
    if report.read == 0:
        raise _nothing_taken(named, run.refused)
    return report


def _readers(format: str | None, map: Sequence[str]) -> list[Reader]:
    if map:
        return [mapped(map)]
    known = plugins.names("readers")
    if format is None:
        return cast("list[Reader]", plugins.load_all("readers"))
    if format not in known:
        raise UsageError(f"There is no log format {format!r}.", next_step=f"Choose one of: {', '.join(known)}.")
    return [cast("Reader", plugins.load("readers", format))]


def _nothing_taken(named: Sequence[Path], refused: Sequence[Refused]) -> BadInput:
    first = next((one for one in refused if not one.optional), refused[0] if refused else None)
    if first is None:
        return BadInput(
            f"The file {str(named[0])!r} is empty.", next_step="Name a file that holds requests and their answers."
        )
    others = len(refused) - 1
    more = f" Of {others} other files nothing could be taken either." if others else ""
    return BadInput(f"The file {first.name!r} {first.reason}.{more}", next_step=first.next_step)


# ------------------------------------------------------------------------------------------------- one run


class _Import:
    """The state of one import: what was counted, over all its files."""

    def __init__(
        self, services: Services, scan: RequestScan, halves: Halves, *, without_answers: bool, progress: Progress
    ) -> None:
        self._services, self._scan, self._halves = services, scan, halves
        self._with_halves: list[str] = []
        self._without_answers, self._progress = without_answers, progress
        self.report = ImportReport()
        self.refused: list[Refused] = []
        self.formats: Counter[str] = Counter()

    def file(self, source: LogSource, reader: FileReader, readers: Sequence[Reader]) -> None:
        """Takes what a file holds, or says why it is refused."""
        answered = kept = taken = met = 0
        waiting = len(self._halves)
        unreadable: BadLine | None = None
        found = reader.read(source.records)
        self.report.files += 1
        while some := list(islice(found, _BATCH)):
            answered += sum(isinstance(one, Exchange) and is_answered(one) for one in some)
            kept += sum(isinstance(one, Exchange) for one in some)
            taken = kept if self._without_answers else min(kept, answered + reader.exported)
            met += len(some)
            broken_lines = (one for one in some if isinstance(one, BadLine) and one.what == "unreadable")
            unreadable = unreadable or next(broken_lines, None)
            if met == len(some) and taken * 2 < met:
                break  # the first records: most of them are nothing, so the file is something else
            self._take(some)
            self._progress("Importing", source.file.done_bytes, source.file.size_bytes)
        met += reader.unshown
        if len(self._halves) > waiting:
            self._with_halves.append(source.name)
        self.formats.update(reader.formats)
        broken = source.file.broken
        if taken * 2 < met or (broken and not taken) or (met == 0 and len(self._halves) <= waiting):
            self.refused.append(_refusal(source, reader, readers, met=_Met(taken=taken, of=met, unreadable=unreadable)))
        elif broken is not None:  # said first: the report may not show the twenty-first line
            self.report.bad_lines += 1
            bad = BadLine(line_number=source.file.line_number + 1, reason=broken, excerpt="")
            self.report.bad = (bad, *self.report.bad)[:_SHOWN_BAD_LINES]

    def left_over(self, reader: FileReader) -> None:
        """Halves of batches that never met: a few are kept or told, but where they are most, a file is missing."""
        waiting = len(self._halves)
        if not waiting:
            return
        found = reader.left_over()
        first = list(islice(found, _BATCH))
        if self._without_answers or self.report.read >= waiting:
            while first:
                self._take(first)
                first = list(islice(found, _BATCH))
            return
        asked = sum(isinstance(one, Exchange) for one in first) * 2 >= len(first)
        what = "requests without answers" if asked else "answers without what was asked"
        step = batch.NO_ANSWERS if asked else batch.NO_REQUESTS
        name = self._with_halves[0] if self._with_halves else "batch"
        self.refused.append(Refused(name=name, reason=f"holds {waiting:,} {what}", next_step=step))

    def _take(self, some: list[Exchange | BadLine]) -> None:
        report = self.report
        exchanges, conflicting = _kept_apart(self._services, [one for one in some if isinstance(one, Exchange)])
        finished = _finish(self._services, self._scan, exchanges)
        report.added += self._services.exchanges.append(finished)
        report.read += len(finished)
        report.conflicting += conflicting
        report.private += sum(bool(exchange.private_kinds) for exchange in finished)
        report.unscanned += sum(UNSCANNED in (exchange.private_kinds or ()) for exchange in finished)
        report.cost_estimated += sum(exchange.cost_source == "estimate" for exchange in finished)
        report.without_answer += sum(not is_answered(exchange) for exchange in finished)
        report.truncated += sum(exchange.incomplete is not None for exchange in finished)
        bad = [one for one in some if isinstance(one, BadLine)]
        report.bad_lines += len(bad)
        report.without_messages += sum(line.what == "messages" for line in bad)
        report.unknown += sum(line.what == "unknown" for line in bad)
        report.bad = (*report.bad, *bad)[:_SHOWN_BAD_LINES]


@dataclass(frozen=True, slots=True)
class _Met:
    taken: int
    of: int
    unreadable: BadLine | None
    """The first line that is not even JSON."""


def _refusal(source: LogSource, reader: FileReader, readers: Sequence[Reader], *, met: _Met) -> Refused:
    hint = source.hint
    if source.file.broken is not None and not met.taken:
        hint = hints.Hint(seen=f"can't be read: {source.file.broken}", next_step="Export or copy it again.")
    elif hint is None and met.of == 0 and reader.formats:
        seen = f"holds records of {' and '.join(reader.formats)}, and none of them is a call to a model"
        hint = hints.Hint(seen=seen, next_step="Export the calls to models too, with their texts.")
    elif hint is None and met.of == 0:
        hint = hints.Hint(seen="is empty", next_step="Name a file that holds requests and their answers.")
    elif hint is None and reader.unknown:
        hint = hints.of_records(reader.unknown, readers)
    elif hint is None and met.unreadable is not None and not reader.formats:
        hint = hints.of_unreadable(met.unreadable, of=met.of)
    elif hint is None:
        advice = reader.advice.most_common(1)
        step = advice[0][0] if advice else "Correct the file, or name its format with --format."
        hint = hints.Hint(seen=_lacks(reader, met), next_step=step)
    return Refused(
        name=source.name,
        reason=hint.seen,
        next_step=hint.next_step,
        optional=source.optional and (met.of == 0 or not reader.formats),
    )


def _lacks(reader: FileReader, met: _Met) -> str:
    formats = " and ".join(reader.formats) or "JSON"
    return f"holds {met.of:,} records ({formats}), and {met.taken or 'none'} of them is a request with its answer"


# -------------------------------------------------------------------------------------------- kept apart


def _kept_apart(services: Services, exchanges: list[Exchange]) -> tuple[list[Exchange], int]:
    """The exchanges, those under an id of their own whose id stands for another one, and how many they are."""
    ids = frozenset(exchange.id for exchange in exchanges)
    held = {one.id: one for one in services.exchanges.read(ExchangeFilter(ids=ids))} if ids else {}
    kept: list[Exchange] = []
    for exchange in exchanges:
        before = held.get(exchange.id)
        if before is None or _same(before, exchange):
            held.setdefault(exchange.id, exchange)
            kept.append(exchange)
        else:
            content = [exchange.request, exchange.response, exchange.reference]
            kept.append(replace(exchange, id=f"{exchange.id[:180]}~{sha256_hex(canonical_json(content))[:12]}"))
    return kept, sum(one.id != exchange.id for one, exchange in zip(kept, exchanges, strict=True))


def _same(before: Exchange, exchange: Exchange) -> bool:
    """A label may have been given here since, so only one that both state tells them apart."""
    labels = {one.reference for one in (before, exchange) if one.reference is not None}
    return before.request == exchange.request and before.response == exchange.response and len(labels) < 2


# ---------------------------------------------------------------------------------------- privacy and cost


def _finish(services: Services, scan: RequestScan, exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Kinds that the log itself states are kept beside those found here: a log can make a request more private only."""
    all_found = scan.kinds_of([json_text.encode(exchange.request) for exchange in exchanges])
    return [
        replace(
            exchange,
            private_kinds=tuple(dict.fromkeys((*(exchange.private_kinds or ()), *found))),
            **_missing_cost(exchange, services),
        )
        for exchange, found in zip(exchanges, all_found, strict=True)
    ]


def priced(exchange: Exchange, services: Services) -> Exchange:
    """With its cost: the recorded one; else counted tokens at the list price; else estimated tokens, and said so.

    An exchange with a label and no hosted answer gets what the call would have cost; a failed one without a recorded
    cost, or with a model that has no price, gets none.
    """
    return replace(exchange, **_missing_cost(exchange, services))


class _Cost(TypedDict, total=False):
    cost_usd: float
    cost_source: CostSource


def _missing_cost(exchange: Exchange, services: Services) -> _Cost:
    if exchange.cost_usd is not None or (exchange.response is None and exchange.status != 200):
        return {}
    counted = chat.usage_tokens(exchange.response)
    tokens = counted or estimated_tokens(exchange.request, exchange.response, exchange.reference)
    model = exchange.request.get("model") or (exchange.response or {}).get("model")
    if not isinstance(model, str) or tokens is None:
        return {}
    when = exchange.created if exchange.created.year >= _FIRST_PRICED_YEAR else services.clock.now()
    cost_usd = price_usd(model, input_tokens=tokens[0], output_tokens=tokens[1], when=when)
    if cost_usd is None:
        return {}
    return {"cost_usd": cost_usd, "cost_source": "estimate" if counted is None else "list price"}
