"""The figures of the report on the Hub as drawings of a page: bars and lines without a chart library. Pure.

What they mean and how they are counted is in the figure itself; files with every option are `insource hub report`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from insource.core.ecosystem_report import Cell, Drawn, Row
from insource.web.plots import Scale, polyline, round_up

_MOST_BARS = 24
_MOST_SERIES = 6
_MOST_ROWS = 60
_COLOURS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    x: float
    width: float
    colour: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRow:
    name: str
    parts: tuple[Part, ...]
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    points: str
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    bars: tuple[BarRow, ...] = ()
    lines: tuple[Line, ...] = ()
    series: tuple[tuple[int, str], ...] = ()
    """(colour, name)."""
    top: str = ""
    first: str = ""
    last: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """The numbers, as text."""
    left_out: int = 0
    """Rows beyond those; the file holds all."""


def drawing(found: Drawn) -> Drawing:
    kind = found.figure.chart.kind
    shown = _bars(found) if kind in ("bar", "stacked") else _lines(found) if kind == "line" else Drawing()
    columns = tuple(found.rows[0])
    return Drawing(
        bars=shown.bars,
        lines=shown.lines,
        series=shown.series,
        top=shown.top,
        first=shown.first,
        last=shown.last,
        columns=tuple(name.replace("_", " ") for name in columns),
        rows=tuple(tuple(said(row[name]) for name in columns) for row in found.rows[:_MOST_ROWS]),
        left_out=max(len(found.rows) - _MOST_ROWS, 0),
    )


def said(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value


def _number(value: Cell) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _bars(found: Drawn) -> Drawing:
    """A bar a name; one of several parts where a colour tells them apart."""
    chart = found.figure.chart
    by_name: defaultdict[str, list[Row]] = defaultdict(list)
    for row in found.rows:
        by_name[said(row[chart.y])].append(row)
    rows = dict(list(by_name.items())[:_MOST_BARS])
    colours = _colours(row[chart.colour] for each in rows.values() for row in each) if chart.colour else {}
    longest = max((sum(_number(row[chart.x]) for row in each) for each in rows.values()), default=0.0) or 1.0
    bars: list[BarRow] = []
    for name, each in rows.items():
        reached, parts = 0.0, list[Part]()
        for row in each:
            width = 100 * max(_number(row[chart.x]), 0.0) / longest
            kind = said(row[chart.colour]) if chart.colour else ""
            title = f"{name}{', ' * bool(kind)}{kind}: {said(row[chart.x])}"
            parts.append(Part(x=round(reached, 2), width=round(width, 2), colour=colours.get(kind, 2), title=title))
            reached += width
        value = said(each[0][chart.x]) if len(each) == 1 else f"{len(each)} parts"
        bars.append(BarRow(name=name, parts=tuple(parts), value=value))
    return Drawing(bars=tuple(bars), series=tuple((place, name) for name, place in colours.items()))


def _colours(values: Iterable[Cell]) -> dict[str, int]:
    names = list(dict.fromkeys(said(value) for value in values))
    return {name: (at + 1) % _COLOURS for at, name in enumerate(names)} if len(names) <= _COLOURS else {}


def _lines(found: Drawn) -> Drawing:
    chart = found.figure.chart
    series: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in found.rows:
        series[said(row[chart.colour]) if chart.colour else ""].append((_place(row[chart.x]), _number(row[chart.y])))
    shown = dict(list(series.items())[:_MOST_SERIES])
    everything = [point for points in shown.values() for point in points]
    top = round_up(max(y for _, y in everything))
    x = Scale(low=min(x for x, _ in everything), high=max(x for x, _ in everything))
    y = Scale(low=0.0, high=top)
    ends: Sequence[Cell] = [row[chart.x] for row in (found.rows[0], found.rows[-1])]
    return Drawing(
        lines=tuple(Line(points=polyline(points, x, y), colour=at + 1) for at, points in enumerate(shown.values())),
        series=tuple((at + 1, name) for at, name in enumerate(shown) if name),
        top=said(top),
        first=said(ends[0]),
        last=said(ends[1]),
    )


def _place(value: Cell) -> float:
    """Of a day or a number on its axis."""
    if isinstance(value, str):
        try:
            return float(date.fromisoformat(value).toordinal())
        except ValueError:
            return 0.0
    return _number(value)
