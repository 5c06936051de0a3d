"""What a figure of the report is: a question, an exact definition, the SQL that answers it, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Need = Literal[
    "created", "downloads", "downloads_all", "uses", "likes", "trending", "library", "license", "tags", "base_models",
    "parameters", "organisations", "datasets", "spaces", "two snapshots", "accounts and traffic",
]  # fmt: skip
"""A column that must be stated by some row (`uses`: either kind of downloads; `parameters`: a size by any source), or
something beside the view `models`."""

Cell = str | int | float | None
Row = dict[str, Cell]
ChartKind = Literal["bar", "line", "stacked", "points", "cells"]
Scale = Literal["linear", "log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A number as the report states it."""

    text: str
    """With its units and what it is of."""
    report: str
    """Key of `REPORTS`."""
    measure: str | None = None
    """Of the figure's headline, which it compares with; None: nothing here compares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of ours, from the column of that name of the headline query."""

    name: str
    text: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn of the rows: names of their columns with titles that tell the unit."""

    kind: ChartKind
    x: str
    x_title: str
    y: str
    y_title: str
    colour: str | None = None
    colour_title: str | None = None
    scale: Scale = "linear"
    """Of the quantity: y of lines and points, x of bars."""
    label: str | None = None
    """Column whose text stands beside each point."""
    order: tuple[str, ...] = ()
    """Of the colours, or of the columns of cells; else as the rows come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    id: str
    title: str
    question: str
    definition: str
    needs: tuple[Need, ...]
    sql: str
    """Over the tables of `prepare.py`; its rows are the figure's data, in their order."""
    chart: Chart
    measures: tuple[Measure, ...] = ()
    headline: str | None = None
    """SQL of one row, with a column for each measure; over `rows` too, the figure's own data."""
    published: tuple[Published, ...] = ()
    """Empty: the text with a number was not found."""
    difference: str = ""
    """Why ours may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    title: str
    published: date
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A figure that the snapshot supports."""

    figure: Figure
    rows: tuple[Row, ...]
    values: dict[str, Cell]
    """Of its measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A figure that it does not."""

    figure: Figure
    what: tuple[str, ...]
    """Sentences on what is missing."""
