"""The report on the Hub: what the figures of a snapshot are, and how they compare with the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from insource.core.errors import UsageError
from insource.core.values import JsonObject
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.prepared import load_others, open_prepared
from insource.hub.report.figure import Cell, Drawn, Figure, Measure
from insource.hub.report.figures import Taken, choose, take
from insource.hub.report.prepare import read_organisations
from insource.hub.report.reports import REPORTS
from insource.hub.snapshot import shipped_snapshot
from insource.hub.sources.read import load_file
from insource.hub.window import window_downloads

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SAMPLE = "The snapshot is a sample of the Hub, not the whole: counts are those of the sample, shares may be skewed."


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReport:
    source: str
    """Which snapshot, for people."""
    taken: Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One line of the table: what was published, what ours is."""

    published: str
    where: str
    ours: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    home: Path
    """The data folder, whose newest snapshot is asked unless `path` names a file."""
    path: Path | None = None
    since: date | None = None
    """First day of a window between two snapshots, for the figures that need one."""
    only: tuple[str, ...] = ()
    """Ids of figures; none: all."""
    organisations: Path | None = None


def hub_report(question: Question) -> HubReport:
    """Opens the snapshot and takes the figures. Raises UsageError for an unknown figure or without DuckDB, BadInput for
    an unreadable file."""
    choose(question.only)
    connection, source = _open(question)
    with connection:
        return make_report(connection, source=source, only=question.only, organisations=question.organisations)


def _open(question: Question) -> tuple[DuckDBPyConnection, str]:
    """A connection with the view `models`; of which snapshot it is."""
    archive = Archive(question.home / "hub")
    if question.path is None and archive.snapshots():
        connection, day = open_prepared(archive)
        between = "" if question.since is None else _open_window(connection, archive, question.since)
        return connection, f"the newest snapshots of {day}{between}"
    if question.since is not None:
        raise UsageError(
            "A window lies between two snapshots that are here.",
            next_step="Take them with insource hub sync, and leave --from out.",
        )
    path = question.path or shipped_snapshot()
    connection = connect()
    with TemporaryDirectory() as scratch:
        read = load_file(connection, path, scratch=Path(scratch))
    if question.path is None:
        load_others(connection, archive)
    shipped = " (the catalogue that insource ships)" if question.path is None else ""
    return connection, f"{path.name} ({read.source}, {read.day}){shipped}"


def _open_window(connection: DuckDBPyConnection, archive: Archive, since: date) -> str:
    """Between two whole snapshots of one source: others hold other models, which is no growth."""
    whole = [one for one in archive.snapshots() if one.whole]
    pairs = [(one, two) for two in whole for one in whole if one.source == two.source and one.day < two.day]
    pair = max(
        (pair for pair in pairs if pair[0].day <= since), key=lambda pair: (pair[1].day, pair[0].day), default=None
    )
    if pair is None:
        days = ", ".join(f"{one.day} ({one.source})" for one in whole) or "none"
        raise UsageError(
            f"There are no two whole snapshots of one source, the first of them up to {since}.",
            next_step=f"Whole snapshots here: {days}. insource hub sync takes another.",
        )
    window = window_downloads(connection, archive, first=pair[0].day, last=pair[1].day, source=pair[0].source)
    return f", and of {pair[0].source} from {window.first} to {window.last}"


def make_report(
    connection: DuckDBPyConnection, *, source: str, only: Sequence[str] = (), organisations: Path | None = None
) -> HubReport:
    """Of a connection that has the view `models`."""
    taken = take(connection, choose(only), organisations=read_organisations(organisations))
    return HubReport(source=source, taken=taken)


def compared(figure: Figure, values: dict[str, Cell]) -> tuple[Compared, ...]:
    """Every published number beside ours, then those of ours that nothing was published for."""
    measures = {measure.name: measure for measure in figure.measures}
    lines = [
        Compared(
            published=item.text,
            where=f"{REPORTS[item.report].title}, {REPORTS[item.report].published}",
            ours=_said(measures[item.measure], values) if item.measure else "no number of ours compares",
        )
        for item in figure.published
    ]
    told = {item.measure for item in figure.published}
    lines += [
        Compared(published="not found", where="", ours=_said(measure, values))
        for measure in figure.measures
        if measure.name not in told
    ]
    return tuple(lines) or (Compared(published="not found", where="", ours="see the figure"),)


def _said(measure: Measure, values: dict[str, Cell]) -> str:
    value = values.get(measure.name)
    if not isinstance(value, int | float):
        return f"{measure.text}: not among what this figure shows"
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{measure.text}: {number} {measure.unit}"


def reasons(report: HubReport, figure: Figure) -> str:
    """Why ours may differ from the published number."""
    return " ".join(filter(None, [_SAMPLE if report.taken.ground.is_sample else "", figure.difference]))


def report_json(report: HubReport) -> JsonObject:
    ground = report.taken.ground
    return {
        "snapshot": {
            "source": report.source,
            "models": ground.models,
            "newest_model": None if ground.newest is None else ground.newest.isoformat(),
            "uses": f"downloads, {ground.basis}",
            "is_sample": ground.is_sample,
        },
        "figures": [_figure_json(report, found) for found in report.taken.drawn],
        "not_supported": [
            {"id": item.figure.id, "title": item.figure.title, "missing": list(item.what)}
            for item in report.taken.missing
        ],
    }


def _figure_json(report: HubReport, found: Drawn) -> JsonObject:
    figure = found.figure
    return {
        "id": figure.id,
        "title": figure.title,
        "question": figure.question,
        "definition": figure.definition,
        "measures": {
            m.name: {"value": found.values.get(m.name), "unit": m.unit, "of": m.text} for m in figure.measures
        },
        "published": [
            {"text": item.text, "report": REPORTS[item.report].title, "measure": item.measure}
            for item in figure.published
        ],
        "reason_for_a_difference": reasons(report, figure),
        "rows": [dict(row) for row in found.rows],
    }
