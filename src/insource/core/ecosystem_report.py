"""A figure of the report on the Hub as values: its question and definition, its rows, how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

Need = Literal[
    "created", "downloads", "downloads_all", "uses", "likes", "trending", "library", "license", "tags", "base_models",
    "parameters", "organisations", "datasets", "spaces", "two snapshots", "accounts and traffic",
]  # fmt: skip
"""A column that must be stated by some row (`uses`: either kind of downloads; `parameters`: a size by any source), or
something beside the models."""

Cell = str | int | float | None
Row = dict[str, Cell]
ChartKind = Literal["bar", "line", "stacked", "points", "cells"]
Scale = Literal["linear", "log"]
SAMPLE_BELOW = 1_000_000
"""Models. The Hub held more than that in September 2024; a smaller snapshot is a sample of it."""


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
    chart: Chart
    measures: tuple[Measure, ...] = ()
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
    stated: int
    """Repositories that state all that it needs: only they are counted."""
    listed: int
    """Repositories of its type in the snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A figure that it does not."""

    figure: Figure
    what: tuple[str, ...]
    """Sentences on what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the snapshot holds, as far as the figures ask."""

    models: int
    newest: date | None
    """Day of the newest model."""
    basis: str
    """What `uses` counts."""
    others: Mapping[str, int]
    """How many datasets and Spaces, where there is a snapshot of them."""
    lacks: dict[Need, str]
    """Needs that it doesn't meet, and why."""

    @property
    def is_sample(self) -> bool:
        return self.models < SAMPLE_BELOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    source: str
    """Which snapshot, for people."""
    ground: Ground
    drawn: tuple[Drawn, ...]
    missing: tuple[Missing, ...]
