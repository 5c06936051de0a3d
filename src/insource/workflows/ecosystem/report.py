"""The report on the Hub: how the figures of a snapshot compare with the published ones, and all of it as JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from insource.core.ecosystem_report import Cell, Drawn, Figure, Measure, Row, Taken
from insource.core.values import JsonObject
from insource.hub.report.reports import REPORTS

_SAMPLE = "The snapshot is a sample of the Hub, not the whole: counts are those of the sample, shares may be skewed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One line of the table: what was published, what ours is."""

    published: str
    where: str
    ours: str


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


def counted(found: Drawn) -> str:
    """How many repositories the figure stands on."""
    needs = [name.replace("_", " ") for name in found.figure.needs if name not in ("datasets", "spaces")]
    whole = f"all {found.listed:,}" if found.stated == found.listed else f"{found.stated:,} of {found.listed:,}"
    return f"Counted: {whole}" + (f" that state {', '.join(needs)}." if needs else ".")


def reasons(report: Taken, figure: Figure) -> str:
    """Why ours may differ from the published number."""
    return " ".join(filter(None, [_SAMPLE if report.ground.is_sample else "", figure.difference]))


def report_json(report: Taken) -> JsonObject:
    ground = report.ground
    return {
        "snapshot": {
            "source": report.source,
            "models": ground.models,
            "newest_model": None if ground.newest is None else ground.newest.isoformat(),
            "uses": f"downloads, {ground.basis}",
            "is_sample": ground.is_sample,
        },
        "figures": [_figure_json(report, found) for found in report.drawn],
        "not_supported": [
            {"id": item.figure.id, "title": item.figure.title, "missing": list(item.what)} for item in report.missing
        ],
    }


def _figure_json(report: Taken, found: Drawn) -> JsonObject:
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
        "models_stating_it": found.stated,
        "of": found.listed,
        "rows": [dict(row) for row in found.rows],
    }


def csv_text(rows: tuple[Row, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _unformula(value) for name, value in row.items()} for row in rows])
    return text.getvalue()


def _unformula(value: Cell) -> Cell:
    """A spreadsheet takes a text that begins so for a formula."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
